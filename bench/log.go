package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

func rowsLog() []Row {
	var rows []Row
	for _, store := range []struct {
		key, name            string
		n                    int
		publish, read, prune string // what limits them
	}{
		{
			"sqlite", "SQLite", 60_000, "CPU: committer 50 % (inserts 22 %, the commit 25 %), checking and encoding 24 %",
			"CPU: stepping through rows and taking them over 76 %, preparing 12 %", "CPU: committer 72 %, of which deleting 50 %",
		},
		{
			"postgres", "PostgreSQL", 40_000, "waiting for the server: the program is busy 18 % of one core",
			"waiting for the server: the program is busy 9 % of one core, of which taking rows over 41 %", "waiting for the server: the program is busy 17 % of one core",
		},
	} {
		rows = append(
			rows,
			Row{
				ID: "LOG", Variant: "publish-" + store.key, Work: "single events published by 64 callers into a large log on " + store.name, Peer: "the same into an empty log", Note: store.publish,
				AtLeast: 0.9, N: store.n, Ours: publishInto(store.key, true), Them: publishInto(store.key, false),
			},
			Row{
				ID: "LOG", Variant: "read-" + store.key, Work: "a large log on " + store.name + " read in pages of 256, from places all over it", Peer: "the same of a log that holds 10,000 events", Note: store.read,
				AtLeast: 0.9, N: 300_000, Batch: readRun, Ours: readFrom(store.key, true), Them: readFrom(store.key, false),
			},
			Row{
				ID: "LOG", Variant: "prune-" + store.key, Work: "old events deleted from a large log on " + store.name + ", a thousand in a call, while 64 callers publish all they can",
				Peer: "–", Note: store.prune, Limits: []Limit{{Name: "published per deleted", Below: 1}}, N: store.n / 2, Ours: pruneWhilePublishing(store.key),
			},
		)
	}
	return rows
}

// largeLog is the filled database. All rows share it, as filling it may take minutes; they add to its
// end and delete from its beginning.
func (e *Env) largeLog(ctx context.Context, store string) (*backlog, error) {
	return e.backlog(ctx, e.all, store, e.sizeOf(e.log))
}

// publishInto is as P2: the rates that it compares are of a log that holds much and one that holds
// nothing.
func publishInto(store string, large bool) Side {
	return func(ctx context.Context, env *Env, n int) (Figure, error) {
		s := setup{store: store, bus: "sql"}
		if large {
			b, err := env.largeLog(ctx, store)
			if err != nil {
				return Figure{}, err
			}
			s.url = b.url
		}
		w, err := env.open(ctx, s)
		if err != nil {
			return Figure{}, err
		}
		_, before, err := w.Store.Bounds(ctx)
		if err != nil {
			return Figure{}, firstOf(err, w.stop())
		}
		m := env.begin()
		err = w.publishAll(n, 1000, 1)
		f := m.end(n)
		if err == nil {
			err = w.holds(ctx, int(before)+n)
		}
		return f, firstOf(err, w.stop())
	}
}

// readRun is how many events are read from one place.
const readRun = 5_000

// readFrom reads runs of events, each from another place of the log.
func readFrom(store string, large bool) Side {
	return func(ctx context.Context, env *Env, n int) (Figure, error) {
		lasts, size := env.row, 2*readRun
		if large {
			lasts, size = env.all, env.sizeOf(env.log)
		}
		b, err := env.backlog(ctx, lasts, store, size)
		if err != nil {
			return Figure{}, err
		}
		w, err := env.open(ctx, setup{store: store, bus: "sql", url: b.url, notRun: true})
		if err != nil {
			return Figure{}, err
		}
		first, last, err := w.Store.Bounds(ctx)
		if err != nil {
			return Figure{}, firstOf(err, w.stop())
		}
		runs := int64(n / readRun)
		m := env.begin()
		for i := range runs {
			if err := w.readRun(ctx, first-1+i*(last-first+1-readRun)/max(1, runs-1)); err != nil {
				return Figure{}, firstOf(err, w.stop())
			}
		}
		f := m.end(n)
		return f, w.stop()
	}
}

func (w *world) readRun(ctx context.Context, after int64) error {
	for end := after + readRun; after < end; {
		events, through, err := w.Store.Read(ctx, after, 0, int(min(256, end-after)))
		if err != nil {
			return err
		}
		for _, e := range events {
			if after++; e.Position != after {
				return fmt.Errorf("position %d was read, want %d", e.Position, after)
			}
		}
		if len(events) == 0 {
			return fmt.Errorf("the log ends at %d, want %d", through, end)
		}
	}
	return nil
}

// pruneWhilePublishing deletes n events, a thousand at a time, while others publish as fast as they can.
func pruneWhilePublishing(store string) Side {
	return func(ctx context.Context, env *Env, n int) (Figure, error) {
		b, err := env.largeLog(ctx, store)
		if err != nil {
			return Figure{}, err
		}
		w, err := env.open(ctx, setup{store: store, bus: "sql", url: b.url})
		if err != nil {
			return Figure{}, err
		}
		before, _, err := w.Store.Bounds(ctx)
		if err != nil {
			return Figure{}, firstOf(err, w.stop())
		}
		var over atomic.Bool
		var published atomic.Int64
		publishing := make(chan error, 1)
		m := env.begin()
		go func() {
			publishing <- spreadOut(64, 64, func(worker, _ int) error {
				for i := 0; !over.Load(); i++ {
					if _, err := w.Publisher.Publish(w.ctx, draftOf((worker+i)%1000, i)); err != nil {
						return err
					}
					published.Add(1)
				}
				return nil
			})
		}()
		old, deleted := time.Now(), 0
		for deleted < n && err == nil {
			var some int
			some, err = w.Store.Prune(ctx, old, min(1000, n-deleted))
			if deleted += some; err == nil && some == 0 {
				err = fmt.Errorf("only %d events can be deleted: a larger -log is needed", deleted)
			}
		}
		over.Store(true)
		f := m.end(n)
		f.Values["published per deleted"] = float64(published.Load()) / float64(max(1, deleted))
		err = firstOf(err, <-publishing)
		if after, _, e := w.Store.Bounds(ctx); err == nil && (e != nil || after != max(1, before)+int64(n)) {
			err = firstOf(e, fmt.Errorf("the log begins at %d, want %d", after, max(1, before)+int64(n)))
		}
		return f, firstOf(err, w.stop())
	}
}
