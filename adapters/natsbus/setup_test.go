package natsbus_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/natsbus"
	"github.com/leat-dev/leat/app/bus"
	"github.com/leat-dev/leat/app/event"
)

// patience is how long anything may take before a test fails.
const patience = 30 * time.Second

// logs keeps what was logged.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func newLogs(t testing.TB) (*logs, *slog.Logger) {
	l := &logs{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log:\n%s", l)
		}
	})
	return l, slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

// quick makes failures show soon.
func quick(cfg natsbus.Config) natsbus.Config {
	if cfg.ReconnectWait == 0 {
		cfg.ReconnectWait = 50 * time.Millisecond
	}
	return cfg
}

// open opens a bus that the test's end closes; with an empty URL it is embedded in a new folder.
func open(t testing.TB, cfg natsbus.Config) (*natsbus.Bus, *logs) {
	t.Helper()
	l, logger := newLogs(t)
	if cfg.URL == "" && cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	b, err := natsbus.Open(t.Context(), quick(cfg), natsbus.Hooks{}, logger)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b, l
}

// chain makes entries with their places, as a sequencer does.
type chain struct {
	last  int64
	slots [event.Slots]int64
}

// next returns n entries; key gives each its partition key.
func (c *chain) next(n int, key func(i int) string) []bus.Entry {
	entries := make([]bus.Entry, n)
	for i := range entries {
		position := c.last + 1
		e := event.Envelope{
			ID: fmt.Sprintf("id-%d", position), Type: "build.started", SchemaVersion: 1, Kind: event.Business, Source: "test",
			Subject: "build/7", Tenant: "acme", Time: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC), PartitionKey: key(i),
			CorrelationID: "whole", Data: fmt.Appendf(nil, `{"n":%d}`, position),
			Position: position, Recorded: time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC),
		}
		e.Slot = event.SlotOf(e.Tenant, e.PartitionKey)
		entries[i] = bus.Entry{Envelope: e, Prev: c.last, SlotPrev: c.slots[e.Slot]}
		c.last, c.slots[e.Slot] = position, position
	}
	return entries
}

func keys(n int) func(int) string { return func(i int) string { return fmt.Sprintf("key-%d", i%n) } }

// reader is a subscriber under way.
type reader struct {
	t      testing.TB
	out    <-chan *message.Message
	cancel context.CancelFunc
}

// seat is what a reader reads: a lane, or everything for a set that every instance runs.
type seat struct {
	Set           string
	Lane, Lanes   int
	EveryInstance bool
}

func read(t testing.TB, b *natsbus.Bus, s seat) *reader {
	t.Helper()
	sub, err := b.Subscriber(bus.Subscription{Set: s.Set, EveryInstance: s.EveryInstance})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	var out <-chan *message.Message
	if s.EveryInstance {
		out, err = sub.Subscribe(ctx, s.Set)
	} else {
		out, err = sub.(bus.LaneSubscriber).SubscribeLane(ctx, s.Lane, s.Lanes)
	}
	require.NoError(t, err)
	return &reader{t, out, cancel}
}

// next returns the next message without an ack.
func (r *reader) next() (*message.Message, bus.Entry) {
	r.t.Helper()
	select {
	case m, ok := <-r.out:
		require.True(r.t, ok, "the subscription ended")
		e, err := bus.Decode(m)
		require.NoError(r.t, err)
		return m, e
	case <-time.After(patience):
		require.FailNow(r.t, "no message came")
		return nil, bus.Entry{}
	}
}

// take returns the positions of the next n messages and acks them.
func (r *reader) take(n int) []int64 {
	r.t.Helper()
	positions := make([]int64, n)
	for i := range positions {
		m, e := r.next()
		positions[i] = e.Position
		m.Ack()
	}
	return positions
}

// from is take for events from a position on; what came before may come again.
func (r *reader) from(position int64, n int) []int64 {
	r.t.Helper()
	var positions []int64
	for len(positions) < n {
		m, e := r.next()
		if m.Ack(); e.Position >= position {
			positions = append(positions, e.Position)
		}
	}
	return positions
}

// stop ends the subscription and waits for that.
func (r *reader) stop() {
	r.t.Helper()
	r.cancel()
	timeout := time.After(patience)
	for {
		select {
		case _, ok := <-r.out:
			if !ok {
				return
			}
		case <-timeout:
			require.FailNow(r.t, "the subscription did not end")
		}
	}
}

func positions(entries []bus.Entry) []int64 {
	all := make([]int64, len(entries))
	for i, e := range entries {
		all[i] = e.Position
	}
	return all
}

func numbers(from, to int64) []int64 {
	var all []int64
	for n := from; n <= to; n++ {
		all = append(all, n)
	}
	return all
}

// until waits for a condition that nothing announces.
func until(t testing.TB, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, patience, 5*time.Millisecond, what)
}

func jetStream(t testing.TB, c *nats.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(c)
	require.NoError(t, err)
	return js
}
