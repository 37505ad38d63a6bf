package eventlogtest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
)

// model drives a log with random transactions and compares it with a list.
func model(t *testing.T, f *fixture) {
	type identity struct{ tenant, source, id string }
	rapid.Check(t, func(rt *rapid.T) {
		f := &fixture{Store: f.open(t, f.clock), clock: f.clock, open: f.open}
		var want []event.Envelope
		known := map[identity]bool{}
		draw := rapid.Custom(func(rt *rapid.T) event.Envelope {
			e := envelope(fmt.Sprint(rapid.IntRange(0, 20).Draw(rt, "id")))
			e.Tenant = rapid.SampledFrom([]string{"acme", "other"}).Draw(rt, "tenant")
			e.Source = rapid.SampledFrom([]string{"x", "y"}).Draw(rt, "source")
			e.Slot = event.SlotOf(e.Tenant, e.PartitionKey)
			return e
		})
		// put appends to the log and, in the same way, to the list.
		put := func(rt *rapid.T, ctx context.Context) {
			batch := rapid.SliceOfN(draw, 0, 4).Draw(rt, "batch")
			receipts, err := f.Append(ctx, batch)
			require.NoError(rt, err)
			for i, e := range batch {
				key := identity{e.Tenant, e.Source, e.ID}
				require.Equal(rt, known[key], receipts[i].Duplicate, "%v", key)
				if !known[key] {
					known[key] = true
					want = append(want, e)
				}
			}
		}
		undo := func() func() {
			kept, keptKnown := append([]event.Envelope(nil), want...), map[identity]bool{}
			for k := range known {
				keptKnown[k] = true
			}
			return func() { want, known = kept, keptKnown }
		}
		actions := map[string]func(*rapid.T){
			"append": func(rt *rapid.T) { put(rt, ctxOf(t)) },
			"transaction": func(rt *rapid.T) {
				back, fails := undo(), rapid.Bool().Draw(rt, "fails")
				inner, innerFails := rapid.Bool().Draw(rt, "nested"), rapid.Bool().Draw(rt, "nested fails")
				err := f.InTx(ctxOf(t), func(ctx context.Context) error {
					put(rt, ctx)
					if inner {
						back := undo()
						_ = f.InTx(ctx, func(ctx context.Context) error {
							put(rt, ctx)
							if innerFails {
								back()
								return errTest
							}
							return nil
						})
					}
					put(rt, ctx)
					if fails {
						return errTest
					}
					return nil
				})
				require.Equal(rt, fails, errors.Is(err, errTest), "%v", err)
				if fails {
					back()
				}
			},
			"": func(rt *rapid.T) {
				got := f.all(t, len(want))
				require.Equal(rt, ids(want), ids(got))
				if len(got) == 0 {
					return
				}
				after := rapid.SampledFrom(got).Draw(rt, "after").Position
				slots := eventlog.SlotSet(rapid.Uint64().Draw(rt, "slots"))
				limit := rapid.IntRange(1, 10).Draw(rt, "limit")
				events, through, err := f.Read(ctxOf(t), after, slots, limit)
				require.NoError(rt, err)
				var expected []event.Envelope
				for _, e := range got {
					if e.Position > after && slots.Has(e.Slot) && len(expected) < limit {
						expected = append(expected, e)
					}
				}
				require.Equal(rt, ids(expected), ids(events))
				if len(events) == limit {
					require.Equal(rt, events[limit-1].Position, through)
				} else {
					require.Equal(rt, got[len(got)-1].Position, through)
				}
			},
		}
		rt.Repeat(actions)
	})
}
