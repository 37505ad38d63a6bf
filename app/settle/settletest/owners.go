package settletest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/settle"
	"github.com/leat-dev/leat/domain"
)

// owners are the cases of who may own lanes; they use nothing but the settlement records.
var owners = []one{
	{"no type is taken away", typesStay},
	{"a new type fences the lanes", newTypeFences},
	{"a new type does not hide a death", newTypeAndDeath},
	{"who does not know all types owns nothing", unknownTypes},
	{"another number of lanes waits", otherLanes},
	{"lanes of the dead are dealt anew", lanesOfTheDead},
	{"fences rise over all numbers of lanes", fencesRise},
	{"forget types", forgetTypes},
	{"what is at work is not forgotten", forgetAtWork},
	{"fences outlive a forgotten set", fencesOutlive},
	{"owners are shown", ownersAreShown},
	{"a first delivery behind the cursor", firstBehindCursor},
	{"who attends is counted", attends},
	{"who may not own does not count", attendsWithoutRight},
	{"free lanes are shown", freeLanes},
}

const newer = "build.renamed"

// claim is what a process that handles the types claims.
func claim(lane, lanes int, owner string, types ...string) settle.Claim {
	return settle.Claim{Set: "s", Lane: lane, Lanes: lanes, Types: types, Owner: owner, TTL: ttl}
}

func (f *fixture) mustClaim(t testing.TB, c settle.Claim) settle.Lease {
	t.Helper()
	l, ok, err := f.Acquire(ctxOf(t), c)
	require.NoError(t, err)
	require.True(t, ok, "lane %d of %d is not free for %s", c.Lane, c.Lanes, c.Owner)
	return l
}

// at is an event of the first slot.
func at(position int64) event.Envelope {
	e := envelope(fmt.Sprint("e", position), "key")
	e.Position, e.Slot = position, 0
	return e
}

// refused wants that the lease is good for nothing.
func (f *fixture) refused(t testing.TB, l settle.Lease) {
	t.Helper()
	ctx := ctxOf(t)
	ran := false
	w := settle.Work{Lease: l, Event: at(1 << 40), First: true, Effect: func(context.Context) error {
		ran = true
		return nil
	}}
	require.ErrorIs(t, f.Settle(ctx, w), settle.ErrFenced)
	require.ErrorIs(t, f.Advance(ctx, l, map[int]int64{0: 1 << 40}), settle.ErrFenced)
	require.ErrorIs(t, f.NoteInHand(ctx, l, 1, 1), settle.ErrFenced)
	lost, err := f.Renew(ctx, []settle.Lease{l}, ttl)
	require.NoError(t, err)
	require.Equal(t, []settle.Lease{l}, lost)
	require.NoError(t, f.Release(ctx, l))
	require.False(t, ran, "the effect of somebody who is no owner")
	require.Less(t, f.status(t, l.Set).Cursors[0], int64(1<<40))
}

func (f *fixture) registers(t testing.TB, types ...string) {
	t.Helper()
	require.NoError(t, f.Register(ctxOf(t), settle.Registration{Set: "s", Types: types}))
}

func typesStay(t *testing.T, f *fixture) {
	f.registers(t, "c.d", "a.b")
	require.Equal(t, []string{"a.b", "c.d"}, f.status(t, "s").Types)
	l := f.mustClaim(t, claim(0, 8, "a", "a.b", "c.d"))
	f.registers(t, "c.d")
	f.registers(t)
	f.registers(t, "a.b", "c.d")
	require.Equal(t, []string{"a.b", "c.d"}, f.status(t, "s").Types)
	f.mustSettle(t, settle.Work{Lease: l, Event: at(1), First: true})
	f.registers(t, "b.c", "c.d")
	require.Equal(t, []string{"a.b", "b.c", "c.d"}, f.status(t, "s").Types)
}

