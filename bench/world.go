package main

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leat-dev/leat/adapters/postgres/postgrestest"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/configs"
	"github.com/leat-dev/leat/handlers/email"
	"github.com/leat-dev/leat/wiring"
)

// moved is the event of all rows: about 100 bytes of data.
type moved struct {
	Key    string `json:"key"`
	Number int    `json:"number"`
	From   string `json:"from"`
	To     string `json:"to"`
}

func (moved) EventType() string { return "item.moved" }

func movedOf(key, number int) moved {
	return moved{Key: keyName(key), Number: number, From: "warehouse-0123456789", To: "warehouse-9876543210"}
}

func keyName(key int) string { return fmt.Sprintf("item-%06d", key) }

func draftOf(key, number int) event.Draft {
	return event.Draft{Event: movedOf(key, number), Subject: keyName(key)}
}

const tenant = "bench"

func originOf(ctx context.Context) context.Context {
	return event.WithOrigin(ctx, event.Origin{Tenant: tenant, Actor: "bench"})
}

//go:embed migrations
var migrations embed.FS

// effectNames are the four handler sets, each with a table that its effects go to.
var (
	effectNames = []string{"a", "b", "c", "d"}
	effectSets  = []string{"effects-a", "effects-b", "effects-c", "effects-d"}
)

// effects are four sets whose effect is a row, exactly once.
func effects(ctx context.Context, kit wiring.Kit) (wiring.Parts, error) {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return wiring.Parts{}, err
	}
	if err := kit.Store.Migrate(ctx, sub, "bench"); err != nil {
		return wiring.Parts{}, err
	}
	var parts wiring.Parts
	for _, name := range effectNames {
		insert := "INSERT INTO " + kit.Store.Table("effects_"+name) + " (position, key, number) VALUES (?, ?, ?)"
		parts.Sets = append(parts.Sets, handler.NewSet("effects-"+name, handler.FromStart(),
			handler.OnTx(func(ctx context.Context, e moved) error {
				in, _ := event.Handled(ctx)
				_, err := kit.Store.SQL(ctx).Exec(ctx, insert, in.Position, e.Key, e.Number)
				return err
			})))
	}
	return parts, nil
}

// world is a running Leat, wired as in production.
type world struct {
	*wiring.Leat
	ctx   context.Context
	cfg   *configs.Config
	count *counter
	stop  func() error

	remove       func() error // the database that stop left to others
	lastPosition int64
}

type setup struct {
	store, bus string // configs' names
	url        string // of a database that is there already, and stays
	build      func(ctx context.Context, kit wiring.Kit) (wiring.Parts, error)
	listen     bool
	change     func(*configs.Config)
	overrides  wiring.Overrides
	notRun     bool           // opened only
	sets       []string       // what of it runs beside the sequencer, and is counted; none of the sets when empty
	everything bool           // all roles, as by default
	keep       *state         // where the database outlives the world, until its remove
	mails      bool           // go to a server
	options    []event.Option // of the event's definition
}

