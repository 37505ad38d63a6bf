package middleware

import (
	"sync/atomic"

	"github.com/ThreeDotsLabs/watermill/message"
)

// maxLingering is how many goroutines of a set wait for another message at most. What a commit is
// shared by is seldom more.
const maxLingering = 64

// Linger lets the goroutine that Watermill has started for a message handle others of the set when it
// is done: again hands them over, and ends it when it is closed. A new goroutine for each message would
// have its stack grow anew through the whole chain. Each message is answered when its own handling ends.
func Linger(again <-chan *message.Message) message.HandlerMiddleware {
	var lingering atomic.Int64
	return func(next message.HandlerFunc) message.HandlerFunc {
		return func(m *message.Message) ([]*message.Message, error) {
			for open := true; open; {
				answer(m, next)
				if lingering.Add(1) > maxLingering {
					lingering.Add(-1)
					break
				}
				m, open = <-again
				lingering.Add(-1)
			}
			return nil, nil // the router's own answer comes too late to change anything
		}
	}
}

// answer acks what was handled and nacks what was not. A panic goes on to the router, which logs it.
func answer(m *message.Message, next message.HandlerFunc) {
	handled := false
	defer func() {
		if !handled {
			m.Nack()
		}
	}()
	if _, err := next(m); err == nil {
		handled = true
		m.Ack()
	}
}
