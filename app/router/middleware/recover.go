package middleware

import (
	"runtime/debug"

	"github.com/ThreeDotsLabs/watermill/message"
)

// Recover turns a panic of the handler into an error, so that it is retried and ends among the
// dead letters as any other failure. A handler that ends its goroutine (runtime.Goexit) leaves
// nobody to answer: its message is nacked, or its lane would wait for ever.
func Recover() message.HandlerMiddleware {
	return func(next message.HandlerFunc) message.HandlerFunc {
		return func(m *message.Message) (out []*message.Message, err error) {
			returned := false
			defer func() {
				if value := recover(); value != nil {
					out, err = nil, &PanicError{Value: value, Stack: debug.Stack()}
				} else if !returned {
					m.Nack()
				}
			}()
			out, err = next(m)
			returned = true
			return out, err
		}
	}
}
