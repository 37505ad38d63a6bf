package eventlogtest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/deadletter"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/settle"
)

func (f *fixture) prune(t *testing.T, before time.Time, limit, want int) {
	t.Helper()
	n, err := f.Prune(ctxOf(t), before, limit)
	require.NoError(t, err)
	require.Equal(t, want, n, "number of events pruned")
}

func (f *fixture) wantBounds(t *testing.T, wantFirst, wantLast int64) {
	t.Helper()
	first, last, err := f.Bounds(ctxOf(t))
	require.NoError(t, err)
	require.Equal(t, wantFirst, first, "first position kept")
	require.Equal(t, wantLast, last, "last position")
}

func pruneWithoutSets(t *testing.T, f *fixture) {
	f.prune(t, start.Add(time.Hour), 10, 0)
	f.mustAppendIDs(t, "a", "b", "c")
	f.clock.Advance(time.Minute)
	f.mustAppendIDs(t, "d")
	all := f.all(t, 4)
	f.prune(t, start, 10, 0)
	f.prune(t, start.Add(time.Second), 2, 2)
	require.Equal(t, []string{"c", "d"}, ids(f.all(t, 2)))
	f.wantBounds(t, all[2].Position, all[3].Position)
	f.prune(t, start.Add(time.Second), 10, 1)
	f.wantBounds(t, all[3].Position, all[3].Position)
	f.prune(t, start.Add(time.Hour), 10, 1)

	// Empty, but it knows what was.
	f.wantBounds(t, all[3].Position+1, all[3].Position)
	_, through, err := f.Read(ctxOf(t), 0, 0, 10)
	require.NoError(t, err)
	require.Equal(t, all[3].Position, through)
	f.mustAppendIDs(t, "e")
	require.Greater(t, f.all(t, 1)[0].Position, all[3].Position, "positions are never given again")
	// What was forgotten can be published again.
	require.False(t, f.mustAppend(t, envelope("a"))[0].Duplicate)
}

func (f *fixture) lease(t *testing.T, set string) settle.Lease {
	t.Helper()
	l, ok, err := f.Acquire(ctxOf(t), settle.Claim{
		Set: set, Lanes: 1, Types: []string{"build.started"}, Owner: "tests", TTL: time.Hour,
	})
	require.NoError(t, err)
	require.True(t, ok)
	return l
}

func everySlot(position int64) map[int]int64 {
	cursors := map[int]int64{}
	for slot := range event.Slots {
		cursors[slot] = position
	}
	return cursors
}

func pruneKeepsUnsettled(t *testing.T, f *fixture) {
	ctx := ctxOf(t)
	require.NoError(t, f.Register(ctx, settle.Registration{Set: "fast", Types: []string{"build.started"}}))
	require.NoError(t, f.Register(ctx, settle.Registration{Set: "slow", Types: []string{"build.started"}, FromStart: true}))
	f.mustAppendIDs(t, "a", "b", "c", "d")
	all := f.all(t, 4)
	late := start.Add(time.Hour)
	require.NoError(t, f.Advance(ctx, f.lease(t, "fast"), everySlot(all[3].Position)))
	f.prune(t, late, 10, 0)
	slow := f.lease(t, "slow")
	require.NoError(t, f.Advance(ctx, slow, everySlot(all[1].Position)))
	f.prune(t, late, 10, 2)
	f.wantBounds(t, all[2].Position, all[3].Position)
	require.NoError(t, f.Settle(ctx, settle.Work{Lease: slow, Event: all[2], First: true}))
	f.prune(t, late, 10, 1)
	require.Equal(t, []string{"d"}, ids(f.all(t, 1)))
	require.NoError(t, f.Release(ctx, slow))
	_, err := f.Forget(ctx, "slow")
	require.NoError(t, err)
	f.prune(t, late, 10, 1)
}

func pruneKeepsParkedAndDead(t *testing.T, f *fixture) {
	ctx := ctxOf(t)
	require.NoError(t, f.Register(ctx, settle.Registration{Set: "s", Types: []string{"build.started"}}))
	f.mustAppendIDs(t, "parked", "handled", "dead", "discarded", "handled too")
	all := f.all(t, 5)
	l := f.lease(t, "s")
	late := start.Add(time.Hour)
	for _, e := range all {
		w := settle.Work{Lease: l, Event: e, First: true}
		switch e.ID {
		case "parked":
			w.Park = &settle.Parked{Position: e.Position, Slot: e.Slot, Key: e.Key(), State: settle.Failed, Attempts: 1, Due: late, Reason: "r"}
		case "dead", "discarded":
			w.Dead = &deadletter.Letter{Set: "s", Event: e, Attempts: 3, Reason: "r", Failed: start, State: deadletter.Open}
		}
		require.NoError(t, f.Settle(ctx, w))
	}
	id := func(i int) string { return deadletter.Letter{Set: "s", Event: all[i]}.ID() }
	require.NoError(t, f.DiscardDeadLetter(ctx, "acme", id(3), "ann"))
	f.prune(t, late, 10, 3)
	require.Equal(t, []string{"parked", "dead"}, ids(f.all(t, 2)))
	f.wantBounds(t, all[4].Position+1, all[4].Position)

	// While it is being retried it is still needed.
	require.NoError(t, f.RetryDeadLetter(ctx, "acme", id(2), "ann"))
	f.prune(t, late, 10, 0)
	require.NoError(t, f.Settle(ctx, settle.Work{Lease: l, Event: all[2]}))
	f.prune(t, late, 10, 1)
	require.NoError(t, f.Settle(ctx, settle.Work{Lease: l, Event: all[0]}))
	f.prune(t, late, 10, 1)
	f.all(t, 0)

	// The discarded letter kept its copy.
	letter, err := f.DeadLetter(ctx, "acme", id(3))
	require.NoError(t, err)
	require.Equal(t, all[3], letter.Event)
}
