package middleware

import (
	"context"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leat-dev/leat/app/settle"
)

// Drain lets what is in hand finish when the router closes. Watermill cancels the contexts of
// messages as soon as Close begins; here the handler's context ends only with deadline, which the
// router cancels when the time for draining is over.
func Drain(deadline context.Context) message.HandlerMiddleware {
	over, cancel := context.WithCancelCause(context.Background())
	context.AfterFunc(deadline, func() { cancel(ErrDrained) })
	return func(next message.HandlerFunc) message.HandlerFunc {
		return func(m *message.Message) ([]*message.Message, error) {
			m.SetContext(draining{over, context.WithoutCancel(m.Context()), settle.AttemptFrom(m.Context())})
			return next(m)
		}
	}
}

// draining ends when one context does, and has the values of another: nothing to set up and to take
// down for each message.
type draining struct {
	context.Context
	values  context.Context
	attempt *settle.Attempt // of values; several links ask for it
}

func (d draining) Value(key any) any {
	if v := d.attempt.Value(key); v != nil {
		return v
	}
	if v := d.values.Value(key); v != nil {
		return v
	}
	return d.Context.Value(key) // package context asks for what it keeps of its own
}
