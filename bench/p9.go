package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/wiring"
)

func rowsP9() []Row {
	row := func(bus string) Row {
		return Row{
			ID: "P9", Variant: bus, Work: "8 lanes, a handler that takes 5 ms, 128 keys that fall on all lanes alike, on SQLite; the order of each key is checked",
			Peer: "one lane, the same handler", Note: "the handler's pause; the program is busy 11 % of one core",
			AtLeast: 7, Guard: 1.5, N: 2_400, Batch: 128,
			Ours: slowHandler(bus, 8, 1), Them: slowHandler(bus, 1, 8),
		}
	}
	return []Row{row("sql"), row("gochannel"), row("nats")}
}

// evenKeys returns two keys for each slot: whichever way slots are dealt, each lane gets its share.
func evenKeys() []int {
	var found [event.Slots]int
	var keys []int
	for key := 0; len(keys) < 2*event.Slots; key++ {
		if slot := event.SlotOf(tenant, keyName(key)); found[slot] < 2 {
			found[slot]++
			keys = append(keys, key)
		}
	}
	return keys
}

func slowHandler(bus string, lanes, share int) Side {
	return func(ctx context.Context, env *Env, n int) (Figure, error) {
		keys := evenKeys()
		n = max(len(keys), n/share)
		last := map[string]*atomic.Int64{}
		for _, key := range keys {
			last[keyName(key)] = &atomic.Int64{}
		}
		w, err := env.open(ctx, setup{store: "sqlite", bus: bus, sets: []string{"slow"}, build: func(context.Context, wiring.Kit) (wiring.Parts, error) {
			return wiring.Parts{Sets: []handler.Set{handler.NewSet("slow", handler.WithPolicy(handler.Policy{Lanes: lanes}),
				handler.On(func(_ context.Context, e moved) error {
					time.Sleep(5 * time.Millisecond)
					if before := last[e.Key].Swap(int64(e.Number)); before >= int64(e.Number) {
						return handler.Permanent(fmt.Errorf("number %d of %s came after %d", e.Number, e.Key, before))
					}
					return nil
				}))}}, nil
		}})
		if err != nil {
			return Figure{}, err
		}
		m := env.begin()
		for first := 0; first < n && err == nil; first += len(keys) {
			var drafts []event.Draft
			for i := first; i < min(n, first+len(keys)); i++ {
				drafts = append(drafts, draftOf(keys[i%len(keys)], i+1))
			}
			_, err = w.Publisher.Publish(w.ctx, drafts...)
		}
		if err == nil {
			err = w.count.wait(ctx, n) // what came out of order is no success, and would be missing
		}
		f := m.end(n)
		return f, firstOf(err, w.stop())
	}
}
