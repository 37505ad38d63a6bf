// Package deadlettertest is the conformance suite of package deadletter's Store. A store's test
// calls Run with one line. How letters come into being and go is settletest's subject.
package deadlettertest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/deadletter"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/app/settle"
	"github.com/leat-dev/leat/domain"
)

// Store is what the suite needs: the dead letters, and what brings them about.
type Store interface {
	deadletter.Store
	deadletter.Strays
	settle.Store
	eventlog.Log
}

// Run tests a store. open returns an empty one that takes the time from clock, and sees to its end.
func Run(t *testing.T, open func(t *testing.T, clock clockwork.Clock) Store) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, f *fixture)
	}{
		{"a letter is complete", complete},
		{"list", list},
		{"list in pages", pages},
		{"list by type", byType},
		{"retry", retry},
		{"discard", discard},
		{"not found", notFound},
		{"tenants never cross", tenants},
		{"a set that is gone", setGone},
		{"count", count},
		{"decisions at once", decisionsAtOnce},
		{"strays", strays},
		{"a stray that comes again", strayTwice},
		{"strays retried at the desk", desk},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			clock := clockwork.NewFakeClockAt(start)
			c.test(t, &fixture{Store: open(t, clock), clock: clock, leases: map[string]settle.Lease{}})
		})
	}
}

var start = time.Date(2024, 5, 17, 9, 30, 0, 123456000, time.UTC)

type fixture struct {
	Store
	clock  *clockwork.FakeClock
	leases map[string]settle.Lease
	dead   int
}

