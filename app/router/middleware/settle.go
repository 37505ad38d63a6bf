package middleware

import (
	"context"
	"fmt"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leat-dev/leat/app/fault"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/app/settle"
)

// Settle writes down that the event was handled. A transactional reaction runs inside the
// transaction that does so; others run before it, outside any. The message is acked only after
// the commit. That the record could not be written, or the transaction not be begun, is not the
// event's fault.
func Settle(set *handler.Bound) message.HandlerMiddleware {
	return func(next message.HandlerFunc) message.HandlerFunc {
		return func(m *message.Message) ([]*message.Message, error) {
			a := settle.AttemptFrom(m.Context())
			call, ok := set.Call(a.Event.Type)
			if !ok {
				return nil, handler.Permanent(fmt.Errorf("handler set %s has no reaction to %s", set.Name(), a.Event.Type))
			}
			fault.Point("middleware.before-handler")
			if !call.Tx {
				if _, err := next(m); err != nil {
					return nil, err
				}
				fault.Point("middleware.effect-made")
				// The effect is made; it is worth recording even when the attempt has just run
				// out of time.
				if err := a.Handled(context.WithoutCancel(m.Context()), nil); err != nil {
					return nil, handler.Unavailable(fmt.Errorf("record that %s %s was handled: %w", a.Event.Type, a.Event.ID, err))
				}
				return nil, nil
			}
			outer := m.Context()
			defer m.SetContext(outer)
			begun := false
			err := a.Handled(outer, func(ctx context.Context) error {
				begun = true
				m.SetContext(ctx)
				// Here, where its stack still shows where it came from.
				_, err := Recover()(next)(m)
				return err
			})
			if err != nil && !begun {
				err = handler.Unavailable(fmt.Errorf("begin to handle %s %s: %w", a.Event.Type, a.Event.ID, err))
			}
			return nil, err
		}
	}
}
