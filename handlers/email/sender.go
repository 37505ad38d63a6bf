package email

import (
	"context"
	"errors"
)

// Sender hands one mail to a mail server. It is safe for concurrent use.
type Sender interface {
	// Send returns nil when a server has taken the mail. An error marked by Permanent says that
	// the same mail will be refused again; every other error is worth another attempt. It must
	// return soon after ctx ends.
	Send(ctx context.Context, m Message) error
}

// Message is a rendered mail.
type Message struct {
	ID      string  // Message-ID without angle brackets
	From    string  // address; empty: the sender's own
	To      Address //
	Subject string  // one line
	Text    string
	HTML    string // empty: text only
}

// Address is a mail address and the name that is shown with it.
type Address struct {
	Address string
	Name    string // may be empty
}

// Permanent marks an error that another attempt cannot mend. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &classified{err: err, permanent: true}
}

// Temporary marks an error that may go away, also when a cause of it is marked Permanent.
// Temporary(nil) is nil.
func Temporary(err error) error {
	if err == nil {
		return nil
	}
	return &classified{err: err}
}

// IsPermanent tells whether err was marked by Permanent. The outermost mark counts; an error
// without one is temporary.
func IsPermanent(err error) bool {
	var c *classified
	return errors.As(err, &c) && c.permanent
}

type classified struct {
	err       error
	permanent bool
}

func (c *classified) Error() string { return c.err.Error() }
func (c *classified) Unwrap() error { return c.err }
