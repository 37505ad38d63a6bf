package middleware

import (
	"fmt"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/settle"
)

// Correlate puts the event into the context as the one being handled, unless it is there: whatever is published with
// that context carries its correlation id, and its id as causation id.
func Correlate() message.HandlerMiddleware {
	return func(next message.HandlerFunc) message.HandlerFunc {
		return func(m *message.Message) ([]*message.Message, error) {
			var e *event.Envelope
			if a := settle.AttemptFrom(m.Context()); a != nil {
				e = &a.Event
			} else if _, there := event.Handled(m.Context()); there {
				return next(m)
			} else {
				read, err := event.FromMessage(m)
				if err != nil {
					return nil, fmt.Errorf("read the message's attributes: %w", err)
				}
				e = &read
			}
			m.SetContext(event.Handling(m.Context(), e))
			return next(m)
		}
	}
}
