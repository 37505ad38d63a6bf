package gochannelbus_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/jonboulle/clockwork"
	"go.uber.org/goleak"

	"github.com/leat-dev/leat/adapters/gochannelbus"
	"github.com/leat-dev/leat/adapters/sqlbus"
	"github.com/leat-dev/leat/adapters/sqlite"
	"github.com/leat-dev/leat/app/bus"
	"github.com/leat-dev/leat/app/bus/bustest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openStore(ctx context.Context, dir string, clock clockwork.Clock, logger *slog.Logger) (bustest.Store, error) {
	return sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(dir, "leat.db")}, clock, logger)
}

var env = bustest.Env{
	Open: openStore,
	Bus: bustest.Kind{Make: func(p bustest.Parts) (bus.Bus, error) {
		return gochannelbus.New(gochannelbus.Config{}, p.Logger), nil
	}},
	Other: bustest.Kind{Make: func(p bustest.Parts) (bus.Bus, error) {
		return sqlbus.New(sqlbus.Config{}, p.Log, p.Clock, p.Logger), nil
	}},
}

func TestBus(t *testing.T)    { bustest.Run(t, env) }
func TestPubSub(t *testing.T) { bustest.RunPubSub(t, env) }
