package email

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/leat-dev/leat/app/event"
)

// Queue holds mails until they are sent or given up. Implementations pass emailtest. Methods that
// write join the transaction that ctx carries, else they use one of their own.
type Queue interface {
	// Claim leases at most limit mails to owner: those that are queued and due, and those whose
	// lease has run out. Nobody else gets them before the lease ends. Attempts counts every
	// MarkSending so far, so an attempt that ended in a crash has been counted.
	Claim(ctx context.Context, owner string, limit int, lease time.Duration) ([]Claimed, error)
	// MarkSending records that an attempt begins: the mail is sending and has one attempt more.
	MarkSending(ctx context.Context, c Claimed, r Record) error
	// Retry puts the mail back: queued, due after the pause.
	Retry(ctx context.Context, c Claimed, after time.Duration, reason string) error
	// Finish gives the mail its final status.
	Finish(ctx context.Context, c Claimed, o Outcome) error
	// Record writes several steps in one transaction. For each it returns nil or, where MarkSending or Finish
	// would, ErrLost; the others are written all the same. After an error nothing is.
	Record(ctx context.Context, steps []Step) (lost []error, err error)
	// Release puts a mail for which no attempt was made back: queued and due at once.
	Release(ctx context.Context, c Claimed) error
	// Changed returns a channel that is closed at the next commit after which there may be a mail
	// to claim. Take it before claiming. It may miss what other processes do.
	Changed() <-chan struct{}
}

// ErrLost is returned for a claim that is no longer the caller's: its lease has run out and somebody
// else took the mail, or the mail is finished.
var ErrLost = errors.New("the mail has been claimed by somebody else")

// Claimed is a mail leased to a worker.
type Claimed struct {
	Mail
	Fence    int64 // rises with every claim of the mail
	Attempts int   // made so far
	// LastError is the reason of the last Retry; empty when there was none.
	LastError string
}

// Mail is a mail in the queue.
type Mail struct {
	ID string
	// Requested is the notification.requested that asked for it, without its Data: what the
	// outcome's event continues.
	Requested event.Envelope
	To        Recipient
	Template  string
	Data      json.RawMessage // what the template sees, as in notification.requested; may be empty
}

// Recipient is who gets the mail, and what the template sees as .Recipient.
type Recipient struct {
	Address string
	Name    string
	Role    string
}

// Record is what an attempt notes about the rendered mail.
type Record struct {
	Subject   string
	MessageID string
}

// Step is what one of several mails has come to: an attempt begins, or the mail ends. One of the two is set.
type Step struct {
	Claimed
	Sending *Record
	Outcome *Outcome
}

// Outcome is how a mail ended.
type Outcome struct {
	Status Status // StatusSent or StatusFailed
	Error  string // of StatusFailed
}

// Status is where a mail stands.
type Status string

// The statuses of a mail.
const (
	StatusQueued  Status = "queued"
	StatusSending Status = "sending"
	StatusSent    Status = "sent"
	StatusFailed  Status = "failed"
)
