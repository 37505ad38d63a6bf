package settletest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/settle"
)

func settleMovesCursor(t *testing.T, f *fixture) {
	f.register(t, "s")
	f.register(t, "other")
	events := f.log(t, 3)
	l := f.mustAcquire(t, "s", 0, "a")
	e := events[1]
	f.mustSettle(t, settle.Work{Lease: l, Event: e, First: true})
	want := everywhere(0)
	want[e.Slot] = e.Position
	require.Equal(t, want, f.status(t, "s").Cursors)
	require.Equal(t, everywhere(0), f.status(t, "other").Cursors)

	e.Position--
	require.ErrorIs(t, f.Settle(ctxOf(t), settle.Work{Lease: l, Event: e, First: true}), settle.ErrSettled)
	require.Equal(t, want, f.status(t, "s").Cursors, "a cursor never goes back")
}

func effectAndCursor(t *testing.T, f *fixture) {
	f.register(t, "s")
	events := f.log(t, 1)
	l := f.mustAcquire(t, "s", 0, "a")
	err := f.Settle(ctxOf(t), settle.Work{Lease: l, Event: events[0], First: true, Effect: func(ctx context.Context) error {
		if err := f.effect("undone")(ctx); err != nil {
			return err
		}
		return errTest
	}})
	require.Equal(t, errTest, err, "the error of an effect is returned as it is")
	require.Equal(t, everywhere(0), f.status(t, "s").Cursors)
	f.holds(t, 1)

	type key struct{}
	ctx := context.WithValue(ctxOf(t), key{}, "value")
	require.NoError(t, f.Settle(ctx, settle.Work{Lease: l, Event: events[0], First: true, Effect: func(ctx context.Context) error {
		require.Equal(t, "value", ctx.Value(key{}), "the effect's context is the caller's")
		return f.effect("made")(ctx)
	}}))
	require.Equal(t, events[0].Position, f.status(t, "s").Cursors[events[0].Slot])
	require.Equal(t, "made", f.holds(t, 2)[1].ID)

	gone, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, f.Settle(gone, settle.Work{Lease: l, Event: events[0], Effect: f.effect("never")}), context.Canceled)
	f.holds(t, 2)
}

func panicInEffect(t *testing.T, f *fixture) {
	f.register(t, "s")
	events := f.log(t, 1)
	l := f.mustAcquire(t, "s", 0, "a")
	require.PanicsWithValue(t, "boom", func() {
		_ = f.Settle(ctxOf(t), settle.Work{Lease: l, Event: events[0], First: true, Effect: func(ctx context.Context) error {
			if err := f.effect("undone")(ctx); err != nil {
				return err
			}
			panic("boom")
		}})
	})
	require.Equal(t, everywhere(0), f.status(t, "s").Cursors)
	f.holds(t, 1)
	f.mustSettle(t, settle.Work{Lease: l, Event: events[0], First: true})
}

func settleInTx(t *testing.T, f *fixture) {
	f.register(t, "s")
	events := f.log(t, 1)
	l := f.mustAcquire(t, "s", 0, "a")
	w := settle.Work{Lease: l, Event: events[0], First: true, Effect: f.effect("made")}
	require.ErrorIs(t, f.InTx(ctxOf(t), func(ctx context.Context) error {
		return errors.Join(f.Settle(ctx, w), errTest)
	}), errTest)
	require.Equal(t, everywhere(0), f.status(t, "s").Cursors)
	f.holds(t, 1)
	require.NoError(t, f.InTx(ctxOf(t), func(ctx context.Context) error { return f.Settle(ctx, w) }))
	require.Equal(t, events[0].Position, f.status(t, "s").Cursors[events[0].Slot])
	f.holds(t, 2)
}

