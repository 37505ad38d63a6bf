package wiring

import (
	"context"
	"log/slog"

	"github.com/leat-dev/leat/configs"
)

// Serve opens a service, runs it until ctx ends, and lets go of everything.
func Serve(ctx context.Context, cfg *configs.Config, s Service, logger *slog.Logger) error {
	leat, closeAll, err := Open(ctx, cfg, s, Overrides{}, logger)
	if err != nil {
		return err
	}
	defer closeAll()
	return leat.App.Run(ctx)
}

// Migrate brings the tables of the framework and of the service up to date, and ends.
func Migrate(ctx context.Context, cfg *configs.Config, s Service, logger *slog.Logger) error {
	// The inbox would take an address, which a migration does not need.
	_, closeAll, err := Open(ctx, cfg, s, Overrides{NoListeners: true}, logger)
	if err != nil {
		return err
	}
	closeAll()
	logger.Info("the tables are up to date", "store", cfg.Store.URL)
	return nil
}
