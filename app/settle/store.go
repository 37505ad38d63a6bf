package settle

import (
	"context"
	"errors"
	"time"

	"github.com/leat-dev/leat/app/deadletter"
	"github.com/leat-dev/leat/app/event"
)

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

// ErrFenced is returned to the owner of a lane that somebody else has taken over, or that nobody
// who knows so few event types may own any more.
var ErrFenced = errors.New("the lane has another owner now")

// ErrSettled is returned for the first delivery of an event that the cursor of its slot has passed, and
// for another attempt of one that is not parked any more.
var ErrSettled = errors.New("the event is settled already")

// ErrVoided is returned for a work whose lane went on from one that was not committed.
var ErrVoided = errors.New("an earlier work of the lane was not committed")

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

	// Applied, when it is set, is what a store may call once, and must not wait in, when everything
	// but the commit is done. The lane then settles its next event while this one waits. When the
	// commit fails after all, works of the same lease and Run that come later are refused with
	// ErrVoided, so that none of them gets ahead of this one.
	Applied func()
	// More says that the lane will go on at once when this work is applied: its next one may be
	// worth waiting for.
	More bool
	Run  int
}

// Status is how far a set is.
type Status struct {
	Set     string
	Types   []string // sorted
	Paused  bool
	Lanes   int            // as the set was last worked; 0 before it ever was
	Owners  map[string]int // how many lanes each live owner holds
	Cursors [event.Slots]int64
	Parked  int // failed, behind or held
	Redrive int
}

// Holds notes an owner and how many lanes it holds.
func (s *Status) Holds(owner string, lanes int) {
	if s.Owners == nil {
		s.Owners = map[string]int{}
	}
	s.Owners[owner] += lanes
}

// Store keeps what sets have settled. There is one record per set and slot, the same whatever bus
// brought the event. Implementations pass settletest.
type Store interface {
	// Register makes a set known, and with it the start of its cursors, before anything is
	// published. A known set gets the types that it has not got yet, and loses none. When it gets
	// any, its lanes are fenced in the same transaction: their owners, who step over what they do
	// not know, can commit nothing more. A live owner loses its lanes as if it had let go of them.
	Register(ctx context.Context, r Registration) error
	// Forget removes types of a set, or all of it with its cursors, parked events and leases when
	// none are named; its dead letters stay. A domain.NotFound error for a set or a type that is not
	// known, a domain.Conflict while somebody holds a lane of the set.
	Forget(ctx context.Context, set string, types ...string) (Forgotten, error)
	// Statuses returns all known sets by name.
	Statuses(ctx context.Context) (map[string]Status, error)
	// SetPaused stores whether a set rests.
	SetPaused(ctx context.Context, set string, paused bool) error

	// Attend says that the claimant works the set, or would, for the TTL of the claim, whose Lane does
	// not matter. Its errors are those of Acquire, and then it does not count.
	Attend(ctx context.Context, c Claim) (Attendance, error)
	// Leave takes that back.
	Leave(ctx context.Context, set, owner string) error
	// LanesChanged returns a channel that is closed when a process has attended for the first time or
	// has left, or a lane was let go of.
	LanesChanged() <-chan struct{}
	// Acquire takes a lane if it is free or its lease has run out; ok is false when somebody else
	// holds it. An UnknownTypes error refuses who does not handle all types of the set. An OtherLanes
	// error refuses who has another number of lanes than others who hold one; when nobody does, the claim
	// deals the slots anew, to lanes of which each counts as taken over if any of the old ones would
	// have been. Fences rise over all of that. A domain.NotFound error when the set is not known.
	Acquire(ctx context.Context, c Claim) (l Lease, ok bool, err error)
	// Renew extends leases by ttl; it returns those that are lost.
	Renew(ctx context.Context, leases []Lease, ttl time.Duration) (lost []Lease, err error)
	// Release lets go of a lane, so that the next owner does not count a death.
	Release(ctx context.Context, l Lease) error
	// NoteInHand writes down which event the lane is about to handle (0: none). Lanes taken over
	// from a dead owner do so until they have passed what was in hand.
	NoteInHand(ctx context.Context, l Lease, position int64, attempts int) error

	// Settle writes one delivery's outcome. When it returns nil the work is on disk; when it
	// returns an error none of it is. An error of Effect is returned as it is; a panic in Effect
	// reaches the caller. ErrFenced when the lease is lost; ErrSettled, and Effect is not run, when it is
	// a First whose event the cursor has passed, or no First and the event is not parked. Many callers may share one commit, each under its own
	// savepoint.
	Settle(ctx context.Context, w Work) error
	// Advance moves cursors of a lane past events that its set does not subscribe to.
	Advance(ctx context.Context, l Lease, cursors map[int]int64) error
	// Parked returns a set's parked events of the given slots by position.
	Parked(ctx context.Context, set string, slots []int) ([]Parked, error)
	// ParkedChanged returns a channel that is closed when somebody other than a lane's owner
	// changed something that lanes must see: a retried dead letter, a pause, a resume, other
	// types of a set.
	ParkedChanged() <-chan struct{}
}
