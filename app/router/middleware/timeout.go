package middleware

import (
	"context"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jonboulle/clockwork"
)

// Timeout ends the context of an attempt after d. The context is put back afterwards, so that what
// follows the attempt (parking, the dead letters) does not inherit one that has ended.
func Timeout(d time.Duration, clock clockwork.Clock) message.HandlerMiddleware {
	return func(next message.HandlerFunc) message.HandlerFunc {
		return func(m *message.Message) ([]*message.Message, error) {
			outer := m.Context()
			ctx, cancel := context.WithCancelCause(outer)
			defer cancel(nil)
			timer := clock.AfterFunc(d, func() { cancel(fmt.Errorf("%w: more than %v", ErrTimeout, d)) })
			defer timer.Stop()
			m.SetContext(ctx)
			defer m.SetContext(outer)
			out, err := next(m)
			if cause := context.Cause(ctx); err != nil && cause != nil && outer.Err() == nil {
				err = fmt.Errorf("%w: %w", cause, err)
			}
			return out, err
		}
	}
}
