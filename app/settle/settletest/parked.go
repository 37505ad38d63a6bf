package settletest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/deadletter"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/settle"
	"github.com/leat-dev/leat/domain"
)

func deadFilter(set string) deadletter.Filter { return deadletter.Filter{Tenant: "acme", Set: set} }

func park(t *testing.T, f *fixture) {
	f.register(t, "s")
	f.register(t, "other")
	events := f.log(t, 3)
	l := f.mustAcquire(t, "s", 0, "a")
	var want []settle.Parked
	for i, state := range []settle.ParkState{settle.Failed, settle.Behind, settle.Held} {
		p := parkedOf(events[i], state, i)
		f.mustSettle(t, settle.Work{Lease: l, Event: events[i], First: true, Park: p})
		want = append(want, *p)
	}
	require.Equal(t, want, f.parked(t, "s"))
	require.Empty(t, f.parked(t, "other"))
	s := f.status(t, "s")
	require.Equal(t, 3, s.Parked)
	require.Zero(t, s.Redrive)
	for _, e := range events {
		require.Equal(t, e.Position, s.Cursors[e.Slot], "the lane goes on behind a parked event")
	}
	// A row without a time: nobody has planned the next attempt.
	p := parkedOf(events[1], settle.Behind, 0)
	p.Due = time.Time{}
	f.mustSettle(t, settle.Work{Lease: l, Event: events[1], Park: p})
	require.Equal(t, *p, f.parked(t, "s")[1])

	both := settle.Work{Lease: l, Event: events[2], Park: parkedOf(events[2], settle.Failed, 1), Dead: letterOf("s", events[2], 1)}
	require.Error(t, f.Settle(ctxOf(t), both))
}

func parkedBySlots(t *testing.T, f *fixture) {
	f.register(t, "s")
	events := f.log(t, 80)
	l := f.mustAcquire(t, "s", 0, "a")
	for _, e := range events {
		f.mustSettle(t, settle.Work{Lease: l, Event: e, First: true, Park: parkedOf(e, settle.Failed, 1)})
	}
	slots := []int{0, 17, 42, 63}
	var want []settle.Parked
	for _, e := range events {
		for _, slot := range slots {
			if e.Slot == slot {
				want = append(want, *parkedOf(e, settle.Failed, 1))
			}
		}
	}
	require.NotEmpty(t, want)
	got, err := f.Parked(ctxOf(t), "s", slots)
	require.NoError(t, err)
	require.Equal(t, want, got, "by position")
	got, err = f.Parked(ctxOf(t), "s", nil)
	require.NoError(t, err)
	require.Empty(t, got)
}

func attemptOfParked(t *testing.T, f *fixture) {
	f.register(t, "s")
	events := f.log(t, 2)
	l := f.mustAcquire(t, "s", 0, "a")
	for _, e := range events {
		f.mustSettle(t, settle.Work{Lease: l, Event: e, First: true, Park: parkedOf(e, settle.Failed, 1)})
	}
	before := f.status(t, "s").Cursors
	again := parkedOf(events[0], settle.Held, 2)
	f.mustSettle(t, settle.Work{Lease: l, Event: events[0], Park: again})
	require.Equal(t, *again, f.parked(t, "s")[0])

	require.ErrorIs(t, f.Settle(ctxOf(t), settle.Work{Lease: l, Event: events[0], Effect: failing(f.effect("undone"))}), errTest)
	require.Len(t, f.parked(t, "s"), 2, "a failed attempt leaves the row alone")
	f.mustSettle(t, settle.Work{Lease: l, Event: events[0], Effect: f.effect("made")})
	left := f.parked(t, "s")
	require.Len(t, left, 1)
	require.Equal(t, events[1].Position, left[0].Position)
	require.Equal(t, before, f.status(t, "s").Cursors)
	f.holds(t, 3)
}

// settledMeanwhile is an owner's second try after a commit whose answer never came.
func settledMeanwhile(t *testing.T, f *fixture) {
	f.register(t, "s")
	events := f.log(t, 2)
	l := f.mustAcquire(t, "s", 0, "a")
	ends := []settle.Work{
		{Lease: l, Event: events[0], Effect: f.effect("made")},
		{Lease: l, Event: events[1], Dead: letterOf("s", events[1], 2)},
	}
	for i, w := range ends {
		f.mustSettle(t, settle.Work{Lease: l, Event: w.Event, First: true, Park: parkedOf(w.Event, settle.Failed, 1)})
		f.mustSettle(t, w)
		for name, again := range map[string]settle.Work{
			"handled": {Effect: func(context.Context) error { t.Error("the effect was run again"); return nil }},
			"bare":    {},
			"parked":  {Park: parkedOf(w.Event, settle.Failed, 2)},
			"dead":    {Dead: letterOf("s", w.Event, 3)},
		} {
			again.Lease, again.Event = l, w.Event
			require.ErrorIs(t, f.Settle(ctxOf(t), again), settle.ErrSettled, name)
			require.ErrorIs(t, f.InTx(ctxOf(t), func(ctx context.Context) error { return f.Settle(ctx, again) }), settle.ErrSettled, name)
		}
		require.Empty(t, f.parked(t, "s"))
		letters, _, err := f.DeadLetters(ctxOf(t), deadFilter("s"))
		require.NoError(t, err)
		require.Len(t, letters, i)
	}
	f.holds(t, 3)
}

