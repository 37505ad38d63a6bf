package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/postgres"
	"github.com/leat-dev/leat/adapters/postgres/postgrestest"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/settle"
	"github.com/leat-dev/leat/domain"
)

// proxy stands between a store and its server, and can cut connections at a COMMIT.
type proxy struct {
	url    string
	before atomic.Bool // drop the COMMIT and the connection
	after  atomic.Bool // pass the COMMIT on, and drop the connection instead of the answer
	refuse atomic.Bool // drop every connection

	mu    sync.Mutex
	conns map[net.Conn]bool
	wg    sync.WaitGroup
}

func proxyTo(t *testing.T, server string) *proxy {
	t.Helper()
	u, err := url.Parse(server)
	require.NoError(t, err)
	network, address := "tcp", u.Host
	if dir := u.Query().Get("host"); dir != "" {
		network, address = "unix", filepath.Join(dir, ".s.PGSQL.5432")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	u.Host, u.RawQuery = l.Addr().String(), "sslmode=disable"
	p := &proxy{url: u.String(), conns: map[net.Conn]bool{}}
	p.wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			if p.refuse.Load() {
				_ = client.Close()
				continue
			}
			server, err := net.Dial(network, address)
			if err != nil {
				_ = client.Close()
				continue
			}
			p.mu.Lock()
			p.conns[client], p.conns[server] = true, true
			p.mu.Unlock()
			p.pass(client, server)
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.cut()
		p.wg.Wait()
	})
	return p
}

// cut ends all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
	clear(p.conns)
}

func (p *proxy) pass(client, server net.Conn) {
	var answering atomic.Bool // the answer to a COMMIT is to be dropped
	end := func() { _, _ = client.Close(), server.Close() }
	p.wg.Go(func() {
		defer end()
		buf := make([]byte, 64<<10)
		for {
			n, err := client.Read(buf)
			if err != nil {
				return
			}
			if commits(buf[:n]) {
				if p.before.CompareAndSwap(true, false) {
					return
				}
				if p.after.CompareAndSwap(true, false) {
					answering.Store(true)
				}
			}
			if _, err := server.Write(buf[:n]); err != nil {
				return
			}
		}
	})
	p.wg.Go(func() {
		defer end()
		buf := make([]byte, 64<<10)
		for {
			n, err := server.Read(buf)
			if err != nil || answering.Load() {
				return
			}
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
	})
}

// commits tells whether the client sends a COMMIT, or an append that commits by itself.
func commits(b []byte) bool {
	return bytes.Contains(b, []byte("COMMIT")) || bytes.Contains(b, []byte("an id to cut at"))
}

func requireUnknown(t *testing.T, err error) {
	t.Helper()
	var e *domain.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, domain.Unavailable, e.Kind)
	require.Equal(t, "OUTCOME_UNKNOWN", e.Code)
}

