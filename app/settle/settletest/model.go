package settletest

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/leat-dev/leat/app/deadletter"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/settle"
)

// model drives one set with random outcomes and compares it with a few maps.
func model(t *testing.T, f *fixture) {
	rapid.Check(t, func(rt *rapid.T) {
		f := &fixture{Store: f.open(t, f.clock), clock: f.clock, open: f.open}
		f.register(t, "s")
		events := f.log(t, 12)
		l := f.mustAcquire(t, "s", 0, "a")
		var (
			cursors [event.Slots]int64
			parked  = map[int64]settle.Parked{}
			letters = map[int64]deadletter.State{}
			effects = 0
			next    = 0
		)
		deliver := func(rt *rapid.T, e event.Envelope, first bool) {
			w := settle.Work{Lease: l, Event: e, First: first}
			redrive := parked[e.Position].State == settle.Redrive
			attempts := rapid.IntRange(0, 5).Draw(rt, "attempts")
			switch rapid.SampledFrom([]string{"handled", "failed", "parked", "dead"}).Draw(rt, "outcome") {
			case "failed":
				w.Effect = failing(f.effect(e.ID + "'s"))
				require.ErrorIs(rt, f.Settle(ctxOf(t), w), errTest)
				return
			case "handled":
				w.Effect = f.effect(e.ID + "'s")
				effects++
				delete(parked, e.Position)
				if redrive {
					delete(letters, e.Position)
				}
			case "parked":
				w.Park = parkedOf(e, rapid.SampledFrom([]settle.ParkState{settle.Failed, settle.Behind, settle.Held}).Draw(rt, "state"), attempts)
				p := *w.Park
				if redrive {
					p.State = settle.Redrive
				}
				parked[e.Position] = p
			case "dead":
				w.Dead = letterOf("s", e, attempts)
				delete(parked, e.Position)
				letters[e.Position] = deadletter.Open
			}
			require.NoError(rt, f.Settle(ctxOf(t), w))
			if first {
				cursors[e.Slot] = e.Position
				next++
			}
		}
		at := func(position int64) event.Envelope {
			return events[slices.IndexFunc(events, func(e event.Envelope) bool { return e.Position == position })]
		}
		rt.Repeat(map[string]func(*rapid.T){
			"new": func(rt *rapid.T) {
				if next == len(events) {
					rt.Skip("all are settled")
				}
				deliver(rt, events[next], true)
			},
			"parked": func(rt *rapid.T) {
				if len(parked) == 0 {
					rt.Skip("nothing is parked")
				}
				deliver(rt, at(rapid.SampledFrom(slices.Sorted(maps.Keys(parked))).Draw(rt, "position")), false)
			},
			"decide": func(rt *rapid.T) {
				if len(letters) == 0 {
					rt.Skip("nothing is dead")
				}
				position := rapid.SampledFrom(slices.Sorted(maps.Keys(letters))).Draw(rt, "position")
				e := at(position)
				id := deadletter.Letter{Set: "s", Event: e}.ID()
				if rapid.Bool().Draw(rt, "retry") {
					err := f.RetryDeadLetter(ctxOf(t), "acme", id, "ann")
					require.Equal(rt, letters[position] == deadletter.Discarded, err != nil)
					if letters[position] == deadletter.Open {
						letters[position] = deadletter.Retrying
						parked[position] = settle.Parked{Position: position, Slot: e.Slot, Key: e.Key(), State: settle.Redrive, Due: start}
					}
					return
				}
				err := f.DiscardDeadLetter(ctxOf(t), "acme", id, "ann")
				require.Equal(rt, letters[position] == deadletter.Retrying, err != nil)
				if letters[position] == deadletter.Open {
					letters[position] = deadletter.Discarded
				}
			},
			"take over": func(rt *rapid.T) {
				f.clock.Advance(0)
				old := l
				require.NoError(rt, f.Release(ctxOf(t), l))
				l = f.mustAcquire(t, "s", 0, "a")
				require.ErrorIs(rt, f.Settle(ctxOf(t), settle.Work{Lease: old, Event: events[0], First: true}), settle.ErrFenced)
			},
			"": func(rt *rapid.T) {
				s := f.status(t, "s")
				require.Equal(rt, cursors, s.Cursors)
				want := []settle.Parked{}
				redrives := 0
				for _, position := range slices.Sorted(maps.Keys(parked)) {
					want = append(want, parked[position])
					if parked[position].State == settle.Redrive {
						redrives++
					}
				}
				require.Equal(rt, want, append([]settle.Parked{}, f.parked(t, "s")...))
				require.Equal(rt, redrives, s.Redrive)
				require.Equal(rt, len(want)-redrives, s.Parked)
				open := 0
				for position, state := range letters {
					letter, err := f.DeadLetter(ctxOf(t), "acme", deadletter.Letter{Set: "s", Event: at(position)}.ID())
					require.NoError(rt, err)
					require.Equal(rt, state, letter.State)
					if state == deadletter.Open {
						open++
					}
				}
				counts, err := f.CountDeadLetters(ctxOf(t))
				require.NoError(rt, err)
				require.Equal(rt, open, counts["s"])
				f.holds(t, len(events)+effects)
			},
		})
	})
}