// goesOnFromFailures settles as a lane does that does not wait for commits: each work when the one before is
// applied, or told where a store does not say so.
func goesOnFromFailures(t *testing.T, f *fixture) {
	f.register(t, "s")
	events := f.log(t, 5)
	l := f.mustAcquire(t, "s", 0, "a")
	goOn := func(works ...settle.Work) {
		told := make(chan error, len(works))
		for _, w := range works {
			applied, ended := make(chan struct{}), make(chan struct{})
			w.Lease, w.Run, w.More, w.Applied = l, 1, true, func() { close(applied) }
			go func() {
				defer close(ended)
				told <- f.Settle(ctxOf(t), w)
			}()
			select {
			case <-applied:
			case <-ended:
			}
		}
		for range works {
			require.NoError(t, <-told)
		}
	}
	goOn(
		settle.Work{Event: events[0], First: true, Park: parkedOf(events[0], settle.Failed, 1)},
		settle.Work{Event: events[1], First: true, Dead: letterOf("s", events[1], 1)},
		settle.Work{Event: events[2], First: true, Effect: f.effect("third")},
	)
	require.Equal(t, []settle.Parked{*parkedOf(events[0], settle.Failed, 1)}, f.parked(t, "s"))
	goOn(
		settle.Work{Event: events[0], Park: parkedOf(events[0], settle.Failed, 2)},
		settle.Work{Event: events[3], First: true, Effect: f.effect("fourth")},
	)
	require.Equal(t, []settle.Parked{*parkedOf(events[0], settle.Failed, 2)}, f.parked(t, "s"))
	goOn(
		settle.Work{Event: events[0], Dead: letterOf("s", events[0], 3)},
		settle.Work{Event: events[4], First: true, Effect: f.effect("fifth")},
	)
	require.Empty(t, f.parked(t, "s"))
	letters, _, err := f.DeadLetters(ctxOf(t), deadFilter("s"))
	require.NoError(t, err)
	require.Len(t, letters, 2)
	cursors := f.status(t, "s").Cursors
	for _, e := range events {
		require.GreaterOrEqual(t, cursors[e.Slot], e.Position)
	}
	f.holds(t, 8)
}

func bury(t *testing.T, f *fixture) {
	f.register(t, "s")
	events := f.log(t, 2)
	l := f.mustAcquire(t, "s", 0, "a")
	f.mustSettle(t, settle.Work{Lease: l, Event: events[0], First: true, Dead: letterOf("s", events[0], 1)})
	require.Equal(t, events[0].Position, f.status(t, "s").Cursors[events[0].Slot])
	f.mustSettle(t, settle.Work{Lease: l, Event: events[1], First: true, Park: parkedOf(events[1], settle.Failed, 1)})
	f.mustSettle(t, settle.Work{Lease: l, Event: events[1], Dead: letterOf("s", events[1], 2)})
	require.Empty(t, f.parked(t, "s"), "a dead letter is not parked any more")
	for i, e := range events {
		want := *letterOf("s", e, i+1)
		got, err := f.DeadLetter(ctxOf(t), "acme", want.ID())
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

// redriven returns an event that was given back from the dead letters.
func (f *fixture) redriven(t *testing.T) (settle.Lease, event.Envelope, string) {
	t.Helper()
	ctx := ctxOf(t)
	f.register(t, "s")
	e := f.log(t, 1)[0]
	l := f.mustAcquire(t, "s", 0, "a")
	f.mustSettle(t, settle.Work{Lease: l, Event: e, First: true, Dead: letterOf("s", e, 3)})
	id := letterOf("s", e, 3).ID()
	f.clock.Advance(time.Minute)
	changed := f.ParkedChanged()
	require.NoError(t, f.RetryDeadLetter(ctx, "acme", id, "ann"))
	select {
	case <-changed:
	case <-ctx.Done():
		t.Fatal("ParkedChanged was not closed")
	}
	require.Equal(t, []settle.Parked{{
		Position: e.Position, Slot: e.Slot, Key: e.Key(), State: settle.Redrive, Due: start.Add(time.Minute),
	}}, f.parked(t, "s"))
	s := f.status(t, "s")
	require.Zero(t, s.Parked)
	require.Equal(t, 1, s.Redrive)
	return l, e, id
}

func redriveHandled(t *testing.T, f *fixture) {
	l, e, id := f.redriven(t)
	require.ErrorIs(t, f.Settle(ctxOf(t), settle.Work{Lease: l, Event: e, Effect: failing(f.effect("undone"))}), errTest)
	_, err := f.DeadLetter(ctxOf(t), "acme", id)
	require.NoError(t, err)
	f.mustSettle(t, settle.Work{Lease: l, Event: e, Effect: f.effect("made")})
	require.Empty(t, f.parked(t, "s"))
	_, err = f.DeadLetter(ctxOf(t), "acme", id)
	require.Equal(t, domain.NotFound, domain.KindOf(err), "a letter that was handled is gone")
}

func redriveFails(t *testing.T, f *fixture) {
	l, e, id := f.redriven(t)
	f.mustSettle(t, settle.Work{Lease: l, Event: e, Park: parkedOf(e, settle.Failed, 1)})
	want := *parkedOf(e, settle.Redrive, 1)
	require.Equal(t, []settle.Parked{want}, f.parked(t, "s"), "it stays a redrive")
	letter, err := f.DeadLetter(ctxOf(t), "acme", id)
	require.NoError(t, err)
	require.Equal(t, deadletter.Retrying, letter.State)

	f.mustSettle(t, settle.Work{Lease: l, Event: e, Dead: letterOf("s", e, 4)})
	require.Empty(t, f.parked(t, "s"))
	letter, err = f.DeadLetter(ctxOf(t), "acme", id)
	require.NoError(t, err)
	require.Equal(t, *letterOf("s", e, 4), letter, "it is open again")
}
