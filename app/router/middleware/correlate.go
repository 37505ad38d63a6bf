package middleware

import (
	"fmt"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/settle"
)

// Correlate puts the event into the context as the one being handled: whatever is published with
// that context carries its correlation id, and its id as causation id.
func Correlate() message.HandlerMiddleware {
	return func(next message.HandlerFunc) message.HandlerFunc {
		return func(m *message.Message) ([]*message.Message, error) {
			var e event.Envelope
			if a := settle.AttemptFrom(m.Context()); a != nil {
				e = a.Event
			} else {
				var err error
				if e, err = event.FromMessage(m); err != nil {
					return nil, fmt.Errorf("read the message's attributes: %w", err)
				}
			}
			ctx := event.WithOrigin(m.Context(), event.Origin{
				Tenant: e.Tenant, Actor: e.Actor, CorrelationID: e.CorrelationID,
			})
			m.SetContext(event.WithHandled(ctx, e))
			return next(m)
		}
	}
}
