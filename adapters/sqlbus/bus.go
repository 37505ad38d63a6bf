// Package sqlbus is the bus without a broker: handler sets read the log itself. A commit wakes them
// (through the sequencer), what the sequencer has just read is shared in memory, and everything
// older comes from the log by position.
package sqlbus

import (
	"context"
	"fmt"
	"log/slog"
	"sort"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jonboulle/clockwork"

	"github.com/leat-dev/leat/app/bus"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/app/fault"
)

// Config bounds what the bus holds. The zero value works.
type Config struct {
	// Recent is how many of the newest events are kept in memory for all sets. Default 2048. Up to
	// twice as many are, so that not every event costs a clearing.
	Recent int `koanf:"recent"`
	// RecentBytes bounds their data in the same way. Default 32 MiB.
	RecentBytes int `koanf:"recent_bytes"`
	// Page is how many events are read from the log at once. Default 256.
	Page int `koanf:"page"`
	// Poll is how often a set looks at the log when nobody wakes it. Default 1s.
	Poll time.Duration `koanf:"poll"`
}

// Bus lets sets read the log.
type Bus struct {
	cfg    Config
	log    eventlog.Reader
	clock  clockwork.Clock
	logger *slog.Logger

	mu     sync.Mutex
	recent []bus.Entry   // ascending, without holes
	bytes  int           // of data in recent
	news   chan struct{} // closed when recent grows
	closed context.Context
	close  context.CancelFunc
	subs   sync.WaitGroup
}

var _ bus.Bus = (*Bus)(nil)

// New returns a bus over the log. It starts nothing.
func New(cfg Config, log eventlog.Reader, clock clockwork.Clock, logger *slog.Logger) *Bus {
	if cfg.Recent == 0 {
		cfg.Recent = 2048
	}
	if cfg.RecentBytes == 0 {
		cfg.RecentBytes = 32 << 20
	}
	if cfg.Page == 0 {
		cfg.Page = 256
	}
	if cfg.Poll == 0 {
		cfg.Poll = time.Second
	}
	b := &Bus{cfg: cfg, log: log, clock: clock, logger: logger, news: make(chan struct{})}
	b.closed, b.close = context.WithCancel(context.Background())
	return b
}

// Subscriber returns the subscriber of a set.
func (b *Bus) Subscriber(s bus.Subscription) (message.Subscriber, error) {
	return &subscription{bus: b, set: s.Set}, nil
}

// Publish wakes the sets and saves them reading what the sequencer has just read.
func (b *Bus) Publish(_ context.Context, entries []bus.Entry) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.recent); n > 0 && len(entries) > 0 && entries[0].Prev != b.recent[n-1].Position {
		b.recent, b.bytes = nil, 0
	}
	if n := len(b.recent); n > b.cfg.Recent && n+len(entries) > 2*b.cfg.Recent {
		b.clear() // before there is no room
	}
	b.recent = append(b.recent, entries...)
	for i := range entries {
		b.bytes += len(entries[i].Data)
	}
	if len(b.recent) > 2*b.cfg.Recent || b.bytes > 2*b.cfg.RecentBytes {
		b.clear()
	}
	fault.Point("sqlbus.waking")
	close(b.news)
	b.news = make(chan struct{})
	return nil
}

// clear keeps the newest.
func (b *Bus) clear() {
	b.bytes = 0
	first := len(b.recent)
	for first > 0 && len(b.recent)-first < b.cfg.Recent && b.bytes+len(b.recent[first-1].Data) <= b.cfg.RecentBytes {
		first--
		b.bytes += len(b.recent[first].Data)
	}
	// A copy: readers hold parts of what was, and the rest can be collected.
	b.recent = append(make([]bus.Entry, 0, 2*b.cfg.Recent), b.recent[first:]...)
}

// Close ends all subscriptions.
func (b *Bus) Close() error {
	b.mu.Lock()
	b.close()
	b.mu.Unlock()
	b.subs.Wait()
	return nil
}

// after returns the recent entries that follow the position. ok is false when they do not reach
// back so far and the log must be read. news is closed when there are more.
func (b *Bus) after(position int64) (entries []bus.Entry, ok bool, news <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.recent) == 0 {
		return nil, false, b.news
	}
	if b.recent[0].Prev > position {
		return nil, false, b.news
	}
	i := sort.Search(len(b.recent), func(i int) bool { return b.recent[i].Position > position })
	end := min(len(b.recent), i+b.cfg.Page)
	return b.recent[i:end:end], true, b.news
}

// subscription is one set's reading.
type subscription struct {
	bus    *Bus
	set    string
	cancel context.CancelFunc

	at       int64
	prev     int64
	slotPrev [event.Slots]int64
}

// Subscribe begins with what is accepted from now on: what is older the set's lanes read by
// themselves, from where they stand. The channel closes with ctx or Close.
func (s *subscription) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	_, last, err := s.bus.log.Bounds(ctx)
	if err != nil {
		return nil, fmt.Errorf("subscribe %s: look at the end of the log: %w", topic, err)
	}
	s.at, s.prev = last, last
	for slot := range s.slotPrev {
		s.slotPrev[slot] = last // no less than what truly came before in the slot
	}
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	if s.bus.closed.Err() != nil {
		return nil, fmt.Errorf("subscribe %s: the bus is closed", topic)
	}
	ctx, s.cancel = context.WithCancel(ctx)
	out := make(chan *message.Message)
	s.bus.subs.Add(1)
	go func() {
		defer s.bus.subs.Done()
		defer close(out)
		stop := context.AfterFunc(s.bus.closed, s.cancel)
		defer stop()
		s.read(ctx, out)
	}()
	return out, nil
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

func (s *subscription) read(ctx context.Context, out chan<- *message.Message) {
	poll := s.bus.clock.NewTicker(s.bus.cfg.Poll)
	defer poll.Stop()
	look := false // into the log, whatever memory says
	for ctx.Err() == nil {
		entries, recent, news := s.bus.after(s.at)
		if !recent || look && len(entries) == 0 {
			var err error
			if entries, err = s.page(ctx); err != nil && ctx.Err() == nil {
				s.bus.logger.Warn("read the log", "handler", s.set, "after", s.at, "error", err)
			}
			look = len(entries) == s.bus.cfg.Page // there may be more
		}
		for i := range entries {
			e := &entries[i]
			select {
			case <-ctx.Done():
				return
			case out <- bus.Hand(e):
				s.at, s.prev, s.slotPrev[e.Slot] = e.Position, e.Position, e.Position
			}
		}
		if len(entries) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
		case <-news:
		case <-poll.Chan():
			look = true
		}
	}
}

// page reads from the log what memory no longer holds.
func (s *subscription) page(ctx context.Context) ([]bus.Entry, error) {
	events, through, err := s.bus.log.Read(ctx, s.at, 0, s.bus.cfg.Page)
	if err != nil {
		return nil, err
	}
	entries := make([]bus.Entry, len(events))
	prev, slotPrev := s.prev, s.slotPrev
	for i, e := range events {
		entries[i] = bus.Entry{Envelope: e, Prev: prev, SlotPrev: slotPrev[e.Slot]}
		prev, slotPrev[e.Slot] = e.Position, e.Position
	}
	if len(events) == 0 {
		s.at = max(s.at, through)
	}
	return entries, nil
}
