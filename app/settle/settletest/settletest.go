// Package settletest is the conformance suite of package settle's Store: what every store of
// settlement records must do. A store's test calls Run with one line.
package settletest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/deadletter"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/app/settle"
)

// Store is what the suite needs: the settlement records, the log as what effects write to, and the dead
// letters.
type Store interface {
	settle.Store
	settle.Deliveries
	settle.Backlogs
	eventlog.Log
	deadletter.Store
}

// Run tests a store. open returns an empty one that takes the time from clock, and sees to its end.
func Run(t *testing.T, open func(t *testing.T, clock clockwork.Clock) Store) {
	run(t, open, append(owners,
		one{"register", register},
		one{"register again", registerAgain},
		one{"forget", forget},
		one{"pause and resume", pauseAndResume},
		one{"a lane has one owner", oneOwner},
		one{"a dead owner's lane is taken over", takeOver},
		one{"what was in hand is counted", inHand},
		one{"renew", renew},
		one{"an old owner can write nothing", fences},
		one{"settle moves the cursor", settleMovesCursor},
		one{"the effect and the cursor commit together", effectAndCursor},
		one{"a panic in an effect", panicInEffect},
		one{"settle joins a transaction", settleInTx},
		one{"after the commit of an effect", afterCommitOfEffect},
		one{"each caller of a shared commit runs its own", afterSharedCommit},
		one{"one failing work among many", failingAmongMany},
		one{"advance", advance},
		one{"park", park},
		one{"parked events of some slots", parkedBySlots},
		one{"an attempt of a parked event", attemptOfParked},
		one{"an attempt of what is settled meanwhile", settledMeanwhile},
		one{"a lane goes on from what failed", goesOnFromFailures},
		one{"bury", bury},
		one{"redrive handled", redriveHandled},
		one{"redrive fails again", redriveFails},
		one{"exactly once under takeover", exactlyOnceUnderTakeover},
		one{"deliveries", deliveries},
		one{"backlog", backlog},
		one{"the oldest that is not settled", oldest},
		one{"a backlog that is not looked through", longBacklog},
		one{"one number of lanes at a time", oneNumberOfLanes},
		one{"an old version beside a new one", oldBesideNew},
		one{"model", model},
		one{"model of leases", leases},
		one{"model of groups", groups},
	))
}

// RunOwners is the part of the suite that says who may own lanes. It asks for nothing but the
// settlement records: a fake for the tests of others passes it too.
func RunOwners(t *testing.T, open func(t *testing.T, clock clockwork.Clock) settle.Store) {
	run(t, func(t *testing.T, clock clockwork.Clock) Store { return alone{records: open(t, clock)} }, owners)
}

// alone is settlement records without the rest.
type alone struct {
	records
	rest
}

type records interface{ settle.Store }

type rest interface {
	settle.Deliveries
	settle.Backlogs
	eventlog.Log
	deadletter.Store
}

type one struct {
	name string
	test func(t *testing.T, f *fixture)
}

func run(t *testing.T, open func(t *testing.T, clock clockwork.Clock) Store, cases []one) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			clock := clockwork.NewFakeClockAt(start)
			c.test(t, &fixture{Store: open(t, clock), clock: clock, open: open})
		})
	}
}

var (
	start   = time.Date(2024, 5, 17, 9, 30, 0, 123456000, time.UTC)
	errTest = errors.New("the test wants it so")
)

const (
	patience = 20 * time.Second
	ttl      = 10 * time.Second
	typ      = "build.started"
)

type fixture struct {
	Store
	clock *clockwork.FakeClock
	open  func(t *testing.T, clock clockwork.Clock) Store
}