// failingAmongMany settles on many lanes at once, so that they share commits: each event fails the
// first time, in one of several ways, and must leave nothing of that.
func failingAmongMany(t *testing.T, f *fixture) {
	const lanes, each = 16, 12
	f.register(t, "s")
	events := f.log(t, lanes*each)
	var order [lanes][]event.Envelope
	for _, e := range events {
		order[e.Slot%lanes] = append(order[e.Slot%lanes], e)
	}
	var leases [lanes]settle.Lease
	for i := range leases {
		leases[i] = f.mustAcquire(t, "s", i, "a")
	}
	var settled atomic.Int64
	together(lanes, func(i int) {
		for n, e := range order[i] {
			for attempt := range 2 {
				err := guarded(func() error {
					return f.Settle(ctxOf(t), settle.Work{Lease: leases[i], Event: e, First: true, Effect: func(ctx context.Context) error {
						if err := f.effect("effect of " + e.ID)(ctx); err != nil {
							return err
						}
						switch {
						case attempt == 1:
							return nil
						case n%3 == 1:
							panic(errTest)
						}
						return errTest
					}})
				})
				if attempt == 0 && !errors.Is(err, errTest) {
					t.Errorf("a failing effect: got %v", err)
				}
				if attempt == 1 {
					if err != nil {
						t.Error(err)
					}
					settled.Add(1)
				}
			}
		}
	})
	require.EqualValues(t, len(events), settled.Load())
	made := f.holds(t, 2*len(events))[len(events):]
	seen := map[string]bool{}
	for _, e := range made {
		require.False(t, seen[e.ID])
		seen[e.ID] = true
	}
	last := everywhere(0)
	for _, e := range events {
		last[e.Slot] = e.Position
	}
	require.Equal(t, last, f.status(t, "s").Cursors)
}

// guarded turns a panic with an error into that error.
func guarded(fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %w", p.(error)) // another panic shall stay one
		}
	}()
	return fn()
}

func advance(t *testing.T, f *fixture) {
	f.register(t, "s")
	l := f.mustAcquire(t, "s", 0, "a")
	ctx := ctxOf(t)
	require.NoError(t, f.Advance(ctx, l, map[int]int64{0: 5, 63: 7}))
	require.NoError(t, f.Advance(ctx, l, map[int]int64{0: 4, 63: 8, 1: 1}))
	require.NoError(t, f.Advance(ctx, l, nil))
	want := everywhere(0)
	want[0], want[1], want[63] = 5, 1, 8
	require.Equal(t, want, f.status(t, "s").Cursors)
}

// exactlyOnceUnderTakeover lets several owners fight for one lane. Each works on from the cursors that it
// finds, and the lane is taken from it at any time; every effect must be made once, in order.
func exactlyOnceUnderTakeover(t *testing.T, f *fixture) {
	const owners = 4
	f.register(t, "s")
	events := f.log(t, 60)
	ctx := ctxOf(t)
	var done atomic.Int64
	together(owners, func(owner int) {
		for done.Load() == 0 && ctx.Err() == nil {
			f.clock.Advance(ttl) // whoever has the lane has overslept
			l, ok, err := f.acquire(t, "s", 0, fmt.Sprint("owner", owner))
			if err != nil {
				t.Error(err)
				return
			}
			if !ok {
				continue
			}
			statuses, err := f.Statuses(ctx)
			if err != nil {
				t.Error(err)
				return
			}
			cursors, worked := statuses["s"].Cursors, 0
			for _, e := range events {
				if e.Position <= cursors[e.Slot] {
					continue
				}
				err := f.Settle(ctx, settle.Work{Lease: l, Event: e, First: true, Effect: f.effect("effect of " + e.ID)})
				if errors.Is(err, settle.ErrFenced) {
					break
				}
				if err != nil {
					t.Errorf("settle %s: %v", e.ID, err)
					return
				}
				if worked++; worked == 7 {
					break
				}
			}
			if worked == 0 {
				all := true
				for _, e := range events {
					all = all && e.Position <= cursors[e.Slot]
				}
				if all {
					done.Store(1)
				}
			}
		}
	})
	made := f.holds(t, 2*len(events))[len(events):]
	for i, e := range made {
		require.Equal(t, "effect of "+events[i].ID, e.ID)
	}
}
