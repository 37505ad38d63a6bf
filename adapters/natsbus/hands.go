package natsbus

import (
	"context"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/leat-dev/leat/app/fault"
)

// held is a message that the server waits for an answer to.
type held struct {
	message *message.Message
	msg     jetstream.Msg // nil: no answer is expected
}

// hands are the messages of a subscription that have no answer yet.
type hands struct {
	mu      sync.Mutex
	all     map[*held]struct{}
	waiting sync.WaitGroup
}

// hold passes the answer to a message on to the server. When ctx ends without one the message is
// given back. An answer that is lost on its way makes the message come again.
func (h *hands) hold(ctx context.Context, one *held) {
	h.mu.Lock()
	h.all[one] = struct{}{}
	h.mu.Unlock()
	h.waiting.Add(1)
	go func() {
		defer h.waiting.Done()
		select {
		case <-one.message.Acked():
			fault.Point("natsbus.acking")
			_ = one.msg.Ack()
			fault.Point("natsbus.acked")
		case <-one.message.Nacked():
			_ = one.msg.Nak()
		case <-ctx.Done():
			select {
			case <-one.message.Acked():
				_ = one.msg.Ack()
			default:
				_ = one.msg.Nak()
			}
		}
		h.mu.Lock()
		delete(h.all, one)
		h.mu.Unlock()
	}()
}

// report tells the server that somebody works on what is in hand.
func (h *hands) report() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for one := range h.all {
		_ = one.msg.InProgress()
	}
}

// wait returns when every message has its answer.
func (h *hands) wait() { h.waiting.Wait() }
