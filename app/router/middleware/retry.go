package middleware

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jonboulle/clockwork"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/fault"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/app/settle"
)

// heldFor is how long an event with a schema of the future is held before it is looked at again.
const heldFor = time.Minute

// Retry parks an event that failed until its next attempt, in the transaction that moves the
// cursor: the lane goes on at once, and the attempt survives a restart. random is in [0, 1).
func Retry(p handler.Policy, clock clockwork.Clock, random func() float64, logger *slog.Logger) message.HandlerMiddleware {
	return func(next message.HandlerFunc) message.HandlerFunc {
		return func(m *message.Message) ([]*message.Message, error) {
			out, err := next(m)
			if err == nil || notTheEvents(m.Context(), err) {
				return out, err
			}
			a := settle.AttemptFrom(m.Context())
			span := trace.SpanFromContext(m.Context())
			span.RecordError(err)
			span.SetStatus(codes.Error, err.Error())
			attrs := []any{"event", a.Event.ID, "type", a.Event.Type, "tenant", a.Event.Tenant, "attempt", a.Number, "error", err}
			counted, what := true, "an event failed and is tried again"
			var pause time.Duration
			switch {
			case errors.Is(err, event.ErrNewerSchema):
				counted, what, pause = false, "holding an event until a newer program comes", heldFor
			case handler.IsPermanent(err) || a.Number >= p.Attempts:
				return nil, &finalError{err}
			default:
				pause = p.Backoff(a.Number, random())
			}
			fault.Point("middleware.parking")
			if parkErr := a.Park(m.Context(), clock.Now().UTC().Add(pause), err.Error(), counted); parkErr != nil {
				return nil, fmt.Errorf("park %s %s (%w): %w", a.Event.Type, a.Event.ID, err, parkErr)
			}
			fault.Point("middleware.parked")
			logger.Warn(what, append(attrs, "in", pause)...)
			return nil, nil
		}
	}
}
