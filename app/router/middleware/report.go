package middleware

import (
	"log/slog"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leat-dev/leat/app/settle"
)

// Report logs the errors that no other link has dealt with: those after which an event comes again
// without an attempt being counted, and all those of sets without a record.
func Report(logger *slog.Logger) message.HandlerMiddleware {
	return func(next message.HandlerFunc) message.HandlerFunc {
		return func(m *message.Message) ([]*message.Message, error) {
			out, err := next(m)
			if err != nil {
				what := "an event was not handled and does not come again"
				if settle.AttemptFrom(m.Context()) != nil {
					what = "an event is not settled and comes again"
				}
				e := eventOf(m)
				logger.Warn(what, "event", e.ID, "type", e.Type, "tenant", e.Tenant, "error", err)
			}
			return out, err
		}
	}
}
