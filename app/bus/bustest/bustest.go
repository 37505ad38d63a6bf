// Package bustest is the conformance suite of buses. Each test sends events the whole way: log,
// sequencer, the bus under test, groups and lanes, the router with its chain, a handler. What it
// proves are the promises that a service keeps with that bus; the bus itself may lose, repeat and
// reorder. No bus or store of its own belongs here.
package bustest

import (
	"context"
	"log/slog"
	"testing"

	"github.com/jonboulle/clockwork"

	"github.com/leat-dev/leat/app/bus"
	"github.com/leat-dev/leat/app/deadletter"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/app/settle"
)

// Store is what a service keeps its events and its progress in.
type Store interface {
	eventlog.Log
	settle.Store
	deadletter.Store
	Close() error
}

// Parts is what a bus may be built from.
type Parts struct {
	T      testing.TB // the test; what is started for it ends with it
	Log    eventlog.Reader
	Clock  clockwork.Clock
	Logger *slog.Logger
	Dir    string // the test's folder; it outlives a restart
}

// Kind is a kind of bus.
type Kind struct {
	// Make makes one, as a process does when it starts.
	Make func(p Parts) (bus.Bus, error)
	// Shared says that it carries events between processes. Else each process feeds its own.
	Shared bool
}

// Env says what is tested.
type Env struct {
	// Place makes a place for the data of one test, which go with the test, and names it for Open;
	// nil: the test's folder.
	Place func(t testing.TB) string
	// Open opens the store that lies in the place and makes it the first time. All its times, those of
	// leases too, must go by the clock.
	Open func(ctx context.Context, place string, clock clockwork.Clock, logger *slog.Logger) (Store, error)
	// Bus is the bus under test.
	Bus Kind
	// Other is another bus to swap with.
	Other Kind
	// Several says that several processes can share the store and the bus.
	Several bool
}

// property is one promise and its test.
type property struct {
	name string
	run  func(w *world)
}

// alone is the property whose test runs by itself, because it counts goroutines.
const alone = "what is in hand is bounded"

func properties() []property {
	return []property{
		{"a failing, blocked or paused set delays no other", isolation},
		{"a start continues where the stop was", restart},
		{"what was accepted while lanes began is not missed", startRace},
		{"first deliveries of a key come in log order", order},
		{"a parked key waits and others pass", parkedKey},
		{"a long line behind a failure holds up nobody", longLine},
		{"a hot key is handled in order", hotKey},
		{"an ack comes after the commit", ackAfterCommit},
		{"a bus that loses, repeats and reorders", faultyBus},
		{"undecodable messages are stepped over", undecodableMessages},
		{"a bus that falls silent", silentBus},
		{"the bus can be swapped", swap},

		{"attempts are counted and spaced", attempts},
		{"a permanent error is final", permanent},
		{"a panic is an error", panics},
		{"an attempt ends in time", timeout},
		{"what is down pauses the set", unavailable},
		{"a pause is kept while something is down", pausedWhileDown},
		{"data that does not decode is a dead letter", undecodableData},
		{"a newer schema is held", newerSchema},
		{"a retried dead letter comes to its set alone", redriven},
		{"a retried dead letter may die again", redrivenAgain},
		{"handlers in a circle are stopped", circle},
		{"causes and correlations are carried", causes},

		{"the effect of OnTx is made exactly once", exactlyOnce},
		{"the effect of On is made at least once", atLeastOnce},

		{"what is in hand at a stop is finished", stopInHand},
		{"what the drain deadline cuts off comes again", drainDeadline},
		{"leases are renewed while draining", renewWhileDraining},
		{"a pause outlives a restart", pauseAndResume},
		{"a pause that comes while a set subscribes", pauseAtStart},
		{"a pause that could not be read is read again", pauseReadFails},
		{"cursors of idle slots move too", idleSlots},
		{"a broken start leaves nothing running", brokenStart},

		{"a death counts for the event in hand", deathCounts},
		{"a death counts for nothing that only waits", deathInBetween},
		{"an event that kills its owners dies", deadlyEvent},
		{"a stale owner is refused", staleOwner},
		{"a lane goes on after the store failed", storeFails},

		{"a set on every instance sees all from the head", everyInstance},
		{"a set on every instance sees all over a faulty bus", everyInstanceFaulty},
	}
}

// Properties returns what Run tests, in words.
func Properties() []string {
	names := []string{alone}
	for _, p := range properties() {
		names = append(names, p.name)
	}
	return names
}

// Run tests the bus.
func Run(t *testing.T, env Env) {
	t.Run(alone, func(t *testing.T) { bounded(newWorld(t, env)) })
	for _, p := range properties() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			p.run(newWorld(t, env))
		})
	}
}
