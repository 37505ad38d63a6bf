// Package gochannelbus carries events inside one process over Watermill's GoChannel: for tests and
// for services of a single process. GoChannel itself drops what nobody subscribes to, reorders and
// forgets at the end of the process; the log and the lanes above make up for all of it.
package gochannelbus

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"

	"github.com/leat-dev/leat/app/bus"
	"github.com/leat-dev/leat/app/fault"
)

// Config bounds what the bus holds. The zero value works.
type Config struct {
	// Window is how many messages one set may leave untaken before the bus sends it no more; when it
	// has taken them it gets the newest of what was left out, sees a gap, and reads the log. Each
	// costs two goroutines. Default 1024.
	Window int `koanf:"window"`
}

// Bus is a bus within the process.
type Bus struct {
	window int
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
		window: cfg.Window,
		pubsub: gochannel.NewGoChannel(gochannel.Config{PreserveContext: true}, watermill.NewSlogLogger(slog.New(warnings{logger.Handler()}))),
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
		for i := range entries {
			if !sub.enter(b.window, &entries[len(entries)-1]) {
				break
			}
			fault.Point("gochannelbus.publishing")
			if err := b.pubsub.Publish(set, bus.Hand(&entries[i])); err != nil {
				return fmt.Errorf("hand event %s to %s: %w", entries[i].ID, set, err)
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
	bus    *Bus
	set    string
	cancel context.CancelFunc

	mu      sync.Mutex
	untaken int
	owed    *bus.Entry // the newest that was left out, when nothing newer was sent
}

// enter takes a place in the window. Without one, all entries up to newest are left out.
func (s *subscription) enter(window int, newest *bus.Entry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.untaken >= window {
		e := *newest // not the whole page of the sequencer
		s.owed = &e
		return false
	}
	s.untaken++
	s.owed = nil // the set will see the gap before this one
	return true
}

// taken frees a place, and returns what the set is owed when it has taken everything: without it
// the set would not know that there is more.
func (s *subscription) taken() (owed *bus.Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.untaken--; s.untaken == 0 {
		owed, s.owed = s.owed, nil
	}
	return owed
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
			case <-ctx.Done():
				return
			}
			if owed := s.taken(); owed != nil {
				select {
				case out <- bus.Hand(owed):
				case <-ctx.Done():
					return
				}
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