func newTypeFences(t *testing.T, f *fixture) {
	f.registers(t, typ)
	require.NoError(t, f.Register(ctxOf(t), settle.Registration{Set: "other", Types: []string{typ}}))
	first, last := f.mustClaim(t, claim(0, 8, "old", typ)), f.mustClaim(t, claim(7, 8, "old", typ))
	of := claim(0, 8, "old", typ)
	of.Set = "other"
	bystander := f.mustClaim(t, of)
	f.mustSettle(t, settle.Work{Lease: first, Event: at(1), First: true})
	changed := f.ParkedChanged()
	f.registers(t, typ, newer)
	f.closes(t, changed)
	f.refused(t, first)
	f.refused(t, last)
	require.EqualValues(t, 1, f.status(t, "s").Cursors[0])
	for _, old := range []settle.Lease{first, last} {
		l := f.mustClaim(t, claim(old.Lane, 8, "new", newer, typ))
		require.Greater(t, l.Fence, old.Fence)
		require.False(t, l.TakenOver, "nobody has died")
		f.refused(t, old)
	}
	f.mustSettle(t, settle.Work{Lease: bystander, Event: at(1), First: true})
}

func newTypeAndDeath(t *testing.T, f *fixture) {
	f.registers(t, typ)
	l := f.mustClaim(t, claim(0, 8, "dead", typ))
	require.NoError(t, f.NoteInHand(ctxOf(t), l, 42, 1))
	f.clock.Advance(ttl)
	f.registers(t, typ, newer)
	f.refused(t, l)
	l = f.mustClaim(t, claim(0, 8, "new", typ, newer))
	require.True(t, l.TakenOver)
	require.EqualValues(t, 42, l.InHand)
	require.Equal(t, 2, l.Attempts)
}

func unknownTypes(t *testing.T, f *fixture) {
	f.registers(t, "a.b", "c.d", "e.f")
	_, ok, err := f.Acquire(ctxOf(t), claim(0, 8, "old", "c.d", "x.y"))
	var unknown *settle.UnknownTypes
	require.ErrorAs(t, err, &unknown)
	require.False(t, ok)
	require.Equal(t, &settle.UnknownTypes{Set: "s", Types: []string{"a.b", "e.f"}}, unknown)
	require.Zero(t, f.status(t, "s").Lanes)
	f.mustClaim(t, claim(0, 8, "new", "a.b", "c.d", "e.f", "g.h"))
	require.Equal(t, []string{"a.b", "c.d", "e.f"}, f.status(t, "s").Types, "a claim registers nothing")

	for _, bad := range []settle.Claim{claim(8, 8, "a"), claim(-1, 8, "a"), claim(0, 0, "a"), claim(0, event.Slots+1, "a")} {
		_, _, err = f.Acquire(ctxOf(t), bad)
		require.Error(t, err, "lane %d of %d", bad.Lane, bad.Lanes)
	}
	nobody := claim(0, 8, "a")
	nobody.Set = "nobody"
	_, _, err = f.Acquire(ctxOf(t), nobody)
	require.Equal(t, domain.NotFound, domain.KindOf(err), "%v", err)
}

func (f *fixture) waits(t testing.TB, c settle.Claim, inForce int, owner string) {
	t.Helper()
	_, ok, err := f.Acquire(ctxOf(t), c)
	var other *settle.OtherLanes
	require.ErrorAs(t, err, &other)
	require.False(t, ok)
	require.Equal(t, &settle.OtherLanes{Set: "s", InForce: inForce, Claimed: c.Lanes, Owner: owner}, other)
}

func otherLanes(t *testing.T, f *fixture) {
	ctx := ctxOf(t)
	f.registers(t, typ)
	one, two := f.mustClaim(t, claim(0, 8, "a", typ)), f.mustClaim(t, claim(6, 8, "b", typ))
	require.Equal(t, 8, f.status(t, "s").Lanes)
	f.waits(t, claim(0, 4, "c", typ), 8, "a")
	require.NoError(t, f.Release(ctx, one))
	f.waits(t, claim(0, 4, "c", typ), 8, "b")
	f.mustSettle(t, settle.Work{Lease: two, Event: at(5), First: true})
	require.NoError(t, f.Release(ctx, two))
	l := f.mustClaim(t, claim(0, 4, "c", typ))
	require.False(t, l.TakenOver, "all had let go")
	require.Equal(t, 4, f.status(t, "s").Lanes)
	require.EqualValues(t, 5, f.status(t, "s").Cursors[0], "the cursors are those of slots")
	f.refused(t, one)
	f.refused(t, two)
	f.waits(t, claim(5, 8, "b", typ), 4, "c")
	f.waits(t, claim(0, 64, "c", typ), 4, "c")
	f.mustClaim(t, claim(3, 4, "d", typ))
}

