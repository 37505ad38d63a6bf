package natsbus_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/jonboulle/clockwork"

	"github.com/leat-dev/leat/adapters/gochannelbus"
	"github.com/leat-dev/leat/adapters/natsbus"
	"github.com/leat-dev/leat/adapters/natsbus/natstest"
	"github.com/leat-dev/leat/adapters/sqlbus"
	"github.com/leat-dev/leat/adapters/sqlite"
	"github.com/leat-dev/leat/app/bus"
	"github.com/leat-dev/leat/app/bus/bustest"
)

func openStore(ctx context.Context, dir string, clock clockwork.Clock, logger *slog.Logger) (bustest.Store, error) {
	return sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(dir, "leat.db")}, clock, logger)
}

func embedded() bustest.Env {
	return bustest.Env{
		Open: openStore,
		Bus: bustest.Kind{Shared: true, Make: func(p bustest.Parts) (bus.Bus, error) {
			return natsbus.Open(context.Background(), natsbus.Config{Dir: filepath.Join(p.Dir, "nats")}, natsbus.Hooks{}, p.Logger)
		}},
		Other: bustest.Kind{Make: func(p bustest.Parts) (bus.Bus, error) {
			return gochannelbus.New(gochannelbus.Config{}, p.Logger), nil
		}},
	}
}

func external() bustest.Env {
	server := natstest.OnePerTest()
	return bustest.Env{
		Open: openStore,
		Bus: bustest.Kind{Shared: true, Make: func(p bustest.Parts) (bus.Bus, error) {
			return natsbus.Open(context.Background(), natsbus.Config{URL: server(p.T).URL()}, natsbus.Hooks{}, p.Logger)
		}},
		Other: bustest.Kind{Make: func(p bustest.Parts) (bus.Bus, error) {
			return sqlbus.New(sqlbus.Config{}, p.Log, p.Clock, p.Logger), nil
		}},
	}
}

func TestBusEmbedded(t *testing.T)    { bustest.Run(t, embedded()) }
func TestPubSubEmbedded(t *testing.T) { bustest.RunPubSub(t, embedded()) }

func TestBusExternal(t *testing.T)    { bustest.Run(t, external()) }
func TestPubSubExternal(t *testing.T) { bustest.RunPubSub(t, external()) }
