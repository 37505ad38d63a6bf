package settletest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/settle"
	"github.com/leat-dev/leat/domain"
)

func register(t *testing.T, f *fixture) {
	ctx := ctxOf(t)
	all, err := f.Statuses(ctx)
	require.NoError(t, err)
	require.Empty(t, all)

	f.register(t, "early")
	events := f.log(t, 3)
	f.register(t, "late")
	require.NoError(t, f.Register(ctx, settle.Registration{Set: "all", Types: []string{"b.y", "a.x"}, FromStart: true}))
	require.Equal(t, everywhere(0), f.status(t, "early").Cursors, "the log was empty")
	require.Equal(t, everywhere(events[2].Position), f.status(t, "late").Cursors, "it begins after the present end")
	require.Equal(t, settle.Status{Set: "all", Types: []string{"a.x", "b.y"}}, f.status(t, "all"))
}

func registerAgain(t *testing.T, f *fixture) {
	ctx := ctxOf(t)
	f.register(t, "s")
	events := f.log(t, 2)
	f.mustSettle(t, settle.Work{Lease: f.mustAcquire(t, "s", 0, "a"), Event: events[0], First: true})
	require.NoError(t, f.SetPaused(ctx, "s", true))
	before := f.status(t, "s")
	require.NoError(t, f.Register(ctx, settle.Registration{Set: "s", Types: []string{"other.type"}, FromStart: true}))
	before.Types, before.Owners = []string{typ, "other.type"}, nil
	require.Equal(t, before, f.status(t, "s"), "want everything as it was, and one type more")
}

func forget(t *testing.T, f *fixture) {
	ctx := ctxOf(t)
	f.register(t, "s")
	f.register(t, "other")
	events := f.log(t, 3)
	l := f.mustAcquire(t, "s", 0, "a")
	f.mustSettle(t, settle.Work{Lease: l, Event: events[0], First: true, Park: parkedOf(events[0], settle.Failed, 1)})
	f.mustSettle(t, settle.Work{Lease: l, Event: events[1], First: true, Dead: letterOf("s", events[1], 1)})
	require.NoError(t, f.Release(ctx, l))
	changed := f.ParkedChanged()
	gone, err := f.Forget(ctx, "s")
	require.NoError(t, err)
	require.Equal(t, settle.Forgotten{Types: []string{typ}, Cursors: event.Slots, Parked: 1}, gone)
	f.closes(t, changed)
	all, err := f.Statuses(ctx)
	require.NoError(t, err)
	require.NotContains(t, all, "s")
	require.Contains(t, all, "other")
	require.ErrorIs(t, f.Settle(ctx, settle.Work{Lease: l, Event: events[2], First: true}), settle.ErrFenced)
	_, _, err = f.acquire(t, "s", 0, "a")
	require.Equal(t, domain.NotFound, domain.KindOf(err), "%v", err)
	letters, _, err := f.DeadLetters(ctx, deadFilter("s"))
	require.NoError(t, err)
	require.Len(t, letters, 1, "its dead letters stay")

	f.register(t, "s")
	require.Empty(t, f.parked(t, "s"))
	require.Equal(t, everywhere(events[2].Position), f.status(t, "s").Cursors, "it is new again")
}

func pauseAndResume(t *testing.T, f *fixture) {
	ctx := ctxOf(t)
	f.register(t, "s")
	for _, paused := range []bool{true, false} {
		changed := f.ParkedChanged()
		require.NoError(t, f.SetPaused(ctx, "s", paused))
		require.Equal(t, paused, f.status(t, "s").Paused)
		f.closes(t, changed)
	}
	require.Equal(t, domain.NotFound, domain.KindOf(f.SetPaused(ctx, "nobody", true)))
}
