package settletest

import (
	"context"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leat-dev/leat/app/bus"
	"github.com/leat-dev/leat/app/event"
)

// entry is an event with the places before it.
type entry struct {
	event.Envelope
	prev, slotPrev int64
}

// road is a bus to one process; what finds nobody, or no room, is lost.
type road struct {
	mu   sync.Mutex
	subs []*rider
}

type rider struct {
	lane, lanes int
	messages    chan *message.Message
}

// laneRoad is a road that deals the lanes itself.
type laneRoad struct{ *road }

var _ bus.LaneSubscriber = laneRoad{}

func (r *road) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	return r.join(ctx, 0, 1), nil
}

func (r *road) Close() error { return nil }

// SubscribeLane implements bus.LaneSubscriber.
func (r laneRoad) SubscribeLane(ctx context.Context, lane, lanes int) (<-chan *message.Message, error) {
	return r.join(ctx, lane, lanes), nil
}

func (r *road) join(ctx context.Context, lane, lanes int) <-chan *message.Message {
	s := &rider{lane: lane, lanes: lanes, messages: make(chan *message.Message, 32)}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.subs = append(r.subs, s)
	context.AfterFunc(ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		for i, other := range r.subs {
			if other == s {
				r.subs = append(r.subs[:i:i], r.subs[i+1:]...)
				return
			}
		}
	})
	return s.messages
}

func (r *road) send(e entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.subs {
		if e.Slot%s.lanes != s.lane {
			continue
		}
		select {
		case s.messages <- bus.Encode(bus.Entry{Envelope: e.Envelope, Prev: e.prev, SlotPrev: e.slotPrev}):
		default:
		}
	}
}
