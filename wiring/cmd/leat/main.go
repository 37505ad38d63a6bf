// Command leat runs the reference service and is its command line. It is the one place that puts
// the reference service into the framework.
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/leat-dev/leat/configs"
	"github.com/leat-dev/leat/wiring"
	"github.com/leat-dev/leat/wiring/cmd/leat/command"
)

func main() {
	os.Exit(run())
}

func run() int {
	ctx, stop := command.WithSignals(context.Background(), os.Stderr, os.Exit)
	defer stop()
	app := command.App{
		Serve: func(ctx context.Context, cfg *configs.Config, logger *slog.Logger) error {
			return wiring.Serve(ctx, cfg, service(), logger)
		},
		Migrate: func(ctx context.Context, cfg *configs.Config, logger *slog.Logger) error {
			return wiring.Migrate(ctx, cfg, service(), logger)
		},
		Sets:    []string{"audit", "broadcast", "notify"},
		Environ: os.Environ(), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	}
	return command.Main(ctx, app, os.Args[1:])
}
