package command

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// build says what was built from what.
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Modified bool   `json:"modified"` // the work tree held more than the commit
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func readBuild() build {
	b := build{Version: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Version = first(info.Main.Version, b.Version)
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

func (a App) version() *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version, the commit it was built from, and Go's version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := flags.checkOutput(); err != nil {
				return err
			}
			b := readBuild()
			if flags.output != outputTable {
				text, err := json.Marshal(b)
				if err != nil {
					return err
				}
				return writeJSON(a.Stdout, flags.output, text)
			}
			commit := first(b.Commit, "unknown")
			if b.Modified {
				commit += ", modified"
			}
			_, err := fmt.Fprintf(a.Stdout, "leat %s (commit %s) %s %s\n", b.Version, commit, b.Go, b.Platform)
			return err
		},
	}
	cmd.Flags().StringVarP(&flags.output, "output", "o", outputTable, "how to print: table, json or jsonl")
	return cmd
}