func lanesOfTheDead(t *testing.T, f *fixture) {
	f.registers(t, typ)
	let, dead := f.mustClaim(t, claim(0, 8, "a", typ)), f.mustClaim(t, claim(1, 8, "b", typ))
	require.NoError(t, f.Release(ctxOf(t), let))
	require.NoError(t, f.NoteInHand(ctxOf(t), dead, 42, 1))
	f.clock.Advance(ttl - time.Microsecond)
	f.waits(t, claim(0, 4, "c", typ), 8, "b")
	f.clock.Advance(time.Microsecond)
	for lane := range 4 {
		l := f.mustClaim(t, claim(lane, 4, "c", typ))
		require.True(t, l.TakenOver, "nobody knows whose slots a lane has got")
		require.Zero(t, l.InHand)
		require.Zero(t, l.Attempts)
		require.Greater(t, l.Fence, dead.Fence)
	}
	f.refused(t, dead)
}

func fencesRise(t *testing.T, f *fixture) {
	f.registers(t, typ)
	var before []settle.Lease
	highest := map[int]int64{}
	for _, lanes := range []int{8, 4, 8, 1, 64, 8} {
		var held []settle.Lease
		for lane := range lanes {
			l := f.mustClaim(t, claim(lane, lanes, fmt.Sprint("with ", lanes), typ))
			require.Greater(t, l.Fence, highest[lane])
			highest[lane] = l.Fence
			held = append(held, l)
		}
		for _, l := range before {
			f.refused(t, l)
		}
		if lanes == 4 {
			f.clock.Advance(ttl)
		} else {
			for _, l := range held {
				require.NoError(t, f.Release(ctxOf(t), l))
			}
		}
		before = append(before, held[0], held[len(held)-1])
	}
}

