package settletest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/settle"
)

func oneOwner(t *testing.T, f *fixture) {
	ctx := ctxOf(t)
	f.register(t, "s")
	a := f.mustAcquire(t, "s", 0, "a")
	require.Equal(t, settle.Lease{Set: "s", Lane: 0, Owner: "a", Fence: a.Fence}, a)
	require.Positive(t, a.Fence)
	_, ok, err := f.acquire(t, "s", 0, "b")
	require.NoError(t, err)
	require.False(t, ok, "somebody else holds it")
	f.mustAcquire(t, "s", 1, "b")

	require.NoError(t, f.Release(ctx, a))
	b := f.mustAcquire(t, "s", 0, "b")
	require.Greater(t, b.Fence, a.Fence)
	require.False(t, b.TakenOver, "the owner before let go")

	// Of many who try at once, one gets it.
	got := make([]bool, 16)
	together(len(got), func(i int) {
		_, ok, err := f.acquire(t, "s", 7, string(rune('a'+i)))
		if err != nil {
			t.Error(err)
		}
		got[i] = ok
	})
	owners := 0
	for _, ok := range got {
		if ok {
			owners++
		}
	}
	require.Equal(t, 1, owners)
}

func takeOver(t *testing.T, f *fixture) {
	ctx := ctxOf(t)
	f.register(t, "s")
	a := f.mustAcquire(t, "s", 0, "a")
	f.clock.Advance(ttl - time.Microsecond)
	_, ok, err := f.acquire(t, "s", 0, "b")
	require.NoError(t, err)
	require.False(t, ok)
	f.clock.Advance(time.Microsecond)
	b := f.mustAcquire(t, "s", 0, "b")
	require.True(t, b.TakenOver)
	require.Zero(t, b.InHand)
	require.Zero(t, b.Attempts)
	require.Greater(t, b.Fence, a.Fence)

	// The old owner's release changes nothing.
	require.NoError(t, f.Release(ctx, a))
	_, ok, err = f.acquire(t, "s", 0, "c")
	require.NoError(t, err)
	require.False(t, ok)
}

func inHand(t *testing.T, f *fixture) {
	ctx := ctxOf(t)
	f.register(t, "s")
	l := f.mustAcquire(t, "s", 0, "a")
	for deaths := 1; deaths <= 3; deaths++ {
		require.NoError(t, f.NoteInHand(ctx, l, 42, deaths-1))
		f.clock.Advance(ttl)
		l = f.mustAcquire(t, "s", 0, "b")
		require.True(t, l.TakenOver)
		require.EqualValues(t, 42, l.InHand)
		require.Equal(t, deaths, l.Attempts, "owners that died with it in hand")
	}
	// One that died without having had it in hand again does not count.
	f.clock.Advance(ttl)
	l = f.mustAcquire(t, "s", 0, "c")
	require.Equal(t, 3, l.Attempts)

	require.NoError(t, f.NoteInHand(ctx, l, 0, 0))
	f.clock.Advance(ttl)
	l = f.mustAcquire(t, "s", 0, "d")
	require.True(t, l.TakenOver)
	require.Zero(t, l.InHand)
	require.Zero(t, l.Attempts)

	require.NoError(t, f.NoteInHand(ctx, l, 43, 1))
	require.NoError(t, f.Release(ctx, l))
	l = f.mustAcquire(t, "s", 0, "e")
	require.False(t, l.TakenOver)
	require.Zero(t, l.InHand, "the owner before let go of it")
	require.Zero(t, l.Attempts)
}

func renew(t *testing.T, f *fixture) {
	ctx := ctxOf(t)
	f.register(t, "s")
	a, b := f.mustAcquire(t, "s", 0, "a"), f.mustAcquire(t, "s", 1, "a")
	f.clock.Advance(ttl - time.Second)
	lost, err := f.Renew(ctx, []settle.Lease{a}, ttl)
	require.NoError(t, err)
	require.Empty(t, lost)
	f.clock.Advance(2 * time.Second)
	_, ok, err := f.acquire(t, "s", 0, "b")
	require.NoError(t, err)
	require.False(t, ok, "the lease was renewed")
	f.mustAcquire(t, "s", 1, "b")
	lost, err = f.Renew(ctx, []settle.Lease{a, b}, ttl)
	require.NoError(t, err)
	require.Equal(t, []settle.Lease{b}, lost)

	require.NoError(t, f.Release(ctx, a))
	lost, err = f.Renew(ctx, []settle.Lease{a}, ttl)
	require.NoError(t, err)
	require.Equal(t, []settle.Lease{a}, lost)
	lost, err = f.Renew(ctx, nil, ttl)
	require.NoError(t, err)
	require.Empty(t, lost)
}

func fences(t *testing.T, f *fixture) {
	ctx := ctxOf(t)
	f.register(t, "s")
	events := f.log(t, 1)
	old := f.mustAcquire(t, "s", 0, "a")
	f.mustSettle(t, settle.Work{Lease: old, Event: events[0], First: true, Park: parkedOf(events[0], settle.Failed, 1)})
	standing := func() settle.Status {
		s := f.status(t, "s")
		s.Owners = nil
		return s
	}
	before, parked := standing(), f.parked(t, "s")
	f.clock.Advance(ttl)
	newer := f.mustAcquire(t, "s", 0, "b")

	refused := func(l settle.Lease) {
		t.Helper()
		work := settle.Work{Lease: l, Event: events[0], Effect: f.effect("of the old owner")}
		require.ErrorIs(t, f.Settle(ctx, work), settle.ErrFenced)
		work.First = true
		require.ErrorIs(t, f.Settle(ctx, work), settle.ErrFenced)
		require.ErrorIs(t, f.Advance(ctx, l, map[int]int64{0: 1 << 30}), settle.ErrFenced)
		require.ErrorIs(t, f.NoteInHand(ctx, l, 1, 1), settle.ErrFenced)
		require.Equal(t, before, standing())
		require.Equal(t, parked, f.parked(t, "s"))
		f.holds(t, 1)
	}
	refused(old)
	refused(settle.Lease{Set: "s", Lane: 5, Owner: "a", Fence: 1})
	refused(settle.Lease{Set: "s", Lane: 5, Owner: "a"})
	require.NoError(t, f.Release(ctx, newer))
	refused(newer)

	// A lease that has run out is good until somebody else has the lane.
	last := f.mustAcquire(t, "s", 0, "c")
	f.clock.Advance(2 * ttl)
	f.mustSettle(t, settle.Work{Lease: last, Event: events[0]})
	require.Empty(t, f.parked(t, "s"))
}
