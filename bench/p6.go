package main

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"

	"github.com/leat-dev/leat/app/event"
)

func rowsP6() []Row {
	const work = "end to end on SQLite, durable, four handler sets whose effect is a row, exactly once; 64 callers; "
	const peer = "stock GoChannel, router, 4 handlers that do nothing, 4 stock middlewares, in memory"
	row := func(variant, keys string, n, k int, goal, guard float64) Row {
		return Row{
			ID: "P6", Variant: variant, Work: work + keys, Peer: peer, AtLeast: goal, Guard: guard, N: n,
			Note: "CPU: committer 39 % (effects under savepoints 20 %, the commit 8 %), router and chain 23 %, growing stacks 12 %, lanes 11 %, GC 8 %; allocation 28 % of all of it",
			Ours: endToEnd("sqlite", "sql", k, 1), Them: stockFour(k, gochannel.Config{}),
		}
	}
	buffered := row("1000-keys-buffered", "1,000 keys", 20_000, 1000, 1.5, 0.12)
	buffered.Peer += "; at its best, with buffers of 1024"
	buffered.Them = stockFour(1000, gochannel.Config{OutputChannelBuffer: 1024})
	return []Row{
		row("1000-keys", "1,000 keys", 20_000, 1000, 1.5, 0.12),
		buffered,
		row("10-keys", "10 keys", 10_000, 10, 0.8, 0.07),
		row("one-key", "one key", 5_000, 1, 0.5, 0.05),
	}
}

// endToEnd publishes n events while four sets handle them, and ends when the last outcome is
// committed. Callers publish batch events in a call.
func endToEnd(store, busKind string, keys, batch int) Side {
	return func(ctx context.Context, env *Env, n int) (Figure, error) {
		w, err := env.open(ctx, setup{store: store, bus: busKind, build: effects, sets: effectSets})
		if err != nil {
			return Figure{}, err
		}
		m := env.begin()
		err = w.publishAll(n, keys, batch)
		if err == nil {
			err = w.count.wait(ctx, n*len(effectNames))
		}
		f := m.end(n)
		if err == nil {
			err = w.checkEffects(ctx, n)
		}
		return f, firstOf(err, w.stop())
	}
}

func (w *world) publishAll(n, keys, batch int) error {
	callers := 64
	if batch > 1 {
		callers = 4
	}
	return spreadOut(callers, n/batch, func(_, i int) error {
		drafts := drafts(i*batch, batch, keys)
		_, err := w.Publisher.Publish(w.ctx, drafts...)
		return err
	})
}

func drafts(first, n, keys int) []event.Draft {
	all := make([]event.Draft, n)
	for i := range all {
		all[i] = draftOf(rand.IntN(keys), first+i)
	}
	return all
}

// checkEffects wants each effect once, and those of a key in the order of the log.
func (w *world) checkEffects(ctx context.Context, n int) error {
	order := "rowid"
	if w.cfg.Store.IsPostgres() {
		order = "xmin::text::bigint, cmin::text::bigint"
	}
	for _, name := range effectNames {
		table := w.Store.Table("effects_" + name)
		var rows, positions int
		if err := w.Store.SQL(ctx).QueryRow(ctx, "SELECT count(*), count(DISTINCT position) FROM "+table).Scan(&rows, &positions); err != nil {
			return err
		}
		if rows != n || positions != n {
			return fmt.Errorf("set %s: %d effects of %d events, want %d", name, rows, positions, n)
		}
		var disorder int
		if err := w.Store.SQL(ctx).QueryRow(ctx, "SELECT count(*) FROM (SELECT position - lag(position) OVER (PARTITION BY key ORDER BY "+
			order+") AS step FROM "+table+") AS steps WHERE step < 0").Scan(&disorder); err != nil {
			return err
		}
		if disorder != 0 {
			return fmt.Errorf("set %s: %d effects out of order", name, disorder)
		}
	}
	return nil
}

func stockFour(keys int, cfg gochannel.Config) Side {
	return func(ctx context.Context, env *Env, n int) (Figure, error) {
		return stock(ctx, env, n, stockSetup{handlers: 4, publishers: 64, keys: keys, pubsub: cfg})
	}
}