func ctxOf(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// bury makes an event of the tenant die in the set and returns what the store should hold.
func (f *fixture) bury(t *testing.T, set, tenant, typ string) deadletter.Letter {
	t.Helper()
	ctx := ctxOf(t)
	l, ok := f.leases[set]
	if !ok {
		require.NoError(t, f.Register(ctx, settle.Registration{Set: set, Types: []string{typ}}))
		l, ok, _ = f.Acquire(ctx, settle.Claim{Set: set, Lanes: 1, Types: []string{typ}, Owner: "tests", TTL: 24 * time.Hour})
		require.True(t, ok)
		f.leases[set] = l
	}
	f.dead++
	e := event.Envelope{
		ID: fmt.Sprint("event", f.dead), Type: typ, SchemaVersion: 2, Kind: event.Alert, Severity: domain.Urgent, Source: "tests",
		Subject: "subject", Tenant: tenant, Actor: "bob", Time: start.Add(-time.Hour), PartitionKey: fmt.Sprint("key", f.dead),
		CorrelationID: "corr", CausationID: "cause", Depth: 2, TraceParent: "00-a-b-01", Data: []byte(`{"n":1}`),
		Slot: event.SlotOf(tenant, fmt.Sprint("key", f.dead)),
	}
	appended := f.Appended()
	_, err := f.Append(ctx, []event.Envelope{e})
	require.NoError(t, err)
	for e.Position == 0 {
		found, err := f.Find(ctx, tenant, e.ID)
		if domain.KindOf(err) == domain.NotFound {
			<-appended
			continue
		}
		require.NoError(t, err)
		e = found
	}
	f.clock.Advance(time.Second)
	letter := deadletter.Letter{
		Set: set, Event: e, Attempts: f.dead, Reason: fmt.Sprintf("reason %d: ü \"x\"\nline", f.dead), Failed: start.Add(time.Duration(f.dead) * time.Minute),
		State: deadletter.Open,
	}
	require.NoError(t, f.Settle(ctx, settle.Work{Lease: l, Event: e, First: true, Dead: &letter}))
	return letter
}

func (f *fixture) list(t *testing.T, filter deadletter.Filter) []deadletter.Letter {
	t.Helper()
	letters, next, err := f.DeadLetters(ctxOf(t), filter)
	require.NoError(t, err)
	require.Empty(t, next)
	return letters
}

func (f *fixture) get(t *testing.T, l deadletter.Letter) deadletter.Letter {
	t.Helper()
	got, err := f.DeadLetter(ctxOf(t), l.Event.Tenant, l.ID())
	require.NoError(t, err)
	return got
}

func complete(t *testing.T, f *fixture) {
	want := f.bury(t, "audit", "acme", "build.failing")
	require.Equal(t, fmt.Sprintf("audit.%d", want.Event.Position), want.ID())
	require.Equal(t, want, f.get(t, want))
	require.Equal(t, []deadletter.Letter{want}, f.list(t, deadletter.Filter{Tenant: "acme"}))
}

func list(t *testing.T, f *fixture) {
	a := f.bury(t, "audit", "acme", "a.b")
	b := f.bury(t, "notify", "acme", "a.b")
	c := f.bury(t, "audit", "acme", "a.b")
	d := f.bury(t, "audit", "acme", "a.b")
	ctx := ctxOf(t)
	require.NoError(t, f.DiscardDeadLetter(ctx, "acme", c.ID(), "ann"))
	require.NoError(t, f.RetryDeadLetter(ctx, "acme", d.ID(), "ann"))
	c, d = f.get(t, c), f.get(t, d)

	all := deadletter.Filter{Tenant: "acme"}
	require.Equal(t, []deadletter.Letter{d, b, a}, f.list(t, all), "open and retrying, newest first")
	require.Equal(t, []deadletter.Letter{d, a}, f.list(t, deadletter.Filter{Tenant: "acme", Set: "audit"}))
	require.Equal(t, []deadletter.Letter{b, a}, f.list(t, deadletter.Filter{Tenant: "acme", State: deadletter.Open}))
	require.Equal(t, []deadletter.Letter{d}, f.list(t, deadletter.Filter{Tenant: "acme", State: deadletter.Retrying}))
	require.Equal(t, []deadletter.Letter{c}, f.list(t, deadletter.Filter{Tenant: "acme", State: deadletter.Discarded}))
	require.Empty(t, f.list(t, deadletter.Filter{Tenant: "acme", Set: "nobody"}))
	_, _, err := f.DeadLetters(ctx, deadletter.Filter{})
	require.Equal(t, domain.Invalid, domain.KindOf(err), "a list without a tenant")
}

func pages(t *testing.T, f *fixture) {
	var want []string
	for range 7 {
		want = append([]string{f.bury(t, "audit", "acme", "a.b").ID()}, want...)
		f.bury(t, "audit", "other", "a.b")
	}
	for _, limit := range []int{1, 2, 3, 7, 8} {
		filter := deadletter.Filter{Tenant: "acme", Limit: limit}
		var got []string
		for {
			letters, next, err := f.DeadLetters(ctxOf(t), filter)
			require.NoError(t, err)
			require.LessOrEqual(t, len(letters), limit)
			for _, l := range letters {
				got = append(got, l.ID())
			}
			if filter.Cursor = next; next == "" {
				break
			}
		}
		require.Equal(t, want, got, "in pages of %d", limit)
	}
	_, _, err := f.DeadLetters(ctxOf(t), deadletter.Filter{Tenant: "acme", Cursor: "nonsense"})
	require.Equal(t, domain.Invalid, domain.KindOf(err))
}

func byType(t *testing.T, f *fixture) {
	var all []deadletter.Letter
	for _, typ := range []string{"build.failing", "build.step.done", "project.created"} {
		all = append(all, f.bury(t, "audit", "acme", typ))
	}
	for _, c := range []struct {
		patterns []event.Pattern
		want     []deadletter.Letter
	}{
		{[]event.Pattern{"build.failing"}, []deadletter.Letter{all[0]}},
		{[]event.Pattern{"build.*"}, []deadletter.Letter{all[1], all[0]}},
		{[]event.Pattern{"*.done"}, nil},
		{[]event.Pattern{"build.*.done", "project.created"}, []deadletter.Letter{all[2], all[1]}},
	} {
		require.Equal(t, c.want, f.list(t, deadletter.Filter{Tenant: "acme", Types: c.patterns}), "%v", c.patterns)
	}
}

func retry(t *testing.T, f *fixture) {
	l, other := f.bury(t, "audit", "acme", "a.b"), f.bury(t, "notify", "acme", "a.b")
	ctx := ctxOf(t)
	f.clock.Advance(time.Hour)
	now := f.clock.Now()
	require.NoError(t, f.RetryDeadLetter(ctx, "acme", l.ID(), "ann"))
	want := l
	want.State, want.Decided, want.Actor = deadletter.Retrying, now, "ann"
	require.Equal(t, want, f.get(t, l))
	f.clock.Advance(time.Hour)
	require.NoError(t, f.RetryDeadLetter(ctx, "acme", l.ID(), "bob"), "again changes nothing")
	require.Equal(t, want, f.get(t, l))

	parked, err := f.Parked(ctx, "audit", []int{l.Event.Slot})
	require.NoError(t, err)
	require.Equal(t, []settle.Parked{{
		Position: l.Event.Position, Slot: l.Event.Slot, Key: l.Event.Key(), State: settle.Redrive, Due: now,
	}}, parked)
	parked, err = f.Parked(ctx, "notify", []int{l.Event.Slot, other.Event.Slot})
	require.NoError(t, err)
	require.Empty(t, parked, "it is given to its own set only")
	require.Equal(t, domain.Conflict, domain.KindOf(f.DiscardDeadLetter(ctx, "acme", l.ID(), "ann")))
}

func discard(t *testing.T, f *fixture) {
	l := f.bury(t, "audit", "acme", "a.b")
	ctx := ctxOf(t)
	now := f.clock.Now()
	require.NoError(t, f.DiscardDeadLetter(ctx, "acme", l.ID(), "ann"))
	want := l
	want.State, want.Decided, want.Actor = deadletter.Discarded, now, "ann"
	require.Equal(t, want, f.get(t, l))
	require.Equal(t, domain.Conflict, domain.KindOf(f.RetryDeadLetter(ctx, "acme", l.ID(), "ann")))
	parked, err := f.Parked(ctx, "audit", []int{l.Event.Slot})
	require.NoError(t, err)
	require.Empty(t, parked)
}

func notFound(t *testing.T, f *fixture) {
	f.bury(t, "audit", "acme", "a.b")
	for _, id := range []string{"audit.999999", "nobody.1", "audit", "", "audit.-1", "audit.x"} {
		f.wantNotFound(t, "acme", id)
	}
}

func (f *fixture) wantNotFound(t *testing.T, tenant, id string) {
	t.Helper()
	ctx := ctxOf(t)
	_, err := f.DeadLetter(ctx, tenant, id)
	require.Equal(t, domain.NotFound, domain.KindOf(err), "letter %q of %q", id, tenant)
	require.Equal(t, domain.NotFound, domain.KindOf(f.RetryDeadLetter(ctx, tenant, id, "ann")))
	require.Equal(t, domain.NotFound, domain.KindOf(f.DiscardDeadLetter(ctx, tenant, id, "ann")))
}

func tenants(t *testing.T, f *fixture) {
	ours, theirs := f.bury(t, "audit", "acme", "a.b"), f.bury(t, "audit", "other", "a.b")
	f.wantNotFound(t, "acme", theirs.ID())
	f.wantNotFound(t, "", theirs.ID())
	require.Equal(t, theirs, f.get(t, theirs))
	require.Equal(t, []deadletter.Letter{ours}, f.list(t, deadletter.Filter{Tenant: "acme"}))
	require.Equal(t, []deadletter.Letter{theirs}, f.list(t, deadletter.Filter{Tenant: "other"}))
}

func setGone(t *testing.T, f *fixture) {
	l := f.bury(t, "audit", "acme", "a.b")
	ctx := ctxOf(t)
	require.NoError(t, f.Release(ctx, f.leases["audit"]))
	_, err := f.Forget(ctx, "audit")
	require.NoError(t, err)
	require.Equal(t, domain.Conflict, domain.KindOf(f.RetryDeadLetter(ctx, "acme", l.ID(), "ann")), "nobody would handle it")
	require.Equal(t, l, f.get(t, l))
	require.NoError(t, f.DiscardDeadLetter(ctx, "acme", l.ID(), "ann"))
}

func count(t *testing.T, f *fixture) {
	ctx := ctxOf(t)
	counts, err := f.CountDeadLetters(ctx)
	require.NoError(t, err)
	require.Empty(t, counts)
	a := f.bury(t, "audit", "acme", "a.b")
	b := f.bury(t, "audit", "other", "a.b")
	f.bury(t, "audit", "other", "a.b")
	f.bury(t, "notify", "acme", "a.b")
	require.NoError(t, f.RetryDeadLetter(ctx, "acme", a.ID(), "ann"))
	counts, err = f.CountDeadLetters(ctx)
	require.NoError(t, err)
	require.Equal(t, map[string]int{"audit": 2, "notify": 1}, counts)
	require.NoError(t, f.DiscardDeadLetter(ctx, "other", b.ID(), "ann"))
	counts, err = f.CountDeadLetters(ctx)
	require.NoError(t, err)
	require.Equal(t, 1, counts["audit"])
}

// decisionsAtOnce lets many decide on one letter: one kind of decision wins, and the others are told.
func decisionsAtOnce(t *testing.T, f *fixture) {
	l := f.bury(t, "audit", "acme", "a.b")
	results := make(chan [2]error, 16)
	for i := range cap(results) {
		go func() {
			if i%2 == 0 {
				results <- [2]error{f.RetryDeadLetter(ctxOf(t), "acme", l.ID(), "ann"), nil}
			} else {
				results <- [2]error{nil, f.DiscardDeadLetter(ctxOf(t), "acme", l.ID(), "bob")}
			}
		}()
	}
	refusedRetries, refusedDiscards := 0, 0
	for range cap(results) {
		r := <-results
		for i, err := range r {
			if err == nil {
				continue
			}
			require.Equal(t, domain.Conflict, domain.KindOf(err), "%v", err)
			if i == 0 {
				refusedRetries++
			} else {
				refusedDiscards++
			}
		}
	}
	switch got := f.get(t, l); got.State {
	case deadletter.Retrying:
		require.Zero(t, refusedRetries)
		require.Equal(t, cap(results)/2, refusedDiscards)
	case deadletter.Discarded:
		require.Equal(t, cap(results)/2, refusedRetries)
	default:
		t.Fatalf("the letter is %s", got.State)
	}
}
