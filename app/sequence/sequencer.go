// Package sequence hands what the log accepted over to the bus, in the order of positions. One
// sequencer is active for a log. It is trusted with nothing but speed: what it fails to send, the
// handler sets find in the log.
package sequence

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/leat-dev/leat/app/bus"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/app/fault"
)

// Config says how the log is followed. The zero value works.
type Config struct {
	// Poll is how often the log is looked at when no commit is announced. Default 1s.
	Poll time.Duration
	// Page is how many events are handed over at once. Default 512.
	Page int
	// EveryProcess says that the bus reaches this process only, so that each process feeds its own,
	// also one that does not give the positions. Without effect for a log that is no Leader.
	EveryProcess bool
}

// Log is what the sequencer needs of the log.
type Log interface {
	eventlog.Reader
	Appended() <-chan struct{}
}

// Publisher is what it needs of the bus.
type Publisher interface {
	Publish(ctx context.Context, entries []bus.Entry) error
}

// Sequencer follows the log and feeds the bus.
type Sequencer struct {
	cfg    Config
	log    Log
	bus    Publisher
	clock  clockwork.Clock
	logger *slog.Logger

	ready    chan struct{}
	begun    sync.Once    // closes ready
	at       atomic.Int64 // handed over through here
	prev     int64
	slotPrev [event.Slots]int64
}

// New returns a sequencer; it starts nothing. When log is a Leader the sequencer gives the positions
// as well, while this process has the lead.
func New(cfg Config, log Log, b Publisher, clock clockwork.Clock, logger *slog.Logger) *Sequencer {
	if cfg.Poll == 0 {
		cfg.Poll = time.Second
	}
	if cfg.Page == 0 {
		cfg.Page = 512
	}
	return &Sequencer{cfg: cfg, log: log, bus: b, clock: clock, logger: logger, ready: make(chan struct{})}
}

// Ready is closed when Run knows where it begins: everything accepted from then on is handed over, by
// this process or by the one that leads.
func (s *Sequencer) Ready() <-chan struct{} { return s.ready }

// Position is how far the bus was fed.
func (s *Sequencer) Position() int64 { return s.at.Load() }

// Run follows the log from its present end until ctx ends; when the log is a Leader, and the bus is
// shared by all processes, only while this process has the lead.
func (s *Sequencer) Run(ctx context.Context) error {
	leader, elected := s.log.(Leader)
	switch {
	case !elected:
		return s.follow(ctx, 0)
	case s.cfg.EveryProcess:
		ctx, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		wg.Go(func() { lead(ctx, leader, s.logger, nil) })
		defer wg.Wait()
		defer cancel()
		return s.follow(ctx, 0)
	}
	s.begun.Do(func() { close(s.ready) })
	lead(ctx, leader, s.logger, func(ctx context.Context) {
		for ctx.Err() == nil {
			// The leader before may have died between the positions and the bus. What it handed over is
			// handed over once more; that is less than waiting for somebody to look.
			if err := s.follow(ctx, int64(s.cfg.Page)); err != nil && ctx.Err() == nil {
				s.logger.Warn("follow the log", "error", err)
				select {
				case <-ctx.Done():
				case <-s.clock.After(s.cfg.Poll):
				}
			}
		}
	})
	return nil
}

// follow feeds the bus until ctx ends, from as many events as given before the log's present end.
func (s *Sequencer) follow(ctx context.Context, before int64) error {
	_, last, err := s.log.Bounds(ctx)
	if err != nil {
		return fmt.Errorf("look at the end of the log: %w", err)
	}
	last = max(0, last-before)
	// What came before in a slot is not known yet. The end of the log is no less than that, so a
	// lane that has not read so far sees a gap, and reads.
	s.prev = last
	for slot := range s.slotPrev {
		s.slotPrev[slot] = last
	}
	s.at.Store(last)
	s.begun.Do(func() { close(s.ready) })
	timer := s.clock.NewTimer(s.cfg.Poll)
	defer timer.Stop()
	for ctx.Err() == nil {
		appended := s.log.Appended()
		more, err := s.step(ctx)
		if err != nil && ctx.Err() == nil {
			s.logger.Warn("feed the bus", "after", s.at.Load(), "error", err)
		}
		if more && err == nil {
			continue
		}
		if err != nil {
			appended = nil // wait the full pause
		}
		timer.Reset(s.cfg.Poll)
		select {
		case <-ctx.Done():
		case <-appended:
		case <-timer.Chan():
		}
	}
	return nil
}

// step hands over one page; more says that there may be another at once.
func (s *Sequencer) step(ctx context.Context) (more bool, err error) {
	events, through, err := s.log.Read(ctx, s.at.Load(), 0, s.cfg.Page)
	if err != nil {
		return false, err
	}
	if len(events) > 0 {
		prev, slotPrev := s.prev, s.slotPrev
		entries := make([]bus.Entry, len(events))
		for i, e := range events {
			entries[i] = bus.Entry{Envelope: e, Prev: prev, SlotPrev: slotPrev[e.Slot]}
			prev, slotPrev[e.Slot] = e.Position, e.Position
		}
		fault.Point("sequence.page-read")
		if err := s.bus.Publish(ctx, entries); err != nil {
			return false, err
		}
		fault.Point("sequence.handed-over")
		s.prev, s.slotPrev = prev, slotPrev
	}
	s.at.Store(through)
	return len(events) == s.cfg.Page, nil
}
