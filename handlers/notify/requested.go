package notify

import (
	"encoding/json"
	"time"

	"github.com/leat-dev/leat/app/event"
)

// Email is the only channel there is.
const Email = "email"

// Requested is the event notification.requested: somebody is to be told something. The set of this
// package publishes it where a Rule says so; anybody else may publish it too.
type Requested struct {
	Channel    string      `json:"channel" jsonschema:"enum=email"`
	Template   string      `json:"template" jsonschema:"minLength=1,maxLength=128,pattern=^[a-zA-Z0-9][a-zA-Z0-9._-]*$"`
	Recipients []Recipient `json:"recipients" jsonschema:"minItems=1,maxItems=1000"`
	// Data is an object, what the template sees. With the two objects "event" (a Cause) and "data"
	// in it these become the template's .Event and .Data. Otherwise all of it is .Data, and
	// .Event is the notification.requested itself.
	Data json.RawMessage `json:"data,omitempty" jsonschema:"type=object"`
}

// EventType is "notification.requested".
func (Requested) EventType() string { return "notification.requested" }

// Recipient is somebody to write to.
type Recipient struct {
	Address string `json:"address" jsonschema:"format=email,maxLength=254"`
	Name    string `json:"name,omitempty" jsonschema:"maxLength=256,pattern=^[^\\x00-\\x1f\\x7f]*$"`
	// Role is why: "contact", "assignee", "watcher" or "invitee".
	Role string `json:"role,omitempty" jsonschema:"maxLength=64"`
}

// Cause is what a template gets to know of the event that it tells about.
type Cause struct {
	Type    string    `json:"type"`
	ID      string    `json:"id"`
	Subject string    `json:"subject"`
	Tenant  string    `json:"tenant"`
	Time    time.Time `json:"time"`
	Actor   string    `json:"actor"`
}

// content is the Data of what the set itself publishes.
type content struct {
	Event Cause           `json:"event"`
	Data  json.RawMessage `json:"data"`
}

func contentOf(e event.Envelope) (json.RawMessage, error) {
	return json.Marshal(content{
		Event: Cause{Type: e.Type, ID: e.ID, Subject: e.Subject, Tenant: e.Tenant, Time: e.Time, Actor: e.Actor},
		Data:  e.Data,
	})
}

// Definitions holds the events that this package publishes and handles.
var Definitions = event.Definitions{event.Define[Requested](event.Notification)}