func TestOutcomeUnknown(t *testing.T) {
	t.Parallel()
	for name, kept := range map[string]bool{"the commit is lost": false, "the answer is lost": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := postgrestest.Start(t)
			direct := openAt(t, server, clockwork.NewRealClock())
			lead(t, direct)
			p := proxyTo(t, server)
			// In this mode a statement's text goes with each execution, where the proxy can see it.
			db := openAt(t, p.url+"&default_query_exec_mode=exec", clockwork.NewRealClock())
			ctx := ctxOf(t)
			cut := &p.before
			if kept {
				cut = &p.after
			}
			n := 0
			count := func(want bool) int {
				if want {
					n++
				}
				return n
			}

			cut.Store(true)
			requireUnknown(t, db.InTx(ctx, func(ctx context.Context) error { return add(ctx, db, "a") }))
			require.False(t, cut.Load())
			logged(t, direct, count(kept))
			receipts, err := db.Append(ctx, []event.Envelope{envelope("a")})
			require.NoError(t, err)
			require.Equal(t, kept, receipts[0].Duplicate, "the caller repeats it under the same id")
			logged(t, direct, count(!kept))

			cut.Store(true)
			requireUnknown(t, add(ctx, db, "an id to cut at"))
			logged(t, direct, count(kept))
			cut.Store(false)
			require.NoError(t, add(ctx, db, "an id to cut at"))
			logged(t, direct, count(!kept))

			require.NoError(t, db.Register(ctx, settle.Registration{Set: "s", FromStart: true}))
			lease, ok, err := db.Acquire(ctx, settle.Claim{Set: "s", Lanes: 2, Owner: "me", TTL: time.Minute})
			require.NoError(t, err)
			require.True(t, ok)
			e := envelope("x")
			e.Position = 1
			cut.Store(true)
			requireUnknown(t, db.Settle(ctx, settle.Work{Lease: lease, Event: e, First: true}))
			statuses, err := direct.Statuses(ctx)
			require.NoError(t, err)
			require.Equal(t, kept, statuses["s"].Cursors[e.Slot] == 1)
			again := db.Settle(ctx, settle.Work{Lease: lease, Event: e, First: true})
			if kept {
				require.ErrorIs(t, again, settle.ErrSettled, "the owner that does not know hears of it, before the effect is run again")
			} else {
				require.NoError(t, again)
			}

			// The same for another attempt of a parked event.
			parks := envelope("y")
			parks.Position = 2
			require.NoError(t, db.Settle(ctx, settle.Work{Lease: lease, Event: parks, First: true, Park: &settle.Parked{
				Position: 2, Slot: parks.Slot, Key: parks.Key(), State: settle.Failed, Attempts: 1,
			}}))
			effects := 0
			attempt := settle.Work{Lease: lease, Event: parks, Effect: func(context.Context) error { effects++; return nil }}
			cut.Store(true)
			requireUnknown(t, db.Settle(ctx, attempt))
			again = db.Settle(ctx, attempt)
			if kept {
				require.ErrorIs(t, again, settle.ErrSettled)
				require.Equal(t, 1, effects)
			} else {
				require.NoError(t, again)
				require.Equal(t, 2, effects)
			}
		})
	}
}

func TestServerGoneForAWhile(t *testing.T) {
	t.Parallel()
	p := proxyTo(t, postgrestest.Start(t))
	db := openAt(t, p.url, clockwork.NewRealClock())
	lead(t, db)
	ctx := ctxOf(t)
	require.NoError(t, add(ctx, db, "a"))
	logged(t, db, 1)

	p.refuse.Store(true)
	inTx := db.InTx(ctx, func(ctx context.Context) error {
		p.cut()
		return add(ctx, db, "lost")
	})
	require.Equal(t, domain.Unavailable, domain.KindOf(inTx), "%v", inTx)
	for name, call := range map[string]func() error{
		"Append": func() error { return add(ctx, db, "lost too") },
		"Read":   func() error { _, _, err := db.Read(ctx, 0, 0, 10); return err },
		"InTx":   func() error { return db.InTx(ctx, func(context.Context) error { return nil }) },
		"Settle": func() error { return db.Settle(ctx, settle.Work{Lease: settle.Lease{Set: "s"}}) },
		"SQL":    func() error { return db.SQL(ctx).QueryRow(ctx, "SELECT 1").Scan(new(int)) },
	} {
		err := call()
		require.Equal(t, domain.Unavailable, domain.KindOf(err), "%s: %v", name, err)
	}
	p.refuse.Store(false)
	require.NoError(t, add(ctx, db, "b"))
	require.Equal(t, []string{"a", "b"}, logged(t, db, 2))
}

