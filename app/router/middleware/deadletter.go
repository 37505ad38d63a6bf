package middleware

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leat-dev/leat/app/fault"
	"github.com/leat-dev/leat/app/settle"
)

// DeadLetter puts an event that retry has given up on among the dead letters of its set, with the
// reason, and lets the set go on.
func DeadLetter(logger *slog.Logger) message.HandlerMiddleware {
	return func(next message.HandlerFunc) message.HandlerFunc {
		return func(m *message.Message) ([]*message.Message, error) {
			out, err := next(m)
			var final *finalError
			if !errors.As(err, &final) {
				return out, err
			}
			a := settle.AttemptFrom(m.Context())
			fault.Point("middleware.burying")
			if buryErr := a.Bury(m.Context(), final.Error()); buryErr != nil {
				return nil, fmt.Errorf("put %s %s among the dead letters (%w): %w", a.Event.Type, a.Event.ID, final.err, buryErr)
			}
			fault.Point("middleware.buried")
			attrs := []any{
				"event", a.Event.ID, "type", a.Event.Type, "tenant", a.Event.Tenant, "attempts", a.Number, "error", final.err,
			}
			var p *PanicError
			if errors.As(err, &p) {
				attrs = append(attrs, "stack", string(p.Stack))
			}
			logger.Error("gave up on an event; it is among the dead letters", attrs...)
			return nil, nil
		}
	}
}
