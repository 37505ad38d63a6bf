package middleware

import (
	"sync/atomic"

	"github.com/ThreeDotsLabs/watermill/message"
)

// maxLingering is how many goroutines of a set wait for another message at most. What a commit is
// shared by is seldom more.
const maxLingering = 64

// Linger lets the goroutine that Watermill has started for a message handle others of the set when it
// is done: again hands them over, until stops is closed. A new goroutine for each message would
// have its stack grow anew through the whole chain. Each message is answered when its own handling ends.
//
// From the moment its Close begins, Watermill's router starts nothing before all goroutines that it
// has started are gone. So none may wait then for what only comes after a message that is still to be started.
func Linger(again <-chan *message.Message, stops <-chan struct{}) message.HandlerMiddleware {
	var lingering atomic.Int64
	return func(next message.HandlerFunc) message.HandlerFunc {
		return func(m *message.Message) ([]*message.Message, error) {
			for m != nil {
				answer(m, next)
				m = nil
				if lingering.Add(1) <= maxLingering {
					select {
					case m = <-again:
					case <-stops:
					}
				}
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
