package command

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// handlerSet is a handler set, as the API shows it.
type handlerSet struct {
	Name          string   `json:"name"`
	Types         []string `json:"types"`
	EveryInstance bool     `json:"everyInstance"`
	Paused        bool     `json:"paused"`
	Backlog       int64    `json:"backlog"`
	Parked        int64    `json:"parked"`
	DeadLetters   int64    `json:"deadLetters"`
}

func (a App) handlers() *cobra.Command {
	var flags clientFlags
	cmd := family("handlers", "Look at the handler sets, pause and resume them",
		a.handlersList(&flags),
		a.handlersSwitch(&flags, "pause", "Let handler sets stop taking events; what comes in meanwhile waits"),
		a.handlersSwitch(&flags, "resume", "Let paused handler sets go on"))
	flags.register(cmd)
	return cmd
}

func (a App) handlersList(flags *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the handler sets",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := flags.checkOutput(); err != nil {
				return err
			}
			c, err := flags.client(a)
			if err != nil {
				return err
			}
			var answer struct {
				Handlers []json.RawMessage `json:"handlers"`
			}
			text, err := c.get(cmd.Context(), &answer, nil, "handlers")
			if err != nil {
				return err
			}
			if flags.output == outputJSON {
				return writeJSON(a.Stdout, outputJSON, text)
			}
			return a.showHandlers(flags.output, answer.Handlers)
		},
	}
}

func (a App) handlersSwitch(flags *clientFlags, action, short string) *cobra.Command {
	return &cobra.Command{
		Use:   action + " NAME...",
		Short: short,
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := flags.checkOutput(); err != nil {
				return err
			}
			c, err := flags.client(a)
			if err != nil {
				return err
			}
			var sets []json.RawMessage
			for _, name := range args {
				var set json.RawMessage
				if _, err := c.post(cmd.Context(), &set, nil, "handlers", name, action); err != nil {
					return fmt.Errorf("%s %s: %w", action, name, err)
				}
				sets = append(sets, set)
			}
			return a.showHandlers(flags.output, sets)
		},
	}
}

func (a App) showHandlers(output string, sets []json.RawMessage) error {
	if output == outputJSONL {
		return writeLines(a.Stdout, sets)
	}
	t := table{head: []string{"NAME", "STATE", "BACKLOG", "PARKED", "DEAD LETTERS", "TYPES"}}
	for _, text := range sets {
		if output == outputJSON {
			if err := writeJSON(a.Stdout, outputJSON, text); err != nil {
				return err
			}
			continue
		}
		var s handlerSet
		if err := json.Unmarshal(text, &s); err != nil {
			return fmt.Errorf("read a handler set of the answer: %w", err)
		}
		state := "running"
		if s.Paused {
			state = "paused"
		}
		if s.EveryInstance { // such a set keeps no record that could be counted
			t.add(s.Name, state, "-", "-", "-", short(strings.Join(s.Types, " "), 80))
			continue
		}
		t.add(s.Name, state, strconv.FormatInt(s.Backlog, 10), strconv.FormatInt(s.Parked, 10),
			strconv.FormatInt(s.DeadLetters, 10), short(strings.Join(s.Types, " "), 80))
	}
	if output == outputJSON {
		return nil
	}
	return t.write(a.Stdout)
}
