package email

import (
	"context"
	"time"
)

// Reader shows the queue to people.
type Reader interface {
	// Emails lists a tenant's mails, newest first; next is the cursor of the following page, ""
	// at the end. A cursor or status that does not exist is a domain.Invalid error.
	Emails(ctx context.Context, q Query) (emails []Email, next string, err error)
}

// The bounds of a page of Emails.
const (
	DefaultLimit = 50
	MaxLimit     = 500
)

// Query selects mails of one tenant. Empty fields select everything.
type Query struct {
	Tenant string
	Status Status
	Cursor string
	Limit  int // 0: DefaultLimit; more than MaxLimit: that
}

// Email is one mail as people see it. Data is left out: it may hold secrets such as invitation links.
type Email struct {
	ID        string    `json:"id"`
	Status    Status    `json:"status"`
	To        string    `json:"to"`
	Subject   string    `json:"subject"` // empty until the first attempt
	Template  string    `json:"template"`
	Attempts  int       `json:"attempts"`
	Error     string    `json:"error,omitempty"`
	Created   time.Time `json:"created"`
	Sent      time.Time `json:"sent,omitzero"`
	MessageID string    `json:"messageId,omitempty"` // empty until the first attempt
	EventID   string    `json:"eventId"`             // of the notification.requested
}
