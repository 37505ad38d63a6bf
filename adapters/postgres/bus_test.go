package postgres_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/jonboulle/clockwork"

	"github.com/leat-dev/leat/adapters/gochannelbus"
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
)

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

func onSQL() bustest.Env { return several(env(sqlKind, gochannelKind)) }

func several(e bustest.Env) bustest.Env {
	e.Several = true
	return e
}

func TestBusSQL(t *testing.T)    { bustest.Run(t, onSQL()) }
func TestPubSubSQL(t *testing.T) { bustest.RunPubSub(t, onSQL()) }
