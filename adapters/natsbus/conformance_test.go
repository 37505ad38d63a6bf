package natsbus_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"

	"github.com/jonboulle/clockwork"

	"github.com/leat-dev/leat/adapters/gochannelbus"
	"github.com/leat-dev/leat/adapters/natsbus"
	"github.com/leat-dev/leat/adapters/natsbus/natstest"
	"github.com/leat-dev/leat/adapters/sqlite"
	"github.com/leat-dev/leat/app/bus"
	"github.com/leat-dev/leat/app/bus/bustest"
)

func openStore(ctx context.Context, dir string, clock clockwork.Clock, logger *slog.Logger) (bustest.Store, error) {
	return sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(dir, "leat.db")}, clock, logger)
}

func TestEmbedded(t *testing.T) {
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

// TestExternal gives each test's folder a server process of its own, which outlives restarts.
func TestExternal(t *testing.T) {
	var (
		mu      sync.Mutex
		servers = map[string]*natstest.Server{}
	)
	bustest.Run(t, bustest.Env{
		Open: openStore,
		Bus: func(p bustest.Parts) (bus.Bus, error) {
			mu.Lock()
			defer mu.Unlock()
			if servers[p.Dir] == nil {
				servers[p.Dir] = natstest.StartServer(t, natstest.Options{})
			}
			return natsbus.Open(t.Context(), natsbus.Config{URL: servers[p.Dir].URL()}, natsbus.Hooks{}, p.Logger)
		},
	})
}
