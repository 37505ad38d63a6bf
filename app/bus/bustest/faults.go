package bustest

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leat-dev/leat/app/bus"
	"github.com/leat-dev/leat/app/settle"
)

// wrapped is a bus whose subscribers pass each message through between.
type wrapped struct {
	bus.Bus
	// between takes a message of the bus and gives what the set shall see instead to send. It is
	// called by one goroutine for each subscription.
	between func(set string) func(m *message.Message, send func(*message.Message))
}

func (w wrapped) Subscriber(s bus.Subscription) (message.Subscriber, error) {
	inner, err := w.Bus.Subscriber(s)
	if err != nil {
		return nil, err
	}
	return &wrappedSubscriber{Subscriber: inner, between: w.between(s.Set)}, nil
}

type wrappedSubscriber struct {
	message.Subscriber
	between func(m *message.Message, send func(*message.Message))
}

func (s *wrappedSubscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	in, err := s.Subscriber.Subscribe(ctx, topic)
	if err != nil {
		return nil, err
	}
	out := make(chan *message.Message)
	go func() {
		defer close(out)
		for m := range in {
			s.between(m, func(m *message.Message) {
				select {
				case out <- m:
				case <-ctx.Done():
				}
			})
		}
	}()
	return out, nil
}

// faulty is a bus that loses, repeats and reorders, and now and then sends rubbish.
func faulty(seed uint64) func(b bus.Bus) bus.Bus {
	return func(b bus.Bus) bus.Bus {
		return wrapped{Bus: b, between: func(set string) func(*message.Message, func(*message.Message)) {
			random := rand.New(rand.NewPCG(seed, uint64(len(set))<<8+uint64(set[0])))
			var kept []*message.Message
			return func(m *message.Message, send func(*message.Message)) {
				switch random.IntN(10) {
				case 0: // lost
					m.Ack()
				case 1: // twice
					send(m.CopyWithContext())
					send(m)
				case 2: // later
					kept = append(kept, m)
				case 3: // spoilt
					m.Ack()
					m = m.Copy()
					delete(m.Metadata, "ce-type")
					delete(m.Metadata, "leat-position")
					send(m)
				default:
					send(m)
				}
				if len(kept) > 0 && random.IntN(4) == 0 {
					i := random.IntN(len(kept))
					send(kept[i])
					kept = append(kept[:i], kept[i+1:]...)
				}
			}
		}}
	}
}

// hooked is a store with places to interfere. A nil hook does nothing.
type hooked struct {
	Store
	mu       sync.Mutex
	settle   func(ctx context.Context, w settle.Work, inner func(context.Context, settle.Work) error) error
	renew    func(leases []settle.Lease, inner func() ([]settle.Lease, error)) ([]settle.Lease, error)
	statuses func(inner func() (map[string]settle.Status, error)) (map[string]settle.Status, error)
	parked   func(set string) error
	killed   bool // nothing is released any more
}

// hook makes the world's store a hooked one.
func (w *world) hook() *hooked {
	h := &hooked{}
	w.wrapStore = func(s Store) Store {
		h.Store = s
		return h
	}
	return h
}

// set changes hooks while a service runs.
func (h *hooked) set(change func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change()
}

func get[T any](h *hooked, hook *T) T {
	h.mu.Lock()
	defer h.mu.Unlock()
	return *hook
}

func (h *hooked) Settle(ctx context.Context, w settle.Work) error {
	if f := get(h, &h.settle); f != nil {
		return f(ctx, w, h.Store.Settle)
	}
	return h.Store.Settle(ctx, w)
}

func (h *hooked) Renew(ctx context.Context, leases []settle.Lease, ttl time.Duration) ([]settle.Lease, error) {
	inner := func() ([]settle.Lease, error) { return h.Store.Renew(ctx, leases, ttl) }
	if f := get(h, &h.renew); f != nil {
		return f(leases, inner)
	}
	return inner()
}

func (h *hooked) Statuses(ctx context.Context) (map[string]settle.Status, error) {
	inner := func() (map[string]settle.Status, error) { return h.Store.Statuses(ctx) }
	if f := get(h, &h.statuses); f != nil {
		return f(inner)
	}
	return inner()
}

func (h *hooked) Release(ctx context.Context, l settle.Lease) error {
	if get(h, &h.killed) {
		return nil
	}
	return h.Store.Release(ctx, l)
}

func (h *hooked) Parked(ctx context.Context, set string, slots []int) ([]settle.Parked, error) {
	if f := get(h, &h.parked); f != nil {
		if err := f(set); err != nil {
			return nil, err
		}
	}
	return h.Store.Parked(ctx, set, slots)
}
