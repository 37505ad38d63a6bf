package deadletter

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/leat-dev/leat/app/event"
)

// StrayType is the type of the event that stands in the letter of a Stray. Such an event is never
// in the log; its data are the message.
const StrayType = "message.refused"

// Stray is a message that came from outside and did not become an event: nobody can read it, or the
// log does not take it.
type Stray struct {
	Set     string // who met it; it stands where other letters have their handler set
	Key     string // the same when the same message comes again
	Tenant  string
	Reason  string
	Message Message
}

// Message is what came.
type Message struct {
	ID      string // for the event that it may become, when it names none itself
	Subject string // where it was sent to
	Header  map[string][]string
	Data    []byte
	Size    int // of the data in bytes; more than len(Data) when only their beginning was kept
}

const (
	// maxStray is how long data may be that are kept whole: twice what any event may have.
	maxStray = 2 * event.MaxData
	// startOfStray is what is kept of longer ones.
	startOfStray = 4 << 10
)

// NewMessage returns a message. Of data that are too long for any event it keeps the beginning.
func NewMessage(id, subject string, header map[string][]string, data []byte) Message {
	m := Message{ID: id, Subject: subject, Header: header, Data: data, Size: len(data)}
	if len(data) > maxStray {
		m.Data = data[:startOfStray]
	}
	return m
}

// Whole tells whether all data were kept.
func (m Message) Whole() bool { return m.Size == len(m.Data) }

type messageJSON struct {
	Subject string              `json:"subject"`
	Header  map[string][]string `json:"header,omitempty"`
	Data    string              `json:"data,omitempty"`
	Base64  string              `json:"data_base64,omitempty"`
	Size    int                 `json:"size"`
}

// Event returns what stands in the letter: an event of the type StrayType that holds the message.
func (s Stray) Event(now time.Time) (event.Envelope, error) {
	m := s.Message
	form := messageJSON{Subject: m.Subject, Header: m.Header, Size: m.Size}
	if utf8.Valid(m.Data) {
		form.Data = string(m.Data)
	} else {
		form.Base64 = base64.StdEncoding.EncodeToString(m.Data)
	}
	data, err := json.Marshal(form)
	if err != nil {
		return event.Envelope{}, fmt.Errorf("write the message of %s: %w", m.Subject, err)
	}
	return event.Envelope{
		ID: m.ID, Type: StrayType, SchemaVersion: 1, Kind: event.Business, Source: s.Set, Subject: m.Subject,
		Tenant: s.Tenant, Time: now.UTC(), PartitionKey: m.ID, CorrelationID: m.ID, Data: data,
		Slot: event.SlotOf(s.Tenant, m.ID), Recorded: now.UTC(),
	}, nil
}

// messageOf is the inverse of Event.
func messageOf(e event.Envelope) (Message, error) {
	var form messageJSON
	if err := json.Unmarshal(e.Data, &form); err != nil {
		return Message{}, fmt.Errorf("read the message of dead letter event %s: %w", e.ID, err)
	}
	m := Message{ID: e.ID, Subject: form.Subject, Header: form.Header, Data: []byte(form.Data), Size: form.Size}
	if form.Base64 != "" {
		var err error
		if m.Data, err = base64.StdEncoding.DecodeString(form.Base64); err != nil {
			return Message{}, fmt.Errorf("read the message of dead letter event %s: %w", e.ID, err)
		}
	}
	return m, nil
}

// Strays keeps letters of messages from outside beside those of events. They are listed, discarded
// and counted as the others.
type Strays interface {
	// BuryStray makes an open letter of a message; it is on disk when this returns nil. When there
	// is one with the set and the key already, whatever became of it, nothing changes.
	BuryStray(ctx context.Context, s Stray) error
	// StrayTaken removes the letter: its message has become an event.
	StrayTaken(ctx context.Context, tenant, id string) error
	// StrayRefused counts a further attempt, and keeps why it failed as the reason.
	StrayRefused(ctx context.Context, tenant, id, reason string) error
}
