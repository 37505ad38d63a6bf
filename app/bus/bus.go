package bus

import (
	"context"
	"fmt"
	"strconv"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leat-dev/leat/app/event"
)

// Bus carries sequenced events to handler sets. See the package comment for the contract.
type Bus interface {
	// Subscriber returns a subscriber for one handler set. Its Subscribe takes the set's name as
	// the topic and may be called once; messages begin with what is published after it returned,
	// or earlier. The subscriber's Close ends the subscription.
	Subscriber(s Subscription) (message.Subscriber, error)
	// Publish hands over events in the order of their positions.
	Publish(ctx context.Context, entries []Entry) error
	// Close ends all subscriptions and lets go of the transport.
	Close() error
}

// LaneSubscriber is what a bus's subscriber is when its transport keeps what each lane has taken,
// and so must know who works which lane. A group then asks for the lanes that it owns, and does
// not call Subscribe.
type LaneSubscriber interface {
	message.Subscriber
	// SubscribeLane receives the events of the slots s with s % lanes == lane until ctx ends, which
	// is when the lane is lost or the process stops. What is not acked by then is left to the
	// lane's next owner.
	SubscribeLane(ctx context.Context, lane, lanes int) (<-chan *message.Message, error)
}

// Subscription says who subscribes.
type Subscription struct {
	Set           string
	EveryInstance bool // each process gets every event, instead of sharing them
}

// Entry is an event on its way, with its place among the others.
type Entry struct {
	event.Envelope
	Prev     int64 // position of the event before it in the log; 0 for the first
	SlotPrev int64 // position of the event before it in its slot; 0 for the first
}

const (
	metaPrev     = "leat-prev"
	metaSlotPrev = "leat-slotprev"
)

// Encode returns a new message for the entry, which may leave the process.
func Encode(e Entry) *message.Message {
	m := event.ToMessage(e.Envelope)
	e.eachPlace(func(name, value string) { m.Metadata[name] = value })
	return m
}

// EachAttribute calls set with every name and value of the metadata that Encode writes, for a transport that
// need not make a message of its own for each entry.
func EachAttribute(e Entry, set func(name, value string)) {
	event.EachAttribute(e.Envelope, set)
	e.eachPlace(set)
}

func (e Entry) eachPlace(set func(name, value string)) {
	set(metaPrev, strconv.FormatInt(e.Prev, 10))
	set(metaSlotPrev, strconv.FormatInt(e.SlotPrev, 10))
}

type entryKey struct{}

// carrying is the context of a message that brings its entry as it is.
type carrying struct {
	context.Context
	entry *Entry
}

func (c carrying) Value(key any) any {
	if key == (entryKey{}) {
		return c.entry
	}
	return c.Context.Value(key)
}

// Hand returns a new message for an entry that does not leave the process: its context has the
// entry, its metadata nothing. The entry is shared and must not be changed.
func Hand(e *Entry) *message.Message {
	m := message.NewMessage(e.ID, e.Data)
	m.SetContext(carrying{context.Background(), e})
	return m
}

// Decode reads an entry back; its error says what the message lacks.
func Decode(m *message.Message) (Entry, error) {
	if e, handed := m.Context().Value(entryKey{}).(*Entry); handed {
		return *e, nil
	}
	envelope, err := event.FromMessage(m)
	if err != nil {
		return Entry{}, err
	}
	e := Entry{Envelope: envelope}
	if e.Position < 1 {
		return Entry{}, fmt.Errorf("message %s: %s is missing", m.UUID, event.MetaPosition)
	}
	if e.Prev, err = strconv.ParseInt(m.Metadata[metaPrev], 10, 64); err != nil {
		return Entry{}, fmt.Errorf("message %s: read %s: %w", m.UUID, metaPrev, err)
	}
	if e.SlotPrev, err = strconv.ParseInt(m.Metadata[metaSlotPrev], 10, 64); err != nil {
		return Entry{}, fmt.Errorf("message %s: read %s: %w", m.UUID, metaSlotPrev, err)
	}
	return e, nil
}
