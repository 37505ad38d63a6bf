// Package domain holds what every aggregate shares: the events it records, the root it embeds and
// the errors it answers with. It knows nothing of storage, transport or JSON, and imports the
// standard library only.
package domain

// Event is a fact that an aggregate recorded. It is a plain struct whose exported fields are the
// event's data.
type Event interface {
	// EventType is the event's name: a literal, lowercase, dot-separated and in the past tense
	// ("build.started"). It must not depend on the value of the event.
	EventType() string
}

// Severity says how soon somebody must look at an alert.
type Severity string

// The severities of alerts, most pressing first.
const (
	Urgent Severity = "urgent"
	High   Severity = "high"
	Medium Severity = "medium"
	Low    Severity = "low"
)

// Alert is an event that asks somebody to act.
type Alert interface {
	Event
	// Severity may depend on the value of the event.
	Severity() Severity
}
