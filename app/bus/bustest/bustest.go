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
	Log    eventlog.Reader
	Clock  clockwork.Clock
	Logger *slog.Logger
	Dir    string // the test's folder; it outlives a restart
}

// Env says what is tested.
type Env struct {
	// Open opens the store that lies in dir and makes it the first time.
	Open func(ctx context.Context, dir string, clock clockwork.Clock, logger *slog.Logger) (Store, error)
	// Bus makes the bus under test.
	Bus func(p Parts) (bus.Bus, error)
	// Other makes another bus to swap with; nil: the same kind again.
	Other func(p Parts) (bus.Bus, error)
}

// Run tests the bus.
func Run(t *testing.T, env Env) {
	tests := []struct {
		name string
		run  func(w *world)
	}{
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
	// First and alone, because it counts goroutines.
	t.Run("what is in hand is bounded", func(t *testing.T) { bounded(newWorld(t, env)) })
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(newWorld(t, env))
		})
	}
}
