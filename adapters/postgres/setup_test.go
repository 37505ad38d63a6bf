package postgres_test

import (
	"context"
	"flag"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leat-dev/leat/adapters/postgres"
	"github.com/leat-dev/leat/adapters/postgres/postgrestest"
	"github.com/leat-dev/leat/app/bus"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/sequence"
)

func TestMain(m *testing.M) {
	// Each check of a model takes a server's time here; -rapid.checks on the command line goes before.
	if err := flag.Set("rapid.checks", "20"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

var start = time.Date(2024, 5, 17, 9, 30, 0, 0, time.UTC)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func ctxOf(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func openAt(t testing.TB, url string, clock clockwork.Clock) *postgres.DB {
	t.Helper()
	return openWith(t, postgres.Config{URL: url, MaxConns: 8}, clock)
}

func openWith(t testing.TB, cfg postgres.Config, clock clockwork.Clock) *postgres.DB {
	t.Helper()
	db, err := postgres.Open(context.Background(), cfg, clock, quiet())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// lead gives positions in the background until stop is called or the test ends.
func lead(t testing.TB, db *postgres.DB) (stop func()) {
	s := sequence.New(sequence.Config{}, db, nowhere{}, clockwork.NewRealClock(), quiet())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	t.Cleanup(stop)
	return stop
}

type nowhere struct{}

func (nowhere) Publish(context.Context, []bus.Entry) error { return nil }

// open opens a new store in which positions are given, and whose leases go by the clock.
func open(t testing.TB, clock clockwork.Clock) *postgres.DB {
	t.Helper()
	db := openAt(t, postgrestest.Start(t), clock)
	postgres.LeaseClock(db, clock)
	lead(t, db)
	return db
}

// opener returns open for suites that open many stores in one test, one after the other: each takes the
// place, and the emptied tables, of the one before.
func opener() func(t *testing.T, clock clockwork.Clock) *postgres.DB {
	type one struct {
		url  string
		stop func()
	}
	var mu sync.Mutex
	last := map[*testing.T]*one{}
	return func(t *testing.T, clock clockwork.Clock) *postgres.DB {
		t.Helper()
		mu.Lock()
		o := last[t]
		if o == nil {
			o = &one{url: postgrestest.Start(t), stop: func() {}}
			last[t] = o
		}
		mu.Unlock()
		o.stop()
		empty(t, o.url)
		db := openAt(t, o.url, clock)
		postgres.LeaseClock(db, clock)
		unlead := lead(t, db)
		o.stop = func() {
			unlead()
			require.NoError(t, db.Close())
		}
		return db
	}
}

// empty removes what a store left in the database.
func empty(t testing.TB, url string) {
	conn := connect(t, url)
	_, err := conn.Exec(ctxOf(t), `DO $$ DECLARE t text; BEGIN
		FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE '%migrations' AND tablename <> 'leat_log_state' LOOP
			EXECUTE 'TRUNCATE ' || quote_ident(t) || ' RESTART IDENTITY';
		END LOOP;
		IF to_regclass('leat_log_state') IS NOT NULL THEN UPDATE leat_log_state SET pruned_through = 0; END IF;
	END $$`)
	require.NoError(t, err)
	require.NoError(t, conn.Close(context.Background()))
}

func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(ctxOf(t), url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func envelope(id string) event.Envelope {
	return event.Envelope{
		ID: id, Type: "build.started", SchemaVersion: 1, Kind: event.Business, Source: "tests", Tenant: "acme",
		PartitionKey: id, Time: start, Data: []byte(`{}`), Slot: event.SlotOf("acme", id),
	}
}
