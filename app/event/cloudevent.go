package event

import (
	"encoding/json"
	"time"

	"github.com/leat-dev/leat/domain"
)

// cloudEvent is the CloudEvents 1.0 JSON form of an envelope.
type cloudEvent struct {
	SpecVersion     string          `json:"specversion"`
	ID              string          `json:"id"`
	Type            string          `json:"type"`
	Source          string          `json:"source"`
	Subject         string          `json:"subject,omitempty"`
	Time            time.Time       `json:"time"`
	DataContentType string          `json:"datacontenttype"`
	TenantID        string          `json:"tenantid,omitempty"`
	Actor           string          `json:"actor,omitempty"`
	CorrelationID   string          `json:"correlationid,omitempty"`
	CausationID     string          `json:"causationid,omitempty"`
	CausationDepth  int             `json:"causationdepth,omitempty"`
	PartitionKey    string          `json:"partitionkey,omitempty"`
	SchemaVersion   int             `json:"schemaversion,omitempty"`
	Kind            Kind            `json:"kind,omitempty"`
	Severity        domain.Severity `json:"severity,omitempty"`
	TraceParent     string          `json:"traceparent,omitempty"`
	Data            json.RawMessage `json:"data,omitempty"`
}

// MarshalJSON writes the envelope as a CloudEvent in JSON format. The position is no attribute of
// the event: who shows it puts it beside.
func (e Envelope) MarshalJSON() ([]byte, error) {
	return json.Marshal(cloudEvent{
		SpecVersion: "1.0", ID: e.ID, Type: e.Type, Source: e.Source, Subject: e.Subject, Time: e.Time,
		DataContentType: "application/json", TenantID: e.Tenant, Actor: e.Actor, CorrelationID: e.CorrelationID,
		CausationID: e.CausationID, CausationDepth: e.Depth, PartitionKey: e.PartitionKey,
		SchemaVersion: e.SchemaVersion, Kind: e.Kind, Severity: e.Severity, TraceParent: e.TraceParent, Data: e.Data,
	})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (e *Envelope) UnmarshalJSON(b []byte) error {
	var c cloudEvent
	if err := json.Unmarshal(b, &c); err != nil {
		return err
	}
	*e = Envelope{
		ID: c.ID, Type: c.Type, SchemaVersion: c.SchemaVersion, Kind: c.Kind, Severity: c.Severity, Source: c.Source,
		Subject: c.Subject, Tenant: c.TenantID, Actor: c.Actor, Time: c.Time, PartitionKey: c.PartitionKey,
		CorrelationID: c.CorrelationID, CausationID: c.CausationID, Depth: c.CausationDepth,
		TraceParent: c.TraceParent, Data: c.Data, Slot: SlotOf(c.TenantID, c.PartitionKey),
	}
	return nil
}
