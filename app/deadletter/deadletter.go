// Package deadletter is about events that a handler set gave up on: what is kept of them, and the
// port by which people list, retry and discard them.
package deadletter

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/leat-dev/leat/app/event"
)

// State is where a dead letter stands.
type State string

// The states of a dead letter.
const (
	Open      State = "open"      // waits for somebody to decide
	Retrying  State = "retrying"  // given back to its set
	Discarded State = "discarded" // somebody decided that it is not needed
)

// Letter is an event that one set gave up on, with a copy of the event.
type Letter struct {
	Set      string
	Event    event.Envelope // the copy, its Position set
	Attempts int            // how often the set tried
	Reason   string         // the last error
	Failed   time.Time      // when the set gave up
	State    State
	Decided  time.Time // when it was retried or discarded; zero while open
	Actor    string    // who decided
	Number   int64     // of the letter of a Stray, whose Event has no Position; else 0
}

// ID is the letter's name: the set and the event's position ("audit.1042"), or the number of a
// Stray's letter ("foreign.7").
func (l Letter) ID() string {
	if l.Number > 0 {
		return l.Set + "." + strconv.FormatInt(l.Number, 10)
	}
	return l.Set + "." + strconv.FormatInt(l.Event.Position, 10)
}

// ParseID splits a letter's name.
func ParseID(id string) (set string, position int64, err error) {
	i := strings.LastIndexByte(id, '.')
	if i > 0 {
		position, err = strconv.ParseInt(id[i+1:], 10, 64)
	}
	if i <= 0 || err != nil || position < 1 {
		return "", 0, fmt.Errorf("dead letter id %q: want the set's name, a dot and a position, such as \"audit.1042\"", id)
	}
	return id[:i], position, nil
}

// Filter selects letters of one tenant. Empty fields select everything.
type Filter struct {
	Tenant string
	Set    string
	Types  []event.Pattern
	State  State // "": open and retrying
	Cursor string
	Limit  int // 0: 50
}

// Store keeps dead letters. Putting one in happens where its set settles (settle.Store).
type Store interface {
	// DeadLetters lists newest first; next is the cursor of the following page, "" at the end.
	DeadLetters(ctx context.Context, f Filter) (letters []Letter, next string, err error)
	// DeadLetter returns one; a domain.NotFound error when the tenant has none of that id.
	DeadLetter(ctx context.Context, tenant, id string) (Letter, error)
	// RetryDeadLetter gives the event back to its set, and to that set only. Retrying one that is
	// being retried already changes nothing; one that was discarded is a domain.Conflict.
	RetryDeadLetter(ctx context.Context, tenant, id, actor string) error
	// DiscardDeadLetter marks an open letter as not needed. It stays readable. One that is being
	// retried is a domain.Conflict.
	DiscardDeadLetter(ctx context.Context, tenant, id, actor string) error
	// CountDeadLetters returns the number of open letters of each set, over all tenants.
	CountDeadLetters(ctx context.Context) (map[string]int, error)
}