func TestWrongPlaces(t *testing.T) {
	t.Parallel()
	server, err := url.Parse(postgrestest.Start(t))
	require.NoError(t, err)
	const secret = "hunter2"
	at := func(change func(u *url.URL)) string {
		u := *server
		change(&u)
		return u.String()
	}
	for name, c := range map[string]struct {
		url  string
		kind domain.Kind
		says string
	}{
		"nothing":          {"", domain.Invalid, "store.url"},
		"not a URL":        {"postgres://me:" + secret + "@host:port/x", domain.Invalid, "store.url"},
		"unknown option":   {"postgres://me:" + secret + "@host/x?sslmode=perhaps", domain.Invalid, "store.url"},
		"nobody there":     {"postgres://me:" + secret + "@127.0.0.1:1/x", domain.Unavailable, `"x" at 127.0.0.1:1`},
		"unknown database": {at(func(u *url.URL) { u.Path = "/nowhere"; u.User = url.UserPassword("postgres", secret) }), domain.Unavailable, "nowhere"},
		"unknown user":     {at(func(u *url.URL) { u.User = url.UserPassword("nobody_here", secret) }), domain.Forbidden, "nobody_here"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			_, err := postgres.Open(ctxOf(t), postgres.Config{URL: c.url, StartWait: time.Millisecond}, clockwork.NewRealClock(), slog.New(slog.NewTextHandler(&log, nil)))
			require.Equal(t, c.kind, domain.KindOf(err), "%v", err)
			require.ErrorContains(t, err, c.says)
			require.NotContains(t, err.Error()+log.String(), secret)
		})
	}
}

func TestWrongSettings(t *testing.T) {
	t.Parallel()
	_, err := postgres.Open(ctxOf(t), postgres.Config{URL: postgrestest.StartWith(t, "fsync=off")}, clockwork.NewRealClock(), quiet())
	require.Equal(t, domain.Unavailable, domain.KindOf(err))
	require.ErrorContains(t, err, "fsync=off")

	server := postgrestest.Start(t)
	_, err = connect(t, server).Exec(ctxOf(t), "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$")
	require.NoError(t, err)
	var log bytes.Buffer
	db, err := postgres.Open(ctxOf(t), postgres.Config{URL: server}, clockwork.NewRealClock(), slog.New(slog.NewTextHandler(&log, nil)))
	require.NoError(t, err)
	require.Contains(t, log.String(), "synchronous_commit")
	require.NoError(t, db.InTx(ctxOf(t), func(ctx context.Context) error {
		var own string
		err := db.SQL(ctx).QueryRow(ctx, "SHOW synchronous_commit").Scan(&own)
		require.Equal(t, "on", own)
		return err
	}))
	require.NoError(t, db.Close())
	require.NoError(t, db.Close())
	for name, err := range map[string]error{
		"Append": add(ctxOf(t), db, "a"),
		"InTx":   db.InTx(ctxOf(t), func(context.Context) error { return nil }),
		"Settle": db.Settle(ctxOf(t), settle.Work{}),
		"Read":   func() error { _, _, err := db.Read(ctxOf(t), 0, 0, 1); return err }(),
		"Lead":   db.Lead(ctxOf(t), nil),
	} {
		require.ErrorIs(t, err, postgres.ErrClosed, name)
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	t.Parallel()
	server := postgrestest.Start(t)
	db := openAt(t, server, clockwork.NewRealClock())
	require.NoError(t, db.Migrate(ctxOf(t), fstest.MapFS{"00001_a.sql": {Data: []byte("-- +goose Up\nSELECT 1;\n")}}, "mine"))
	_, err := connect(t, server).Exec(ctxOf(t), "INSERT INTO leat_migrations (version_id, is_applied) VALUES (1000, true)")
	require.NoError(t, err)
	_, err = postgres.Open(ctxOf(t), postgres.Config{URL: server}, clockwork.NewRealClock(), quiet())
	var e *domain.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "SCHEMA_TOO_NEW", e.Code)
}

func TestOpenTogether(t *testing.T) {
	t.Parallel()
	server := postgrestest.Start(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			db, err := postgres.Open(context.Background(), postgres.Config{URL: server, TablePrefix: "shared_"}, clockwork.NewRealClock(), quiet())
			if err != nil {
				t.Error(err)
				return
			}
			if err := errors.Join(add(context.Background(), db, "a"), db.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
