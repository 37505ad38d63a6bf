package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"sync/atomic"
	"time"
)

// logSize is how many events the large log holds. Ten million take some ten minutes and 6 GB.
var logSize = flag.Int("log", 300_000, "events in the large log of the LOG rows; 10000000 is what the goal is about")

func rowsLog() []Row {
	var rows []Row
	for _, store := range []struct {
		key, name string
		n         int
	}{{"sqlite", "SQLite", 60_000}, {"postgres", "PostgreSQL", 40_000}} {
		rows = append(
			rows,
			Row{
				ID: "LOG", Variant: "publish-" + store.key, Work: "single events published by 64 callers into a large log on " + store.name, Peer: "the same into an empty log",
				AtLeast: 0.9, N: store.n, Ours: publishInto(store.key, true), Them: publishInto(store.key, false),
			},
			Row{
				ID: "LOG", Variant: "read-" + store.key, Work: "a large log on " + store.name + " read in pages of 256, from places all over it", Peer: "the same of a log that holds no more than that",
				AtLeast: 0.9, N: 100_000, Batch: readRun, Ours: readFrom(store.key, true), Them: readFrom(store.key, false),
			},
			Row{
				ID: "LOG", Variant: "prune-" + store.key, Work: "old events deleted from a large log on " + store.name + " while 64 callers publish; deleted for each one published",
				Peer: "–", Limits: []Limit{{"published per deleted", 1}}, N: store.n / 2, Ours: pruneWhilePublishing(store.key),
			},
		)
	}
	return rows
}

// largeLog is the filled database; each run of a row adds to it.
func (e *Env) largeLog(ctx context.Context, store string) (*backlog, error) {
	return e.backlog(ctx, store, e.sizeOf(*logSize))
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
		size := n
		if large {
			size = env.sizeOf(*logSize)
		}
		b, err := env.backlog(ctx, store, size)
		if err != nil {
			return Figure{}, err
		}
		w, err := env.open(ctx, setup{store: store, bus: "sql", url: b.url, notRun: true})
		if err != nil {
			return Figure{}, err
		}
		m := env.begin()
		for i := range n / readRun {
			if err := w.readRun(ctx, int64(i)*int64(size-readRun)/max(1, int64(n/readRun-1))); err != nil {
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
		if after != through {
			return fmt.Errorf("the log ends at %d, want %d", after, end)
		}
	}
	return nil
}

// pruneWhilePublishing deletes what is old, a thousand events at a time, for as long as others
// publish.
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
		old := time.Now()
		var over atomic.Bool
		pruned, pruning := 0, make(chan error, 1)
		m := env.begin()
		go func() {
			for !over.Load() {
				k, err := w.Store.Prune(ctx, old, 1000)
				if err == nil && k == 0 {
					err = errors.New("there is nothing left to delete: the log is too small for this many events")
				}
				if err != nil {
					pruning <- err
					return
				}
				pruned += k
			}
			pruning <- nil
		}()
		err = w.publishAll(n, 1000, 1)
		over.Store(true)
		err = firstOf(err, <-pruning)
		f := m.end(n)
		f.Values["published per deleted"] = float64(n) / float64(max(1, pruned))
		if after, _, e := w.Store.Bounds(ctx); err == nil && (e != nil || after != before+int64(pruned)) {
			err = firstOf(e, fmt.Errorf("the log begins at %d, want %d", after, before+int64(pruned)))
		}
		return f, firstOf(err, w.stop())
	}
}
