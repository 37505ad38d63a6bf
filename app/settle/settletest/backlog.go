package settletest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/settle"
)

func (f *fixture) oldest(t testing.TB) map[string]time.Time {
	t.Helper()
	all, err := f.Oldest(ctxOf(t))
	require.NoError(t, err)
	return all
}

// oldest goes with cursors, types and parked events, and forgets what is settled.
func oldest(t *testing.T, f *fixture) {
	ctx := ctxOf(t)
	require.Empty(t, f.oldest(t))
	f.register(t, "some")
	require.NoError(t, f.Register(ctx, settle.Registration{Set: "none", Types: []string{"x.y"}}))
	require.Equal(t, map[string]time.Time{"some": {}, "none": {}}, f.oldest(t))
	for i := range 5 { // all of one key, a minute apart
		e := envelope(fmt.Sprint(i), "key")
		if i == 0 {
			e.Type = "a.b"
		}
		_, err := f.Append(ctx, []event.Envelope{e})
		require.NoError(t, err)
		f.clock.Advance(time.Minute)
	}
	events := f.holds(t, 5)
	accepted := func(i int) map[string]time.Time {
		return map[string]time.Time{"some": start.Truncate(time.Microsecond).Add(time.Duration(i) * time.Minute).UTC(), "none": {}}
	}
	require.Equal(t, accepted(1), f.oldest(t))
	l := f.mustAcquire(t, "some", 0, "a")
	f.mustSettle(t, settle.Work{Lease: l, Event: events[1], First: true})
	require.Equal(t, accepted(2), f.oldest(t))
	f.mustSettle(t, settle.Work{Lease: l, Event: events[2], First: true, Park: parkedOf(events[2], settle.Failed, 1)})
	f.mustSettle(t, settle.Work{Lease: l, Event: events[3], First: true, Dead: letterOf("some", events[3], 1)})
	f.mustSettle(t, settle.Work{Lease: l, Event: events[4], First: true})
	require.Equal(t, accepted(2), f.oldest(t), "what is parked is not settled")
	f.mustSettle(t, settle.Work{Lease: l, Event: events[2]})
	require.Equal(t, map[string]time.Time{"some": {}, "none": {}}, f.oldest(t), "a dead letter is settled")
}

// longBacklog has more before the set than is looked at: the figures are then bounds.
func longBacklog(t *testing.T, f *fixture) {
	ctx := ctxOf(t)
	const more = 50
	f.register(t, "some")
	f.register(t, "done")
	events := make([]event.Envelope, settle.BacklogLook+more)
	for i := range events {
		events[i] = envelope(fmt.Sprint(i), fmt.Sprint(i))
		if i%2 == 0 || i > settle.BacklogLook {
			events[i].Type = "a.b"
		}
	}
	require.NoError(t, f.InTx(ctx, func(ctx context.Context) error {
		_, err := f.Append(ctx, events)
		return err
	}))
	last := f.end(t, len(events))
	backlog := func() map[string]int {
		b, err := f.Backlog(ctx)
		require.NoError(t, err)
		return b
	}
	require.Equal(t, settle.BacklogLook/2+more, backlog()["some"], "what lies beyond is counted whatever its type")

	// One slot stays behind; all of its events were settled, and the others are only of other types.
	l := f.mustAcquire(t, "some", 0, "a")
	cursors := map[int]int64{}
	for slot := range event.Slots {
		cursors[slot] = last
	}
	delete(cursors, 7)
	require.NoError(t, f.Advance(ctx, l, cursors))
	require.GreaterOrEqual(t, backlog()["some"], more)
	require.False(t, f.oldest(t)["some"].IsZero())
	cursors[7] = last
	require.NoError(t, f.Advance(ctx, l, cursors))
	require.NoError(t, f.Advance(ctx, f.mustAcquire(t, "done", 0, "a"), cursors))
	require.Equal(t, map[string]int{"some": 0, "done": 0}, backlog(), "exact when all is quiet")
	require.Equal(t, map[string]time.Time{"some": {}, "done": {}}, f.oldest(t))
}

// end waits until the log has n events and returns the last one's position.
func (f *fixture) end(t testing.TB, n int) int64 {
	t.Helper()
	ctx := ctxOf(t)
	for {
		appended := f.Appended()
		first, last, err := f.Bounds(ctx)
		require.NoError(t, err)
		if last-first+1 >= int64(n) {
			return last
		}
		select {
		case <-appended:
		case <-ctx.Done():
			t.Fatalf("the log goes up to %d", last)
		}
	}
}
