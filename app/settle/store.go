package settle

import (
	"context"
	"errors"
	"time"

	"github.com/leat-dev/leat/app/deadletter"
	"github.com/leat-dev/leat/app/event"
)

// Registration makes a handler set known to the store.
type Registration struct {
	Set       string
	Types     []string // what it subscribes to, sorted
	FromStart bool     // a set seen for the first time begins at the start of the log, else after its present end
}

// Lease is the right to work one lane of a set. Its fence rises with every new owner: a commit
// under an older one is refused.
type Lease struct {
	Set       string
	Lane      int
	Owner     string
	Fence     int64
	TakenOver bool // the owner before died without letting go
	// InHand is the event that the owner before noted as being worked on, 0 when it noted none,
	// and Attempts how many owners have died with it in hand.
	InHand   int64
	Attempts int
}

// ErrFenced is returned to the owner of a lane that somebody else has taken over.
var ErrFenced = errors.New("the lane has another owner now")

// ParkState says why a parked event waits.
type ParkState string

// The states of a parked event.
const (
	Failed  ParkState = "failed"  // it failed and is tried again at Due
	Behind  ParkState = "behind"  // it waits behind an earlier event of its key
	Held    ParkState = "held"    // nothing is wrong with it, but it can only be handled later
	Redrive ParkState = "redrive" // given back from the dead letters; it holds up nobody
)

// Parked is an event that waits for its next attempt.
type Parked struct {
	Position int64
	Slot     int
	Key      string // event.Envelope.Key
	State    ParkState
	Attempts int // made so far
	Due      time.Time
	Reason   string // the last error
}

// Work is what settling one delivery writes, all in one transaction. Exactly one of Park and Dead
// may be set; without either the event was handled.
type Work struct {
	Lease Lease
	Event event.Envelope
	// First tells the first delivery of an event (the cursor moves to its position) from an
	// attempt of a parked one (its parked row goes, or changes).
	First bool
	// Effect is the handler of OnTx; it gets a context that carries the transaction.
	Effect func(ctx context.Context) error
	Park   *Parked
	Dead   *deadletter.Letter
}

// Status is how far a set is.
type Status struct {
	Set     string
	Types   []string
	Paused  bool
	Cursors [event.Slots]int64
	Parked  int // failed, behind or held
	Redrive int
}

// Store keeps what sets have settled. There is one record per set and slot, the same whatever bus
// brought the event. Implementations pass settletest.
type Store interface {
	// Register makes a set known, and with it the start of its cursors, before anything is
	// published. The types of a known set are replaced.
	Register(ctx context.Context, r Registration) error
	// Forget removes a set with its cursors, parked events and leases; its dead letters stay.
	Forget(ctx context.Context, set string) error
	// Statuses returns all known sets by name.
	Statuses(ctx context.Context) (map[string]Status, error)
	// SetPaused stores whether a set rests.
	SetPaused(ctx context.Context, set string, paused bool) error

	// Acquire takes a lane for ttl if it is free or its lease has run out. ok is false when
	// somebody else holds it.
	Acquire(ctx context.Context, set string, lane int, owner string, ttl time.Duration) (l Lease, ok bool, err error)
	// Renew extends leases by ttl; it returns those that are lost.
	Renew(ctx context.Context, leases []Lease, ttl time.Duration) (lost []Lease, err error)
	// Release lets go of a lane, so that the next owner does not count a death.
	Release(ctx context.Context, l Lease) error
	// NoteInHand writes down which event the lane is about to handle (0: none). Lanes taken over
	// from a dead owner do so until they have passed what was in hand.
	NoteInHand(ctx context.Context, l Lease, position int64, attempts int) error

	// Settle writes one delivery's outcome. When it returns nil the work is on disk; when it
	// returns an error none of it is. An error of Effect is returned as it is; a panic in Effect
	// reaches the caller. ErrFenced when the lease is lost. Many callers may share one commit,
	// each under its own savepoint.
	Settle(ctx context.Context, w Work) error
	// Advance moves cursors of a lane past events that its set does not subscribe to.
	Advance(ctx context.Context, l Lease, cursors map[int]int64) error
	// Parked returns a set's parked events of the given slots by position.
	Parked(ctx context.Context, set string, slots []int) ([]Parked, error)
	// ParkedChanged returns a channel that is closed when somebody other than a lane's owner
	// changed something that lanes must see: a retried dead letter, a pause, a resume.
	ParkedChanged() <-chan struct{}
}
