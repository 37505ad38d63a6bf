package main

import (
	"context"
	"time"

	"github.com/leat-dev/leat/app/event"
)

func rowsP3() []Row {
	const work, peer = "100 events published durably in one call, one caller", "the same publisher, 100 calls with one event each"
	return []Row{
		{
			ID: "P3", Variant: "sqlite", Work: work, Peer: peer, AtLeast: 15, Limits: []Limit{{Name: "p50 ms", Below: 2}}, N: 60_000, Batch: 100,
			Note: "CPU: checking and encoding 35 %, inserts 31 %, GC 18 %, the commit 5 %; the call waits for them one after the other",
			Ours: calling("sqlite", 100, 1), Them: calling("sqlite", 1, 12),
		},
		{
			ID: "P3", Variant: "postgres", Work: work, Peer: peer, AtLeast: 20, Limits: []Limit{{Name: "p50 ms", Below: 5}}, N: 40_000, Batch: 100,
			Note: "waiting for the server: the program is busy a fifth of the time, of which checking and encoding 31 %, inserting 19 %, the sequencer 8 %",
			Ours: calling("postgres", 100, 1), Them: calling("postgres", 1, 20),
		},
	}
}

// calling publishes batch events in a call, one call after the other.
func calling(store string, batch, share int) Side {
	return func(ctx context.Context, env *Env, n int) (Figure, error) {
		n = max(batch, n/share)
		w, err := env.open(ctx, setup{store: store, bus: "sql"})
		if err != nil {
			return Figure{}, err
		}
		calls := make([][]event.Draft, n/batch)
		for i := range calls {
			calls[i] = drafts(i*batch, batch, 1000)
		}
		took := make([]time.Duration, len(calls))
		m := env.begin()
		for i, drafts := range calls {
			start := time.Now()
			if _, err = w.Publisher.Publish(w.ctx, drafts...); err != nil {
				break
			}
			took[i] = time.Since(start)
		}
		f := m.end(n)
		f.latencies("", took)
		if err == nil {
			err = w.holds(ctx, n)
		}
		return f, firstOf(err, w.stop())
	}
}
