package wiring_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/leat-dev/leat/adapters/postgres/postgrestest"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/configs"
	"github.com/leat-dev/leat/domain"
	"github.com/leat-dev/leat/handlers/email"
	"github.com/leat-dev/leat/wiring"
)

type sent struct {
	Parcel int `json:"parcel"`
}

func (sent) EventType() string { return "parcel.sent" }

type returned struct {
	Parcel int `json:"parcel"`
}

func (returned) EventType() string { return "parcel.returned" }

type noMails struct{}

func (noMails) Send(context.Context, email.Message) error { return nil }

// What an On handler waits for may take long, so no transaction of the process is open meanwhile: it
// would hold up writers on SQLite, and vacuum on PostgreSQL. There is one while OnTx works, which
// shows that the test sees it.
func TestNoTransactionIsOpenWhileOnWorks(t *testing.T) {
	t.Parallel()
	for _, store := range []string{"sqlite", "postgres"} {
		for _, bus := range []string{configs.BusSQL, configs.BusGoChannel, configs.BusNATS} {
			t.Run(store+" "+bus, func(t *testing.T) {
				t.Parallel()
				hand := make(chan time.Time) // an event is in hand, since then
				leave := make(chan struct{})
				hold := func(ctx context.Context) error {
					select {
					case hand <- time.Now():
					case <-ctx.Done():
						return ctx.Err()
					}
					select {
					case <-leave:
					case <-ctx.Done():
					}
					return ctx.Err()
				}
				publish, open := holding(t, store, bus, handler.NewSet("holds",
					handler.On(func(ctx context.Context, _ sent) error { return hold(ctx) }),
					handler.OnTx(func(ctx context.Context, _ returned) error { return hold(ctx) }),
				))

				publish(sent{1})
				since := <-hand
				require.Eventually(t, func() bool { return open(since) == nil }, time.Minute, 5*time.Millisecond, "On works: %v", open(since))
				leave <- struct{}{}
				publish(returned{1})
				since = <-hand
				require.Error(t, open(since), "OnTx works")
				leave <- struct{}{}
			})
		}
	}
}

// holding runs a service with the set. open returns an error while a transaction is open that was
// there at a time.
func holding(t *testing.T, store, bus string, set handler.Set) (publish func(domain.Event), open func(time.Time) error) {
	t.Helper()
	dir := t.TempDir()
	cfg := configs.Default()
	cfg.Bus.Kind, cfg.NATS.Dir = bus, filepath.Join(dir, "nats")
	cfg.Roles = []string{configs.RoleSequencer, set.Name()}
	if store == "postgres" {
		cfg.Store.URL = postgrestest.Start(t)
		open = openOnPostgres(t, cfg.Store.URL)
	} else {
		file := filepath.Join(dir, "leat.db")
		cfg.Store.URL = "sqlite:" + file
		open = openOnSQLite(t, file)
	}
	ctx := event.WithOrigin(context.Background(), event.Origin{Tenant: "t", Actor: "a"})
	leat, closeAll, err := wiring.Open(ctx, cfg, wiring.Service{
		Name: "test", Definitions: []event.Definitions{{event.Define[sent](event.Business), event.Define[returned](event.Business)}},
		Build: func(context.Context, wiring.Kit) (wiring.Parts, error) {
			return wiring.Parts{Sets: []handler.Set{set}}, nil
		},
	}, wiring.Overrides{NoListeners: true, Sender: noMails{}}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	running, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- leat.App.Run(running) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
		closeAll()
	})
	<-leat.App.Ready()
	return func(e domain.Event) {
		_, err := leat.Publisher.Publish(ctx, event.Draft{Event: e, Subject: "parcel"})
		require.NoError(t, err)
	}, open
}

// openOnPostgres looks for transactions of this database that began before the time.
func openOnPostgres(t *testing.T, url string) func(time.Time) error {
	t.Helper()
	db, err := sql.Open("pgx", url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return func(since time.Time) error {
		var open int
		var last string
		if err := db.QueryRow(`SELECT count(*), coalesce(max(query), '') FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start <= $1`, since).Scan(&open, &last); err != nil {
			return err
		}
		if open > 0 {
			return fmt.Errorf("%d transactions are open, the last statement of one is %q", open, last)
		}
		return nil
	}
}

// openOnSQLite tries what no other transaction, not even one that reads, may be open for: to write back
// all of the log and begin it anew.
func openOnSQLite(t *testing.T, file string) func(time.Time) error {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+strings.ReplaceAll(file, "?", "%3f")+"?_pragma=busy_timeout(0)")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return func(time.Time) error {
		var busy, pages, written int
		if err := db.QueryRow("PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &written); err != nil {
			return err
		}
		if busy != 0 {
			return errors.New("a transaction is open")
		}
		return nil
	}
}
