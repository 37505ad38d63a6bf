package postgres_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/jonboulle/clockwork"

	"github.com/leat-dev/leat/adapters/gochannelbus"
	"github.com/leat-dev/leat/adapters/natsbus"
	"github.com/leat-dev/leat/adapters/natsbus/natstest"
	"github.com/leat-dev/leat/adapters/postgres"
	"github.com/leat-dev/leat/adapters/postgres/postgrestest"
	"github.com/leat-dev/leat/adapters/sqlbus"
	"github.com/leat-dev/leat/app/bus"
	"github.com/leat-dev/leat/app/bus/bustest"
)

// The buses that PostgreSQL goes with.
var (
	sqlKind = bustest.Kind{Make: func(p bustest.Parts) (bus.Bus, error) {
		return sqlbus.New(sqlbus.Config{}, p.Log, p.Clock, p.Logger), nil
	}}
	gochannelKind = bustest.Kind{Make: func(p bustest.Parts) (bus.Bus, error) {
		return gochannelbus.New(gochannelbus.Config{}, p.Logger), nil
	}}
	embeddedKind = bustest.Kind{Shared: true, Make: func(p bustest.Parts) (bus.Bus, error) {
		return natsbus.Open(context.Background(), natsbus.Config{Dir: filepath.Join(p.Dir, "nats")}, natsbus.Hooks{}, p.Logger)
	}}
)

func externalKind() bustest.Kind {
	server := natstest.OnePerTest()
	return bustest.Kind{Shared: true, Make: func(p bustest.Parts) (bus.Bus, error) {
		return natsbus.Open(context.Background(), natsbus.Config{URL: server(p.T).URL()}, natsbus.Hooks{}, p.Logger)
	}}
}

// env is a test environment whose leases go by the test's clock, as everything else does.
func env(under, other bustest.Kind) bustest.Env {
	return bustest.Env{
		Place: postgrestest.Start,
		Open: func(ctx context.Context, url string, clock clockwork.Clock, logger *slog.Logger) (bustest.Store, error) {
			db, err := postgres.Open(ctx, postgres.Config{URL: url, MaxConns: 4}, clock, logger)
			if err != nil {
				return nil, err
			}
			postgres.LeaseClock(db, clock)
			return db, nil
		},
		Bus:   under,
		Other: other,
	}
}

func onSQL() bustest.Env       { return several(env(sqlKind, gochannelKind)) }
func onGoChannel() bustest.Env { return several(env(gochannelKind, externalKind())) }
func onEmbedded() bustest.Env  { return env(embeddedKind, sqlKind) }
func onExternal() bustest.Env  { return several(env(externalKind(), sqlKind)) }

func several(e bustest.Env) bustest.Env {
	e.Several = true
	return e
}

func TestBusSQL(t *testing.T)    { bustest.Run(t, onSQL()) }
func TestPubSubSQL(t *testing.T) { bustest.RunPubSub(t, onSQL()) }

func TestBusGoChannel(t *testing.T)    { bustest.Run(t, onGoChannel()) }
func TestPubSubGoChannel(t *testing.T) { bustest.RunPubSub(t, onGoChannel()) }

func TestBusNATSEmbedded(t *testing.T)    { bustest.Run(t, onEmbedded()) }
func TestPubSubNATSEmbedded(t *testing.T) { bustest.RunPubSub(t, onEmbedded()) }

func TestBusNATSExternal(t *testing.T)    { bustest.Run(t, onExternal()) }
func TestPubSubNATSExternal(t *testing.T) { bustest.RunPubSub(t, onExternal()) }