// oneNumberOfLanes lets processes with several numbers of lanes fight for one set, with all dying
// all the time. Whoever has a lane looks whether others have one of another number.
func oneNumberOfLanes(t *testing.T, f *fixture) {
	f.registers(t, typ)
	ctx := ctxOf(t)
	e := at(1)
	begins := f.mustClaim(t, claim(0, 2, "first", typ))
	f.mustSettle(t, settle.Work{Lease: begins, Event: e, First: true, Park: parkedOf(e, settle.Failed, 1)})
	require.NoError(t, f.Release(ctx, begins))
	together(8, func(i int) {
		lanes := []int{2, 3, 8}[i%3]
		for n := range 40 {
			if n%3 == 2 {
				f.clock.Advance(ttl / 2)
			}
			l, ok, err := f.Acquire(ctx, claim(n%lanes, lanes, fmt.Sprint("owner", i), typ))
			if other := new(settle.OtherLanes); err != nil && !errors.As(err, &other) {
				t.Error(err)
				return
			}
			if !ok {
				continue
			}
			// Under the lease: the transaction holds the lane, so its number of lanes stays in force.
			err = f.Settle(ctx, settle.Work{Lease: l, Event: e, Park: parkedOf(e, settle.Failed, 1), Effect: func(ctx context.Context) error {
				statuses, err := f.Statuses(ctx)
				if err == nil && statuses["s"].Lanes != lanes {
					t.Errorf("%s settles with %d lanes while %d are in force", l.Owner, lanes, statuses["s"].Lanes)
				}
				return err
			}})
			if err != nil && !errors.Is(err, settle.ErrFenced) {
				t.Error(err)
				return
			}
			if n%4 == 0 {
				if err := f.Release(ctx, l); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

func forgetTypes(t *testing.T, f *fixture) {
	ctx := ctxOf(t)
	f.registers(t, typ, newer, "x.y")
	_, _, err := f.Acquire(ctx, claim(0, 8, "old", typ))
	require.ErrorAs(t, err, new(*settle.UnknownTypes))

	_, err = f.Forget(ctx, "s", newer, "not.known")
	require.Equal(t, domain.NotFound, domain.KindOf(err), "%v", err)
	require.ErrorContains(t, err, "not.known")
	require.Equal(t, []string{newer, typ, "x.y"}, f.status(t, "s").Types, "all of it or nothing")

	changed := f.ParkedChanged()
	gone, err := f.Forget(ctx, "s", "x.y", newer)
	require.NoError(t, err)
	require.Equal(t, settle.Forgotten{Types: []string{"x.y", newer}}, gone)
	f.closes(t, changed)
	require.Equal(t, []string{typ}, f.status(t, "s").Types)
	f.mustSettle(t, settle.Work{Lease: f.mustClaim(t, claim(0, 8, "old", typ)), Event: at(1), First: true})
}

func forgetAtWork(t *testing.T, f *fixture) {
	ctx := ctxOf(t)
	f.registers(t, typ, newer)
	l := f.mustClaim(t, claim(0, 8, "host/1/abc", typ, newer))
	before := f.status(t, "s")
	for _, types := range [][]string{nil, {newer}} {
		_, err := f.Forget(ctx, "s", types...)
		require.Equal(t, domain.Conflict, domain.KindOf(err), "%v", err)
		require.ErrorContains(t, err, "host/1/abc")
		_, err = f.Forget(ctx, "nobody", types...)
		require.Equal(t, domain.NotFound, domain.KindOf(err), "%v", err)
	}
	require.Equal(t, before, f.status(t, "s"))
	f.mustSettle(t, settle.Work{Lease: l, Event: at(1), First: true})
	f.clock.Advance(ttl)
	_, err := f.Forget(ctx, "s")
	require.NoError(t, err, "the owner is dead")
}

func fencesOutlive(t *testing.T, f *fixture) {
	f.registers(t, typ)
	old := f.mustClaim(t, claim(0, 8, "asleep", typ))
	f.clock.Advance(ttl)
	_, err := f.Forget(ctxOf(t), "s")
	require.NoError(t, err)
	f.registers(t, typ)
	f.refused(t, old)
	l := f.mustClaim(t, claim(0, 8, "new", typ))
	require.Greater(t, l.Fence, old.Fence)
	require.False(t, l.TakenOver)
	f.refused(t, old)
}

func ownersAreShown(t *testing.T, f *fixture) {
	f.registers(t, typ)
	require.Empty(t, f.status(t, "s").Owners)
	l := f.mustClaim(t, claim(0, 8, "a", typ))
	f.mustClaim(t, claim(1, 8, "a", typ))
	f.mustClaim(t, claim(2, 8, "b", typ))
	require.Equal(t, map[string]int{"a": 2, "b": 1}, f.status(t, "s").Owners)
	require.Equal(t, 8, f.status(t, "s").Lanes)
	require.NoError(t, f.Release(ctxOf(t), l))
	require.Equal(t, map[string]int{"a": 1, "b": 1}, f.status(t, "s").Owners)
	f.clock.Advance(ttl)
	require.Empty(t, f.status(t, "s").Owners)
}

func firstBehindCursor(t *testing.T, f *fixture) {
	f.registers(t, typ)
	l := f.mustClaim(t, claim(0, 8, "a", typ))
	f.mustSettle(t, settle.Work{Lease: l, Event: at(5), First: true})
	before := f.status(t, "s")
	for _, position := range []int64{1, 5} {
		e := at(position)
		for what, w := range map[string]settle.Work{
			"handled": {}, "parked": {Park: parkedOf(e, settle.Failed, 1)}, "dead": {Dead: letterOf("s", e, 1)},
			"with an effect": {Effect: func(context.Context) error {
				t.Error("the effect ran again")
				return nil
			}},
		} {
			w.Lease, w.Event, w.First = l, e, true
			require.ErrorIs(t, f.Settle(ctxOf(t), w), settle.ErrSettled, "%s, position %d", what, position)
		}
	}
	require.Equal(t, before, f.status(t, "s"))
	require.Empty(t, f.parked(t, "s"))

	// What failed has not moved the cursor, and several of one slot may come after one another.
	failed := settle.Work{Lease: l, Event: at(6), First: true, Effect: func(context.Context) error { return errTest }}
	require.ErrorIs(t, f.Settle(ctxOf(t), failed), errTest)
	for position := int64(6); position < 40; position++ {
		f.mustSettle(t, settle.Work{Lease: l, Event: at(position), First: true, Effect: func(context.Context) error { return nil }})
	}
	require.EqualValues(t, 39, f.status(t, "s").Cursors[0])
}

// oldBesideNew lets processes of an old version work beside those of a new one, which begin in the middle
// and know one more type. The old ones step over what they do not know, as they always did; after the
// first of the new ones has begun, they must not.
func oldBesideNew(t *testing.T, f *fixture) {
	f.registers(t, typ)
	const n = 120
	batch := make([]event.Envelope, n)
	for i := range batch {
		batch[i] = envelope(fmt.Sprint("e", i), "one key")
		if i%2 == 1 {
			batch[i].Type = newer
		}
	}
	_, err := f.Append(ctxOf(t), batch)
	require.NoError(t, err)
	events := f.holds(t, n)
	ctx := ctxOf(t)
	var began [event.Slots]int64
	ended := func() bool {
		return ctx.Err() != nil || f.status(t, "s").Cursors[events[0].Slot] >= events[n-1].Position
	}
	work := func(owner string, types ...string) {
		c := claim(events[0].Slot%8, 8, owner, types...)
		l, ok, err := f.Acquire(ctx, c)
		if unknown := new(settle.UnknownTypes); err != nil && !errors.As(err, &unknown) {
			t.Error(err)
		}
		if !ok {
			return
		}
		cursor := f.status(t, "s").Cursors[events[0].Slot]
		for settled, i := 0, 0; i < n && settled < 5; i++ {
			e := events[i]
			if e.Position <= cursor || len(types) == 1 && e.Type == newer {
				continue
			}
			err := f.Settle(ctx, settle.Work{Lease: l, Event: e, First: true, Effect: f.effect("effect of " + e.ID)})
			if errors.Is(err, settle.ErrFenced) {
				return
			}
			if err != nil {
				t.Errorf("%s settles %s: %v", owner, e.ID, err)
				return
			}
			settled++
		}
		if err := f.Release(ctx, l); err != nil {
			t.Error(err)
		}
	}
	together(4, func(i int) {
		if i < 2 {
			for !ended() && !t.Failed() {
				work(fmt.Sprint("old ", i), typ)
			}
			return
		}
		for f.status(t, "s").Cursors[events[0].Slot] < events[n/4].Position && !t.Failed() && ctx.Err() == nil {
			runtime.Gosched()
		}
		if i == 2 {
			f.registers(t, typ, newer)
			began = f.status(t, "s").Cursors
		}
		for !ended() && !t.Failed() {
			work(fmt.Sprint("new ", i), newer, typ)
		}
	})
	for made := map[string]bool{}; ; {
		appended := f.Appended()
		after, _, err := f.Read(ctx, events[n-1].Position, 0, 2*n)
		require.NoError(t, err)
		for _, e := range after {
			made[e.ID] = true // each once: the effect itself refuses to be made again
		}
		var missing []string
		for _, e := range events {
			if (e.Type == typ || e.Position > began[e.Slot]) && !made["effect of "+e.ID] {
				missing = append(missing, e.ID)
			}
		}
		if missing == nil {
			return
		}
		select {
		case <-appended:
		case <-ctx.Done():
			t.Fatalf("stepped over: %v; the new version began after position %d", missing, began[events[0].Slot])
		}
	}
}
