package event

import (
	"fmt"
	"strconv"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leat-dev/leat/domain"
)

// The names of the attributes in a message's metadata.
const (
	MetaSpecVersion     = "ce-specversion"
	MetaID              = "ce-id"
	MetaType            = "ce-type"
	MetaSource          = "ce-source"
	MetaTime            = "ce-time"
	MetaSubject         = "ce-subject"
	MetaDataContentType = "ce-datacontenttype"
	MetaTenant          = "ce-tenantid"
	MetaActor           = "ce-actor"
	MetaCorrelation     = "ce-correlationid"
	MetaCausation       = "ce-causationid"
	MetaDepth           = "ce-causationdepth"
	MetaPartitionKey    = "ce-partitionkey"
	MetaSchemaVersion   = "ce-schemaversion"
	MetaKind            = "ce-kind"
	MetaSeverity        = "ce-severity"
	MetaTraceParent     = "traceparent"
	MetaPosition        = "leat-position"
	MetaRecorded        = "leat-recorded"
	MetaUnrecorded      = "leat-unrecorded" // "true" where the log did not take the event

	metaWatermillCorrelation = "correlation_id" // what Watermill's own middleware reads
)

// maxAttributes is room for all of them, and for a bus's own: a map that grows costs as much again.
const maxAttributes = 22

// ToMessage returns a new Watermill message: the payload is the event's data, the attributes are
// metadata under their CloudEvents names. The payload is shared, the metadata is not.
func ToMessage(e Envelope) *message.Message {
	m := message.NewMessage(e.ID, e.Data)
	m.Metadata = make(message.Metadata, maxAttributes)
	EachAttribute(e, func(name, value string) { m.Metadata[name] = value })
	return m
}

// EachAttribute calls set with every attribute that a message of e carries, and its value.
func EachAttribute(e Envelope, set func(name, value string)) {
	set(MetaSpecVersion, "1.0")
	set(MetaID, e.ID)
	set(MetaType, e.Type)
	set(MetaSource, e.Source)
	set(MetaTime, e.Time.Format(time.RFC3339Nano))
	set(MetaDataContentType, "application/json")
	set(MetaTenant, e.Tenant)
	set(MetaSchemaVersion, strconv.Itoa(e.SchemaVersion))
	set(MetaKind, string(e.Kind))
	some := func(name, value string) {
		if value != "" {
			set(name, value)
		}
	}
	some(MetaSubject, e.Subject)
	some(MetaActor, e.Actor)
	some(MetaCorrelation, e.CorrelationID)
	some(metaWatermillCorrelation, e.CorrelationID)
	some(MetaCausation, e.CausationID)
	some(MetaPartitionKey, e.PartitionKey)
	some(MetaSeverity, string(e.Severity))
	some(MetaTraceParent, e.TraceParent)
	if e.Depth > 0 {
		set(MetaDepth, strconv.Itoa(e.Depth))
	}
	if e.Position > 0 {
		set(MetaPosition, strconv.FormatInt(e.Position, 10))
		set(MetaRecorded, e.Recorded.Format(time.RFC3339Nano))
	}
	if e.Unrecorded {
		set(MetaUnrecorded, "true")
	}
}

// FromMessage reads the envelope that ToMessage wrote.
func FromMessage(m *message.Message) (Envelope, error) {
	e := Envelope{
		ID:            m.Metadata[MetaID],
		Type:          m.Metadata[MetaType],
		Kind:          Kind(m.Metadata[MetaKind]),
		Severity:      domain.Severity(m.Metadata[MetaSeverity]),
		Source:        m.Metadata[MetaSource],
		Subject:       m.Metadata[MetaSubject],
		Tenant:        m.Metadata[MetaTenant],
		Actor:         m.Metadata[MetaActor],
		PartitionKey:  m.Metadata[MetaPartitionKey],
		CorrelationID: m.Metadata[MetaCorrelation],
		CausationID:   m.Metadata[MetaCausation],
		TraceParent:   m.Metadata[MetaTraceParent],
		Data:          m.Payload,
		Unrecorded:    m.Metadata[MetaUnrecorded] == "true",
	}
	if got := m.Metadata[MetaSpecVersion]; got != "1.0" {
		return Envelope{}, fmt.Errorf("message %s: %s is %q, want \"1.0\"", m.UUID, MetaSpecVersion, got)
	}
	var err error
	if e.Time, err = time.Parse(time.RFC3339Nano, m.Metadata[MetaTime]); err != nil {
		return Envelope{}, fmt.Errorf("message %s: read %s: %w", m.UUID, MetaTime, err)
	}
	if e.SchemaVersion, err = strconv.Atoi(m.Metadata[MetaSchemaVersion]); err != nil {
		return Envelope{}, fmt.Errorf("message %s: read %s: %w", m.UUID, MetaSchemaVersion, err)
	}
	if depth := m.Metadata[MetaDepth]; depth != "" {
		if e.Depth, err = strconv.Atoi(depth); err != nil {
			return Envelope{}, fmt.Errorf("message %s: read %s: %w", m.UUID, MetaDepth, err)
		}
		if e.Depth < 0 { // it would let a chain of causes grow beyond its limit
			return Envelope{}, fmt.Errorf("message %s: %s is %d", m.UUID, MetaDepth, e.Depth)
		}
	}
	if position := m.Metadata[MetaPosition]; position != "" {
		if e.Position, err = strconv.ParseInt(position, 10, 64); err != nil {
			return Envelope{}, fmt.Errorf("message %s: read %s: %w", m.UUID, MetaPosition, err)
		}
		if e.Position < 0 {
			return Envelope{}, fmt.Errorf("message %s: %s is %d", m.UUID, MetaPosition, e.Position)
		}
		if e.Recorded, err = time.Parse(time.RFC3339Nano, m.Metadata[MetaRecorded]); err != nil {
			return Envelope{}, fmt.Errorf("message %s: read %s: %w", m.UUID, MetaRecorded, err)
		}
	}
	e.Slot = SlotOf(e.Tenant, e.PartitionKey)
	return e, nil
}
