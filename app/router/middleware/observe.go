package middleware

import (
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jonboulle/clockwork"

	"github.com/leat-dev/leat/app/settle"
)

// Observer is told of each attempt, for metrics and tests.
type Observer interface {
	// Began is told when an event is given to a set; Handled follows.
	Began(set, typ string)
	// Handled is told how the attempt ended, after the commit: "handled", "retried", "dead", or
	// "unsettled" when the event comes again without an attempt being counted.
	Handled(set, typ, result string, attempt int, took time.Duration)
}

// Observe tells the observer about each attempt; nil observes nothing.
func Observe(o Observer, set string, clock clockwork.Clock) message.HandlerMiddleware {
	return func(next message.HandlerFunc) message.HandlerFunc {
		if o == nil {
			return next
		}
		return func(m *message.Message) ([]*message.Message, error) {
			o.Began(set, eventOf(m).Type)
			start := clock.Now()
			out, err := next(m)
			result, attempt := "handled", 1
			if a := settle.AttemptFrom(m.Context()); a != nil {
				attempt = a.Number
				if result = string(a.Outcome()); a.Outcome() == settle.Unsettled {
					result = "unsettled"
				}
			} else if err != nil {
				result = "unsettled"
			}
			o.Handled(set, eventOf(m).Type, result, attempt, clock.Since(start))
			return out, err
		}
	}
}