func ctxOf(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func envelope(id, key string) event.Envelope {
	return event.Envelope{
		ID: id, Type: typ, SchemaVersion: 1, Kind: event.Business, Source: "tests", Tenant: "acme", Subject: key,
		PartitionKey: key, Time: start, CorrelationID: "c", Data: []byte(`{}`), Slot: event.SlotOf("acme", key),
	}
}

// log appends n events e0, e1…, each with its own key, and returns them with their positions.
func (f *fixture) log(t testing.TB, n int) []event.Envelope {
	t.Helper()
	events := make([]event.Envelope, n)
	for i := range events {
		events[i] = envelope(fmt.Sprint("e", i), fmt.Sprint("key", i))
	}
	_, err := f.Append(ctxOf(t), events)
	require.NoError(t, err)
	return f.holds(t, n)
}

// holds waits until the log shows n events.
func (f *fixture) holds(t testing.TB, n int) []event.Envelope {
	t.Helper()
	ctx := ctxOf(t)
	for {
		appended := f.Appended()
		events, _, err := f.Read(ctx, 0, 0, n+1)
		require.NoError(t, err)
		require.LessOrEqual(t, len(events), n, "the log holds more than it should")
		if len(events) == n {
			return events
		}
		select {
		case <-appended:
		case <-ctx.Done():
			t.Fatalf("the log shows %d events, want %d", len(events), n)
		}
	}
}

func (f *fixture) register(t testing.TB, set string) {
	t.Helper()
	require.NoError(t, f.Register(ctxOf(t), settle.Registration{Set: set, Types: []string{typ}}))
}

// acquire claims a lane for a process that handles typ, with as many lanes as there can be.
func (f *fixture) acquire(t testing.TB, set string, lane int, owner string) (settle.Lease, bool, error) {
	t.Helper()
	return f.Acquire(ctxOf(t), settle.Claim{Set: set, Lane: lane, Lanes: event.Slots, Types: []string{typ}, Owner: owner, TTL: ttl})
}

func (f *fixture) tryAcquire(t testing.TB, set string, lane int, owner string) (settle.Lease, bool) {
	t.Helper()
	l, ok, err := f.acquire(t, set, lane, owner)
	require.NoError(t, err)
	return l, ok
}

func (f *fixture) mustAcquire(t testing.TB, set string, lane int, owner string) settle.Lease {
	t.Helper()
	l, ok := f.tryAcquire(t, set, lane, owner)
	require.True(t, ok, "lane %d of %s is not free for %s", lane, set, owner)
	return l
}

// closes waits until a channel of ParkedChanged is closed.
func (f *fixture) closes(t testing.TB, changed <-chan struct{}) {
	t.Helper()
	select {
	case <-changed:
	case <-ctxOf(t).Done():
		t.Fatal("ParkedChanged was not closed")
	}
}

func (f *fixture) mustSettle(t testing.TB, w settle.Work) {
	t.Helper()
	require.NoError(t, f.Settle(ctxOf(t), w))
}

func (f *fixture) status(t testing.TB, set string) settle.Status {
	t.Helper()
	all, err := f.Statuses(ctxOf(t))
	require.NoError(t, err)
	require.Contains(t, all, set)
	return all[set]
}

func (f *fixture) parked(t testing.TB, set string) []settle.Parked {
	t.Helper()
	var slots []int
	for slot := range event.Slots {
		slots = append(slots, slot)
	}
	p, err := f.Parked(ctxOf(t), set, slots)
	require.NoError(t, err)
	return p
}

// effect writes an event to the log in the transaction of its context.
func (f *fixture) effect(id string) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		e := envelope(id, "effects")
		e.Type = "effect.made"
		receipts, err := f.Append(ctx, []event.Envelope{e})
		if err == nil && receipts[0].Duplicate {
			return fmt.Errorf("the effect %s is there already", id)
		}
		return err
	}
}

// everywhere are cursors that all stand at one position.
func everywhere(position int64) (cursors [event.Slots]int64) {
	for slot := range cursors {
		cursors[slot] = position
	}
	return cursors
}

func parkedOf(e event.Envelope, state settle.ParkState, attempts int) *settle.Parked {
	return &settle.Parked{
		Position: e.Position, Slot: e.Slot, Key: e.Key(), State: state, Attempts: attempts,
		Due: start.Add(time.Duration(attempts) * time.Minute), Reason: fmt.Sprint("reason ", attempts),
	}
}

func letterOf(set string, e event.Envelope, attempts int) *deadletter.Letter {
	return &deadletter.Letter{
		Set: set, Event: e, Attempts: attempts, Reason: fmt.Sprint("reason ", attempts),
		Failed: start.Add(time.Duration(attempts) * time.Hour), State: deadletter.Open,
	}
}

// together runs fn on n goroutines and waits for them.
func together(n int, fn func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			fn(i)
		}()
	}
	wg.Wait()
}
