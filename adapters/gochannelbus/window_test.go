package gochannelbus_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/gochannelbus"
	"github.com/leat-dev/leat/app/bus"
	"github.com/leat-dev/leat/app/event"
)

func entries(from, to int64) []bus.Entry {
	var out []bus.Entry
	for p := from; p <= to; p++ {
		out = append(out, bus.Entry{
			Envelope: event.Envelope{ID: fmt.Sprint(p), Type: "a.b", SchemaVersion: 1, Tenant: "t", Position: p}, Prev: p - 1, SlotPrev: p - 1,
		})
	}
	return out
}

func subscribe(t *testing.T, b *gochannelbus.Bus, ctx context.Context, set string) (message.Subscriber, <-chan *message.Message) {
	t.Helper()
	s, err := b.Subscriber(bus.Subscription{Set: set})
	require.NoError(t, err)
	messages, err := s.Subscribe(ctx, set)
	require.NoError(t, err)
	return s, messages
}

func next(t *testing.T, messages <-chan *message.Message) *message.Message {
	t.Helper()
	select {
	case m := <-messages:
		return m
	case <-time.After(10 * time.Second):
		t.Fatal("no message came")
		return nil
	}
}

// ends fails unless the channel closes, whatever it still holds.
func ends(t *testing.T, messages <-chan *message.Message) {
	t.Helper()
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
}

// GoChannel would start two goroutines for every message to a set that takes none.
func TestWindow(t *testing.T) {
	t.Parallel()
	b := gochannelbus.New(gochannelbus.Config{Window: 10}, slog.New(slog.DiscardHandler))
	defer func() { require.NoError(t, b.Close()) }()
	ctx := context.Background()
	_, stalled := subscribe(t, b, ctx, "stalled")
	_, quick := subscribe(t, b, ctx, "quick")
	for p := int64(1); p <= 100; p++ {
		require.NoError(t, b.Publish(ctx, entries(p, p)))
		next(t, quick).Ack() // nobody's window is another's
	}
	seen := map[string]bool{}
	for range 10 {
		m := next(t, stalled)
		require.False(t, seen[m.UUID])
		seen[m.UUID] = true
		m.Ack()
	}
	require.Equal(t, "100", next(t, stalled).UUID, "the newest of what lay beyond the window tells of the gap")
	require.NoError(t, b.Publish(ctx, entries(101, 101)))
	require.Equal(t, "101", next(t, stalled).UUID, "nothing else is sent")
}

func TestNobodySubscribed(t *testing.T) {
	t.Parallel()
	b := gochannelbus.New(gochannelbus.Config{}, slog.New(slog.DiscardHandler))
	require.NoError(t, b.Publish(context.Background(), entries(1, 10)))
	require.NoError(t, b.Close())
}

func TestEnds(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(b *gochannelbus.Bus, s message.Subscriber, cancel func()) error{
		"with its context":         func(_ *gochannelbus.Bus, _ message.Subscriber, cancel func()) error { cancel(); return nil },
		"with the subscriber":      func(_ *gochannelbus.Bus, s message.Subscriber, _ func()) error { return s.Close() },
		"with the bus":             func(b *gochannelbus.Bus, _ message.Subscriber, _ func()) error { return b.Close() },
		"with the bus, not unread": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := gochannelbus.New(gochannelbus.Config{}, slog.New(slog.DiscardHandler))
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			s, messages := subscribe(t, b, ctx, "one")
			require.NoError(t, b.Publish(ctx, entries(1, 20)))
			next(t, messages) // and is not acked; the others are not even taken
			if end == nil {
				require.NoError(t, b.Close())
				_, open := <-messages
				require.False(t, open, "nothing is sent after Close")
				return
			}
			require.NoError(t, end(b, s, cancel))
			ends(t, messages)
			if name != "with the bus" {
				require.NoError(t, b.Publish(ctx, entries(21, 22)), "nobody subscribes any more")
				_, again := subscribe(t, b, context.Background(), "one")
				require.NoError(t, b.Publish(ctx, entries(23, 23)))
				require.Equal(t, "23", next(t, again).UUID)
			}
			require.NoError(t, b.Close())
		})
	}
}