func (e *Env) open(ctx context.Context, s setup) (*world, error) {
	cfg := configs.Default()
	cfg.Bus.Kind = s.bus
	cfg.HTTP.Listen, cfg.Ops.Listen, cfg.Inbox.Listen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	cfg.NATS.Dir = filepath.Join(e.Dir, "nats")
	cleanup, remove := func() error { return nil }, func() error { return nil }
	switch {
	case s.url != "":
		cfg.Store.URL = s.url
	case s.store == "sqlite":
		dir := e.Dir
		if s.keep != nil {
			var err error
			if dir, err = os.MkdirTemp(s.keep.dir, "store"); err != nil {
				return nil, err
			}
			cleanup = func() error { return os.RemoveAll(dir) }
		}
		cfg.Store.URL = "sqlite:" + filepath.Join(dir, "leat.db")
	case s.store == "postgres":
		u, drop, err := database(ctx)
		if err != nil {
			return nil, err
		}
		cfg.Store.URL, cleanup = u, drop
	}
	if s.keep != nil {
		cleanup, remove = remove, cleanup
	}
	if !s.everything {
		cfg.Roles = append([]string{configs.RoleSequencer}, s.sets...)
	}
	if s.change != nil {
		s.change(cfg)
	}
	w := &world{ctx: originOf(ctx), cfg: cfg, count: newCounter(s.sets...), remove: remove}
	if s.overrides.NoListeners = !s.listen; s.overrides.NoListeners && s.overrides.Sender == nil && !s.mails {
		s.overrides.Sender = noMails{}
	}
	s.overrides.Observer = w.count
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	leat, closeAll, err := wiring.Open(ctx, cfg, wiring.Service{
		Name: "bench", Definitions: []event.Definitions{{event.Define[moved](event.Business, s.options...)}}, Build: s.build,
	}, s.overrides, logger)
	if err != nil {
		return nil, errors.Join(err, cleanup())
	}
	w.Leat = leat
	if s.notRun {
		w.stop = func() error { closeAll(); return cleanup() }
		return w, nil
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- leat.App.Run(running) }()
	w.stop = sync.OnceValue(func() error {
		cancel()
		err := <-ended
		closeAll()
		return errors.Join(err, cleanup())
	})
	select {
	case <-leat.App.Ready():
		return w, nil
	case err := <-ended:
		ended <- err
		return nil, errors.Join(err, w.stop())
	case <-time.After(time.Minute):
		return nil, errors.Join(errors.New("not ready after a minute"), w.stop())
	}
}

// noMails stands where there is no inbox.
type noMails struct{}

func (noMails) Send(context.Context, email.Message) error { return nil }

// counter counts outcomes, which are told after the commit.
type counter struct {
	sets    []string
	handled atomic.Int64
	other   atomic.Int64
	goal    atomic.Int64
	reached chan struct{}
	once    sync.Once
}

// newCounter counts for the sets, or for all of them.
func newCounter(sets ...string) *counter { return &counter{sets: sets, reached: make(chan struct{})} }

func (c *counter) Began(string, string) {}

func (c *counter) Handled(set, _, result string, _ int, _ time.Duration) {
	if len(c.sets) > 0 && !slices.Contains(c.sets, set) {
		return
	}
	if result != "handled" {
		c.other.Add(1)
		return
	}
	c.look(c.handled.Add(1))
}

func (c *counter) look(n int64) {
	if goal := c.goal.Load(); goal > 0 && n >= goal {
		c.once.Do(func() { close(c.reached) })
	}
}

// wait returns when n outcomes were told.
func (c *counter) wait(ctx context.Context, n int) error {
	c.goal.Store(int64(n))
	c.look(c.handled.Load())
	select {
	case <-c.reached:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%d of %d outcomes, %d others: %w", c.handled.Load(), n, c.other.Load(), ctx.Err())
	}
}

// database makes an empty database on the throw-away server.
func database(ctx context.Context) (name string, drop func() error, err error) {
	server, err := postgrestest.Shared()
	if err != nil {
		return "", nil, err
	}
	u, err := url.Parse(server)
	if err != nil {
		return "", nil, err
	}
	random := make([]byte, 6)
	_, _ = rand.Read(random)
	db := "bench_" + hex.EncodeToString(random)
	if err := runSQL(ctx, server, "CREATE DATABASE "+db+" ENCODING 'UTF8' TEMPLATE template0"); err != nil {
		return "", nil, err
	}
	u.Path = "/" + db
	return u.String(), func() error {
		return runSQL(context.WithoutCancel(ctx), server, "DROP DATABASE "+db+" WITH (FORCE)")
	}, nil
}

func runSQL(ctx context.Context, server, statement string) error {
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(ctx))
}

// spreadOut runs fn for the numbers below n on many goroutines.
func spreadOut(workers, n int, fn func(worker, i int) error) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, workers)
	for w := range workers {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := fn(w, i); err != nil {
					errs[w] = err
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
