// Package eventlog is the port to the event log: the append-only table of every accepted event, in
// the same database as the aggregates. It is the outbox, what buses are fed from, what a replay
// reads and what search reads. Implementations pass eventlogtest.
package eventlog

import (
	"context"
	"time"

	"github.com/leat-dev/leat/app/event"
)

// Transactor runs a function in a transaction of the store.
type Transactor interface {
	// InTx runs fn with a context that carries a transaction; everything the store's parts do with
	// that context happens in it. It commits when fn returns nil and rolls back when fn fails or
	// panics. Called with a context that already carries one, fn joins it under a savepoint of its
	// own. When InTx returns nil the work is on disk.
	//
	// fn must not wait for anything but the database: on SQLite it holds the only writer.
	InTx(ctx context.Context, fn func(ctx context.Context) error) error
}

// Commits lets others follow the commits of the store's transactions.
type Commits interface {
	// AfterCommit runs fn once the transaction that ctx carries is on disk; without one it runs fn at
	// once, in the caller. When the transaction is rolled back, or the nested one that ctx carries
	// beneath it, or its outcome is unknown, fn never runs. So it is with a transaction that has ended.
	//
	// fn runs in the goroutine that called InTx or Settle, before that call returns, after the
	// functions that were given earlier: whoever commits for many callers does not wait for it. It
	// must return soon and not panic, since the work that it follows cannot fail any more.
	AfterCommit(ctx context.Context, fn func())
	// InTransaction tells whether ctx carries a transaction of this store, even one that has ended.
	InTransaction(ctx context.Context) bool
}

// Appender puts events into the log.
type Appender interface {
	// Append stores the events, all or none, in the transaction that ctx carries, else in one of
	// its own that concurrent callers may share. It returns one receipt for each event, in order.
	// An event whose tenant, source and id the log already holds is not stored again: its receipt
	// is the first one's, with Duplicate set.
	Append(ctx context.Context, events []event.Envelope) ([]Receipt, error)
}

// Receipt says that an event is in the log.
type Receipt struct {
	EventID   string
	Receipt   string    // the same for the same tenant, source and id
	Recorded  time.Time // when the log first accepted it
	Duplicate bool      // the log held it already
}

// Reader reads the log in the order of positions. A reader that has seen a position has seen
// everything before it.
type Reader interface {
	// Read returns at most limit events with position > after, ascending, of the slots that the
	// filter selects, and the position through which this answer is complete: the last event's
	// when limit was reached, else the head of the log.
	Read(ctx context.Context, after int64, slots SlotSet, limit int) (events []event.Envelope, through int64, err error)
	// At returns the events at the given positions; those the log does not hold are left out.
	At(ctx context.Context, positions ...int64) ([]event.Envelope, error)
	// Bounds returns the first and the last position the log holds, 0 and 0 when it is empty.
	// Positions before first were there and are no longer kept.
	Bounds(ctx context.Context) (first, last int64, err error)
}

// SlotSet is a set of slots, one bit each. The zero value selects all.
type SlotSet uint64

// Slots returns the set of the given slots.
func Slots(slots ...int) SlotSet {
	var s SlotSet
	for _, slot := range slots {
		s |= 1 << slot
	}
	return s
}

// Has tells whether the set selects the slot.
func (s SlotSet) Has(slot int) bool { return s == 0 || s&(1<<slot) != 0 }

// Query selects events for people. Empty fields select everything; Tenant is always needed.
type Query struct {
	Tenant        string
	Types         []event.Pattern
	Subject       string
	CorrelationID string
	From, To      time.Time // recorded in [From, To)
	Before        int64     // positions below this one; 0: from the newest
	Limit         int       // 0: 50
}

// Searcher finds events for people, newest first. Nothing of another tenant is ever returned.
type Searcher interface {
	Search(ctx context.Context, q Query) ([]event.Envelope, error)
	// Find returns the tenant's event with the id; a domain.NotFound error when there is none. When
	// several sources used the id, the newest is returned.
	Find(ctx context.Context, tenant, id string) (event.Envelope, error)
}

// Pruner forgets old events.
type Pruner interface {
	// Prune deletes events recorded before the time that every registered set has settled, at most
	// limit of them, and returns how many.
	Prune(ctx context.Context, before time.Time, limit int) (int, error)
}

// Log is all of it, as a store implements it.
type Log interface {
	Transactor
	Commits
	Appender
	Reader
	Searcher
	Pruner
	// Appended returns a channel that is closed at the next commit that appended events. Take it
	// before reading, and wait on it after having read everything.
	Appended() <-chan struct{}
}
