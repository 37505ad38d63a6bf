package settle

import (
	"context"
	"time"
)

// The states of a delivery.
const (
	DeliveryHandled   = "handled"
	DeliveryPending   = "pending"   // the set has not come to it yet
	DeliveryRetrying  = "retrying"  // it failed, or was given back from the dead letters, and is tried again
	DeliveryWaiting   = "waiting"   // behind an earlier event of its key
	DeliveryHeld      = "held"      // it can only be handled later
	DeliveryDead      = "dead"      // a dead letter that waits for somebody to decide
	DeliveryDiscarded = "discarded" // a dead letter that somebody decided is not needed
)

// Delivery is what became of one event at one handler set.
type Delivery struct {
	Set      string
	State    string
	Attempts int       // counted while it is not handled; 0 for an event that is, whose count is not kept
	Due      time.Time // of the next attempt; zero when none is planned
	Reason   string    // the last error
}

// Deliveries tells what became of an event.
type Deliveries interface {
	// Deliveries returns one for each registered set that subscribes to the event's type, by name;
	// a set that was registered after the event, and does not begin at the start of the log, has
	// none. A domain.NotFound error when the tenant has no event with the id.
	Deliveries(ctx context.Context, tenant, eventID string) ([]Delivery, error)
}

// Backlogs counts what sets have before them.
type Backlogs interface {
	// Backlog returns, for each registered set, how many events of the types that it subscribes to
	// lie beyond its cursors. Parked events are not among them.
	Backlog(ctx context.Context) (map[string]int, error)
}
