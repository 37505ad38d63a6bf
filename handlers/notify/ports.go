package notify

import (
	"context"
	"encoding/json"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
)

// Recipients knows whom an event concerns.
type Recipients interface {
	// Recipients returns who is to be told about the event, none when nobody is. It is called
	// inside a transaction: it may read the database through ctx and must wait for nothing else.
	Recipients(ctx context.Context, e event.Envelope) ([]Recipient, error)
}

// Publisher accepts events into the transaction that ctx carries.
type Publisher interface {
	Publish(ctx context.Context, drafts ...event.Draft) ([]eventlog.Receipt, error)
}

// Queue takes mails that are to be sent.
type Queue interface {
	// Enqueue stores mails in the transaction that ctx carries. There is one row for each tenant,
	// source and id of the requesting event and recipient (addresses compared without regard to
	// case): a second enqueue of the same is ignored.
	Enqueue(ctx context.Context, mails ...Mail) error
}

// Mail is one template for one recipient.
type Mail struct {
	// Requested is the notification.requested that asked for it, without its Data.
	Requested event.Envelope
	To        Recipient
	Template  string
	Data      json.RawMessage // Requested.Data; may be empty
}

// Templates tells which mail templates there are.
type Templates interface {
	Has(name string) bool
}
