package command

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leat-dev/leat/configs"
)

// Service runs with a configuration until ctx ends, or until it has done what it is for.
type Service func(ctx context.Context, cfg *configs.Config, logger *slog.Logger) error

// App is what the command line works on: the program's parts that it starts, and the process that
// it runs in.
type App struct {
	Serve   Service  // runs the service; ctx ending is the request to drain and stop
	Migrate Service  // brings the store's tables up to date
	Sets    []string // the handler sets there are, for roles and handlers.{set}; nil: not checked

	Environ []string // as os.Environ returns it
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer

	// Reconnect is how long tail waits before it tries again to reach a server that it has lost,
	// for the first time, the second… nil: 100ms, doubling up to 5s.
	Reconnect func(attempt int) time.Duration
}

// Main runs the command that args (without the program's name) ask for, and returns the exit code.
func Main(ctx context.Context, app App, args []string) int {
	reached := false
	root := app.root()
	root.PersistentPreRun = func(*cobra.Command, []string) { reached = true }
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !reached {
		// Cobra found fault with what was typed before any command of ours ran.
		err = usage("%w", err)
		if cmd != root {
			err = usage("%s: %w", strings.TrimPrefix(cmd.CommandPath(), root.Name()+" "), err)
		}
	}
	return report(app.Stderr, err)
}

// variable returns an environment variable's value, "" when it is not set.
func (a App) variable(name string) string {
	for i := len(a.Environ) - 1; i >= 0; i-- {
		if value, ok := strings.CutPrefix(a.Environ[i], name+"="); ok {
			return value
		}
	}
	return ""
}
