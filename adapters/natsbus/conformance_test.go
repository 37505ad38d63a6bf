package natsbus_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/jonboulle/clockwork"

	"github.com/leat-dev/leat/adapters/gochannelbus"
	"github.com/leat-dev/leat/adapters/natsbus"
	"github.com/leat-dev/leat/adapters/sqlite"
	"github.com/leat-dev/leat/app/bus"
	"github.com/leat-dev/leat/app/bus/bustest"
)

func openStore(ctx context.Context, dir string, clock clockwork.Clock, logger *slog.Logger) (bustest.Store, error) {
	return sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(dir, "leat.db")}, clock, logger)
}

func TestBus(t *testing.T) {
	bustest.Run(t, bustest.Env{
		Open: openStore,
		Bus: func(p bustest.Parts) (bus.Bus, error) {
			return natsbus.Open(t.Context(), natsbus.Config{Dir: filepath.Join(p.Dir, "nats")}, natsbus.Hooks{}, p.Logger)
		},
		Other: func(p bustest.Parts) (bus.Bus, error) {
			return gochannelbus.New(gochannelbus.Config{}, p.Logger), nil
		},
	})
}
