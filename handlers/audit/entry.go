// Package audit keeps who did what, when: the set "audit" writes one entry for each event that its
// patterns select, in the transaction that settles the event, so that there is exactly one. What an
// entry looks like and the ports to the store live here; the tables are the store adapters'.
package audit

import (
	"context"
	"encoding/json"
	"time"

	"github.com/leat-dev/leat/app/event"
)

// Entry is one line of the audit log. It is never changed.
type Entry struct {
	ID            string          // stable; the event's position as text
	Tenant        string          // whose entry it is
	Position      int64           // of the event in the log; at most one entry has it
	Time          time.Time       // when it happened, as the event says, UTC
	Actor         string          // who caused it; may be empty
	Type          string          // the event's type
	Subject       string          // what it is about; may be empty
	EventID       string          //
	CorrelationID string          //
	Changes       json.RawMessage // the member "changes" of the event's data; nil when there is none
	Recorded      time.Time       // when the log accepted the event, UTC
}

// Store keeps entries. Implementations pass audittest.
type Store interface {
	// Record stores the entry in the transaction that ctx carries. When there is an entry of the
	// position already it changes nothing and returns nil: an event that comes again is no second
	// fact.
	Record(ctx context.Context, e Entry) error
}

// Reader finds entries. Implementations pass audittest.
type Reader interface {
	// Entries returns the tenant's entries that the query selects, the latest position first, and
	// the cursor of the following page, "" at the end. A query without a tenant, and a cursor that
	// Entries did not give out, are domain errors of kind invalid.
	Entries(ctx context.Context, q Query) (entries []Entry, next string, err error)
}

// Query selects entries. Empty fields select everything; Tenant is always needed.
type Query struct {
	Tenant   string
	Types    []event.Pattern // those that at least one of them matches
	Subject  string
	From, To time.Time // Time in [From, To), to the microsecond
	Cursor   string
	Limit    int // 0: DefaultLimit; above MaxLimit: MaxLimit
}

// Limits of one page.
const (
	DefaultLimit = 50
	MaxLimit     = 1000
)
