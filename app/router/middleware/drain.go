package middleware

import (
	"context"

	"github.com/ThreeDotsLabs/watermill/message"
)

// Drain lets what is in hand finish when the router closes. Watermill cancels the contexts of
// messages as soon as Close begins; here the handler's context ends only with deadline, which the
// router cancels when the time for draining is over.
func Drain(deadline context.Context) message.HandlerMiddleware {
	return func(next message.HandlerFunc) message.HandlerFunc {
		return func(m *message.Message) ([]*message.Message, error) {
			ctx, cancel := context.WithCancelCause(context.WithoutCancel(m.Context()))
			defer cancel(nil)
			stop := context.AfterFunc(deadline, func() { cancel(ErrDrained) })
			defer stop()
			m.SetContext(ctx)
			return next(m)
		}
	}
}
