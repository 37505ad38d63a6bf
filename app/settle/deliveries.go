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

// Backlogs tells what sets have before them, at a cost that does not grow with it: for each set no
// more than BacklogLook events beyond the cursor that is furthest behind are looked at.
type Backlogs interface {
	// Backlog returns, for each registered set, how many events of the types that it subscribes to
	// lie beyond its cursors. Parked events are not among them. Events beyond those that are looked
	// at are counted whatever their type: the number is then not exact but too high, never too low,
	// and never 0.
	Backlog(ctx context.Context) (map[string]int, error)
	// Oldest returns, for each registered set, when the oldest event that it has not settled was
	// accepted, parked ones included; the zero time when there is none. A dead letter is settled,
	// also while it is retried. Where none of the events that are looked at is the set's, though
	// there are more, the last of them stands for it.
	Oldest(ctx context.Context) (map[string]time.Time, error)
}

// BacklogLook is how many events beyond its cursors are looked at for each set.
const BacklogLook = 2000
