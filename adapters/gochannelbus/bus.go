// Package gochannelbus carries events inside one process over Watermill's GoChannel: for tests and
// for services of a single process. GoChannel itself drops what nobody subscribes to, reorders and
// forgets at the end of the process; the log and the lanes above make up for all of it.
package gochannelbus

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"

	"github.com/leat-dev/leat/app/bus"
	"github.com/leat-dev/leat/app/fault"
)

// Config bounds what the bus holds. The zero value works.
type Config struct {
	// Window is how many messages one set may leave untaken before the bus sends it no more; the
	// set reads what it missed from the log. Each costs two goroutines. Default 1024.
	Window int `koanf:"window"`
}

// Bus is a bus within the process.
type Bus struct {
	window int64
	pubsub *gochannel.GoChannel

	mu     sync.RWMutex
	topics map[string]*subscription
	subs   sync.WaitGroup
}

var _ bus.Bus = (*Bus)(nil)

// New returns a bus. It starts nothing.
func New(cfg Config, logger *slog.Logger) *Bus {
	if cfg.Window == 0 {
		cfg.Window = 1024
	}
	return &Bus{
		window: int64(cfg.Window),
		pubsub: gochannel.NewGoChannel(gochannel.Config{}, watermill.NewSlogLogger(slog.New(warnings{logger.Handler()}))),
		topics: map[string]*subscription{},
	}
}

// Subscriber returns the subscriber of a set. In one process a set that runs on every instance is
// a set like any other.
func (b *Bus) Subscriber(s bus.Subscription) (message.Subscriber, error) {
	return &subscription{bus: b, set: s.Set}, nil
}

// Publish hands the entries to every set that has room in its window.
func (b *Bus) Publish(_ context.Context, entries []bus.Entry) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for set, sub := range b.topics {
		for _, e := range entries {
			if sub.untaken.Load() >= b.window {
				break // the set sees a gap, or looks by itself, and reads the log
			}
			sub.untaken.Add(1)
			fault.Point("gochannelbus.publishing")
			if err := b.pubsub.Publish(set, bus.Encode(e)); err != nil {
				return fmt.Errorf("hand event %s to %s: %w", e.ID, set, err)
			}
		}
	}
	return nil
}

// Close ends all subscriptions.
func (b *Bus) Close() error {
	err := b.pubsub.Close()
	b.mu.RLock()
	for _, sub := range b.topics {
		sub.cancel() // one may stand with a message that nobody takes
	}
	b.mu.RUnlock()
	b.subs.Wait()
	return err
}

// subscription is one set's share.
type subscription struct {
	bus     *Bus
	set     string
	untaken atomic.Int64
	cancel  context.CancelFunc
}

// Subscribe begins to receive; the channel closes with ctx or Close.
func (s *subscription) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	ctx, cancel := context.WithCancel(ctx)
	in, err := s.bus.pubsub.Subscribe(ctx, s.set)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("subscribe %s: %w", topic, err)
	}
	s.bus.mu.Lock()
	s.cancel = cancel
	s.bus.topics[s.set] = s
	s.bus.subs.Add(1)
	s.bus.mu.Unlock()
	out := make(chan *message.Message)
	go func() {
		defer s.bus.subs.Done()
		defer close(out)
		defer s.leave()
		for m := range in {
			select {
			case out <- m:
				s.untaken.Add(-1)
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

func (s *subscription) leave() {
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	if s.bus.topics[s.set] == s {
		delete(s.bus.topics, s.set)
	}
	s.cancel()
}

// Close ends the subscription.
func (s *subscription) Close() error {
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	if s.cancel != nil {
		s.cancel()
	}
	return nil
}

// warnings keeps GoChannel's chatter out of the log: a message without subscriber is nothing to
// report where the log holds it.
type warnings struct{ slog.Handler }

func (w warnings) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && w.Handler.Enabled(ctx, l)
}

func (w warnings) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warnings{w.Handler.WithAttrs(attrs)}
}
func (w warnings) WithGroup(name string) slog.Handler { return warnings{w.Handler.WithGroup(name)} }
