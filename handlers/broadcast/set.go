// Package broadcast takes every event to the live feed of the process it runs in. It knows neither
// clients nor connections: those are the Pusher's.
package broadcast

import (
	"context"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/handler"
)

// Pusher hands an event to the clients that are connected to this process.
type Pusher interface {
	// Push never waits for a client. Events with a position come in the order of the log; one
	// without a position comes by the fast path, before the log has given it one.
	Push(ctx context.Context, e event.Envelope) error
}

// Set returns the set "broadcast". Every process runs it for itself, from the present end of the
// log and without record: what a client misses it can read again from the log.
//
// It has one lane, because clients are promised the order of the log across all keys.
func Set(p Pusher) handler.Set {
	return handler.NewSet("broadcast",
		handler.OnMatch(p.Push, "*"),
		handler.EveryInstance(),
		handler.WithPolicy(handler.Policy{Lanes: 1}),
	)
}
