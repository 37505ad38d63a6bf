package event

import (
	"time"

	"github.com/leat-dev/leat/domain"
)

// Kind says what an event is for; with the type it decides the route.
type Kind string

// The kinds of events.
const (
	Business       Kind = "business"       // something happened in the domain
	Alert          Kind = "alert"          // somebody must act; carries a severity
	Notification   Kind = "notification"   // somebody should know
	Recommendation Kind = "recommendation" // somebody may want to act
)

func (k Kind) valid() bool {
	return k == Business || k == Alert || k == Notification || k == Recommendation
}

// SystemTenant owns the events that belong to no tenant.
const SystemTenant = "_system"

// Envelope is an event with its attributes. Once accepted it is never changed.
type Envelope struct {
	ID            string          // the caller's, or a UUIDv7; unique per tenant and source
	Type          string          // "build.started"
	SchemaVersion int             // of Data; 1 when the definition says nothing
	Kind          Kind            //
	Severity      domain.Severity // of alerts only
	Source        string          // the service that published it
	Subject       string          // what it is about, usually the aggregate's id; may be empty
	Tenant        string          // SystemTenant when it belongs to none
	Actor         string          // who caused it; may be empty
	Time          time.Time       // when it happened, UTC
	PartitionKey  string          // events of one tenant and key are handled in order
	CorrelationID string          // shared by everything that one request caused
	CausationID   string          // id of the event whose handling published this one
	Depth         int             // how many causes stand before it: 0 for a first cause
	TraceParent   string          // W3C trace context; may be empty
	Data          []byte          // JSON

	Position int64     // place in the log, from 1; 0 until the log has given it
	Slot     int       // SlotOf(Tenant, PartitionKey)
	Recorded time.Time // when the log accepted it, UTC
	// Unrecorded says that the log did not take the event: it went out to the live feed only.
	Unrecorded bool
}

// Key identifies the line of events that are handled in order: the partition key within its tenant.
func (e Envelope) Key() string { return e.Tenant + "\x00" + e.PartitionKey }

// Route is the routing key: business.{type}, alert.{domain}.{severity}, notification.{domain}.info
// or recommendation.{domain}.medium, where {domain} is the type's first segment.
func (e Envelope) Route() string {
	switch e.Kind {
	case Alert:
		return "alert." + firstSegment(e.Type) + "." + string(e.Severity)
	case Notification:
		return "notification." + firstSegment(e.Type) + ".info"
	case Recommendation:
		return "recommendation." + firstSegment(e.Type) + ".medium"
	default:
		return "business." + e.Type
	}
}

// Slots is the number of hash buckets that partition keys fall into. It is part of what is stored:
// changing it would mix up cursors.
const Slots = 64

// SlotOf returns the slot, 0 to Slots-1, of a tenant's partition key: FNV-1a, 32 bits.
func SlotOf(tenant, key string) int {
	const offset, prime = 2166136261, 16777619
	h := uint32(offset)
	for i := 0; i < len(tenant); i++ {
		h = (h ^ uint32(tenant[i])) * prime
	}
	h *= prime // the zero byte of Key
	for i := 0; i < len(key); i++ {
		h = (h ^ uint32(key[i])) * prime
	}
	return int((h ^ h>>16) % Slots)
}
