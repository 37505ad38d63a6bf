package sqlbus_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/sqlbus"
	"github.com/leat-dev/leat/app/bus"
	"github.com/leat-dev/leat/app/bus/bustest/memory"
	"github.com/leat-dev/leat/app/event"
)

var quiet = slog.New(slog.DiscardHandler)

type bundle struct {
	clock *clockwork.FakeClock
	log   *memory.Store
	bus   *sqlbus.Bus
}

func setup(t *testing.T, cfg sqlbus.Config) *bundle {
	t.Helper()
	b := &bundle{clock: clockwork.NewFakeClock()}
	b.log = memory.New(b.clock)
	b.bus = sqlbus.New(cfg, b.log, b.clock, quiet)
	t.Cleanup(func() { require.NoError(t, b.bus.Close()) })
	return b
}

// accept appends n events and returns them as the sequencer hands them over.
func (b *bundle) accept(n int) []bus.Entry {
	entries := make([]bus.Entry, n)
	for i := range entries {
		e := b.log.Append(event.Envelope{ID: "e", Type: "a.b", SchemaVersion: 1, Tenant: "t", PartitionKey: "k"})[0]
		entries[i] = bus.Entry{Envelope: e, Prev: e.Position - 1, SlotPrev: e.Position - 1}
	}
	return entries
}

func (b *bundle) subscribe(t *testing.T, ctx context.Context) (message.Subscriber, <-chan *message.Message) {
	t.Helper()
	s, err := b.bus.Subscriber(bus.Subscription{Set: "one"})
	require.NoError(t, err)
	messages, err := s.Subscribe(ctx, "one")
	require.NoError(t, err)
	return s, messages
}

// expect takes messages and fails unless they are the given positions, each with what came before.
func expect(t *testing.T, messages <-chan *message.Message, from, to int64) {
	t.Helper()
	for p := from; p <= to; p++ {
		select {
		case m := <-messages:
			e, err := bus.Decode(m)
			require.NoError(t, err)
			require.Equal(t, []int64{p, p - 1, p - 1}, []int64{e.Position, e.Prev, e.SlotPrev})
			m.Ack()
		case <-time.After(10 * time.Second):
			t.Fatalf("position %d did not come", p)
		}
	}
}

func TestFromMemory(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlbus.Config{Recent: 100})
	b.accept(7) // before the subscription
	_, messages := b.subscribe(t, context.Background())
	ctx := context.Background()
	require.NoError(t, b.bus.Publish(ctx, b.accept(3)))
	expect(t, messages, 8, 10)
	reads := b.log.Reads()
	for range 20 {
		require.NoError(t, b.bus.Publish(ctx, b.accept(10)))
	}
	expect(t, messages, 11, 210)
	require.LessOrEqual(t, b.log.Reads()-reads, 5, "what memory holds is not read from the log")
}

func TestFromTheLog(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b := setup(t, sqlbus.Config{Recent: 10, Page: 7})
	_, messages := b.subscribe(t, ctx)
	for range 10 {
		require.NoError(t, b.bus.Publish(ctx, b.accept(10))) // more than memory keeps
	}
	expect(t, messages, 1, 100)

	// A hole in what was handed over, and the same again.
	b.accept(5)
	again := b.accept(5)
	require.NoError(t, b.bus.Publish(ctx, again))
	require.NoError(t, b.bus.Publish(ctx, again))
	require.NoError(t, b.bus.Publish(ctx, b.accept(5)))
	expect(t, messages, 101, 115)

	// Nothing was handed over.
	b.accept(20)
	require.NoError(t, b.clock.BlockUntilContext(ctx, 1))
	b.clock.Advance(time.Second)
	expect(t, messages, 116, 135)
}

func TestReadFails(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b := setup(t, sqlbus.Config{})
	fail := make(chan error, 1)
	failed := make(chan struct{})
	b.log.OnRead = func() error {
		select {
		case err := <-fail:
			close(failed)
			return err
		default:
			return nil
		}
	}
	_, messages := b.subscribe(t, ctx)
	require.NoError(t, b.clock.BlockUntilContext(ctx, 1))
	fail <- fmt.Errorf("the disk is gone")
	b.accept(3)
	b.clock.Advance(time.Second)
	<-failed
	b.clock.Advance(time.Second)
	expect(t, messages, 1, 3)
}

// Memory is bounded in events and in bytes, and an event costs no copy of all the others.
func TestRecentIsBounded(t *testing.T) {
	// Not parallel: it counts bytes.
	b := setup(t, sqlbus.Config{Recent: 2000})
	ctx := context.Background()
	result := testing.Benchmark(func(tb *testing.B) {
		entry := bus.Entry{Envelope: event.Envelope{ID: "e"}}
		for range tb.N {
			entry.Prev, entry.Position = entry.Position, entry.Position+1
			_ = b.bus.Publish(ctx, []bus.Entry{entry})
		}
	})
	require.Less(t, result.AllocedBytesPerOp(), int64(5000))
}

func TestRecentBytes(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlbus.Config{RecentBytes: 1000})
	ctx := context.Background()
	_, messages := b.subscribe(t, ctx)
	for range 50 {
		entries := b.accept(1)
		entries[0].Data = make([]byte, 900)
		require.NoError(t, b.bus.Publish(ctx, entries))
	}
	expect(t, messages, 1, 50)
	reads := b.log.Reads()
	require.NotZero(t, reads, "some were no longer in memory")
}

func TestEnds(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(b *sqlbus.Bus, s message.Subscriber, cancel func()) error{
		"with its context":    func(_ *sqlbus.Bus, _ message.Subscriber, cancel func()) error { cancel(); return nil },
		"with the subscriber": func(_ *sqlbus.Bus, s message.Subscriber, _ func()) error { return s.Close() },
		"with the bus":        func(b *sqlbus.Bus, _ message.Subscriber, _ func()) error { return b.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, sqlbus.Config{})
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			s, messages := b.subscribe(t, ctx)
			require.NoError(t, b.bus.Publish(ctx, b.accept(10))) // nobody takes them
			require.NoError(t, end(b.bus, s, cancel))
			for deadline := time.After(10 * time.Second); ; {
				select {
				case _, open := <-messages:
					if !open {
						return
					}
				case <-deadline:
					t.Fatal("the subscription did not end")
				}
			}
		})
	}
}

func TestSubscribeAfterClose(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlbus.Config{})
	require.NoError(t, b.bus.Close())
	s, err := b.bus.Subscriber(bus.Subscription{Set: "one"})
	require.NoError(t, err)
	_, err = s.Subscribe(context.Background(), "one")
	require.ErrorContains(t, err, "closed")
}
