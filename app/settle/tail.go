package settle

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jonboulle/clockwork"

	"github.com/leat-dev/leat/app/bus"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/app/handler"
)

// Tail gives every event from the present end of the log, in the order of the log, to a set that
// runs in each process: a message.Subscriber for the router. Nothing is recorded: an event whose
// handler fails is not given again.
type Tail struct {
	cfg    Config
	set    *handler.Bound
	log    eventlog.Reader
	bus    message.Subscriber
	clock  clockwork.Clock
	logger *slog.Logger

	out      chan *message.Message
	again    chan *message.Message // see Again
	stops    chan struct{}         // see Stops
	delivery context.Context       // says how every event comes
	ended    sync.WaitGroup
	at       int64 // handed to the set through here
}

// NewTail returns the tail of a set. It starts nothing before Subscribe.
func NewTail(cfg Config, set *handler.Bound, log eventlog.Reader, source message.Subscriber, clock clockwork.Clock, logger *slog.Logger) *Tail {
	return &Tail{
		cfg: cfg.withDefaults(), set: set, log: log, bus: source, clock: clock,
		logger: logger.With("handler", set.Name()), out: make(chan *message.Message),
		again: make(chan *message.Message), stops: make(chan struct{}),
		delivery: handler.WithDelivery(context.Background(), handler.Delivery{Set: set.Name(), Attempt: 1}),
	}
}

var _ message.Subscriber = (*Tail)(nil)

// Subscribe begins at the present end of the log. The channel closes when ctx has ended.
func (t *Tail) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	messages, err := t.bus.Subscribe(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("subscribe handler set %s to the bus: %w", t.set.Name(), err)
	}
	if _, t.at, err = t.log.Bounds(ctx); err != nil {
		return nil, fmt.Errorf("look at the end of the log: %w", err)
	}
	context.AfterFunc(ctx, func() { close(t.stops) })
	t.ended.Add(1)
	go t.follow(ctx, messages)
	go func() {
		t.ended.Wait()
		close(t.out)
	}()
	return t.out, nil
}

// Again brings messages as the channel of Subscribe does, to whoever waits for one already: a
// consumer need not start a goroutine for each. It never closes; Stops tells when to wait no longer.
func (t *Tail) Again() <-chan *message.Message { return t.again }

// Stops is closed when the context of Subscribe has ended.
func (t *Tail) Stops() <-chan struct{} { return t.stops }

// Close does nothing: the tail ends with the context of Subscribe.
func (t *Tail) Close() error { return nil }

func (t *Tail) follow(ctx context.Context, messages <-chan *message.Message) {
	defer t.ended.Done()
	poll := t.clock.NewTicker(t.cfg.Poll)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-poll.Chan():
			t.catchUp(ctx)
		case m, open := <-messages:
			if !open {
				messages = nil // the log still tells, only later
				continue
			}
			entry, err := bus.Decode(m)
			switch {
			case err != nil:
				t.logger.Error("stepped over an undecodable message; the event will be read from the log", "error", err)
			case entry.Position <= t.at:
			case entry.Prev > t.at:
				t.catchUp(ctx)
			default:
				t.give(ctx, &entry.Envelope)
			}
			if ctx.Err() == nil {
				m.Ack()
			}
		}
	}
}

// catchUp reads what the bus did not bring.
func (t *Tail) catchUp(ctx context.Context) {
	for ctx.Err() == nil {
		events, through, err := t.log.Read(ctx, t.at, 0, t.cfg.Page)
		if err != nil {
			if ctx.Err() == nil {
				t.logger.Warn("read the log", "after", t.at, "error", err)
			}
			return
		}
		for i := range events {
			t.give(ctx, &events[i])
		}
		if len(events) < t.cfg.Page {
			t.at = max(t.at, through)
			return
		}
	}
}

// give hands the event to the set and waits for the end of its handling. The message has no attributes:
// the event is in its context as the one being handled.
func (t *Tail) give(ctx context.Context, e *event.Envelope) {
	if ctx.Err() != nil {
		return
	}
	if _, subscribed := t.set.Call(e.Type); subscribed {
		m := message.NewMessage(e.ID, e.Data)
		m.SetContext(event.Handling(t.delivery, e))
		select {
		case t.again <- m:
		default:
			select {
			case <-ctx.Done():
				return
			case t.again <- m:
			case t.out <- m:
			}
		}
		select {
		case <-m.Acked():
		case <-m.Nacked():
		}
	}
	t.at = e.Position
}
