package event

import (
	"time"

	"github.com/leat-dev/leat/domain"
)

// Draft is an event about to be published. Only Event is needed; what is left empty comes from the
// context (the origin, or the event being handled) or from a default.
type Draft struct {
	Event domain.Event

	ID            string    // default: a new UUIDv7
	Subject       string    // what it is about
	PartitionKey  string    // default: Subject, then ID
	Tenant        string    // default: the handled event's, then the origin's
	Actor         string    // default: the origin's, then the handled event's
	Source        string    // default: the publisher's
	Time          time.Time // default: now
	CorrelationID string    // default: the cause's, then the origin's, then that of the first of the call, its ID

	// Cause is the event that this one continues: its tenant, actor, correlation id and trace, with its id as
	// causation id. Default: the event that is being handled.
	Cause *Envelope
}

// Raw is a Draft whose event comes as JSON, from outside the program.
type Raw struct {
	Type          string
	SchemaVersion int // 0: the current one
	Data          []byte

	ID            string
	Subject       string
	PartitionKey  string
	Tenant        string
	Actor         string
	Source        string
	Time          time.Time
	CorrelationID string
	TraceParent   string
}
