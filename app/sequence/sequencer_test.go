package sequence_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leat-dev/leat/app/bus"
	"github.com/leat-dev/leat/app/bus/bustest/memory"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/sequence"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errTest = errors.New("no luck")

// feed is the bus: it keeps what it gets, and fails when told to.
type feed struct {
	mu    sync.Mutex
	pages [][]bus.Entry
	fail  int // so many calls
	calls chan struct{}
}

func (f *feed) Publish(_ context.Context, entries []bus.Entry) error {
	f.mu.Lock()
	defer func() { f.calls <- struct{}{} }()
	defer f.mu.Unlock()
	if f.fail > 0 {
		f.fail--
		return errTest
	}
	f.pages = append(f.pages, entries)
	return nil
}

func (f *feed) failNext(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = n
}

func (f *feed) entries() []bus.Entry {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []bus.Entry
	for _, p := range f.pages {
		all = append(all, p...)
	}
	return all
}

type bundle struct {
	t     *testing.T
	clock *clockwork.FakeClock
	log   *memory.Store
	bus   *feed
	seq   *sequence.Sequencer
}

func setup(t *testing.T, cfg sequence.Config) *bundle {
	b := &bundle{t: t, clock: clockwork.NewFakeClock(), bus: &feed{calls: make(chan struct{}, 1000)}}
	b.log = memory.New(b.clock)
	b.seq = sequence.New(cfg, b.log, b.bus, b.clock, slog.New(slog.DiscardHandler))
	return b
}

func (b *bundle) run() {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.seq.Run(ctx) }()
	b.t.Cleanup(func() {
		cancel()
		require.NoError(b.t, <-done)
	})
	<-b.seq.Ready()
}

func (b *bundle) accept(keys ...string) {
	var events []event.Envelope
	for _, k := range keys {
		events = append(events, event.Envelope{ID: "e", Type: "a.b", Tenant: "t", PartitionKey: k})
	}
	b.log.Append(events...)
}

// called waits until the bus was called n times more.
func (b *bundle) called(n int) {
	b.t.Helper()
	for range n {
		select {
		case <-b.bus.calls:
		case <-time.After(10 * time.Second):
			b.t.Fatal("the bus was not called")
		}
	}
}

// whole fails unless the bus got every event from a position on, once, each with a true place.
func (b *bundle) whole(from, to int64) {
	b.t.Helper()
	prev := from - 1
	slotPrev := map[int]int64{}
	entries := b.bus.entries()
	require.Len(b.t, entries, int(to-from+1))
	for i, e := range entries {
		require.Equal(b.t, from+int64(i), e.Position)
		require.Equal(b.t, prev, e.Prev)
		before, known := slotPrev[e.Slot]
		if !known {
			before = from - 1 // no less than what truly came before
		}
		require.Equal(b.t, before, e.SlotPrev)
		prev, slotPrev[e.Slot] = e.Position, e.Position
	}
}

func TestFollows(t *testing.T) {
	t.Parallel()
	b := setup(t, sequence.Config{})
	b.accept("a", "b", "c") // before the start: the lanes read it themselves
	b.run()
	require.Equal(t, int64(3), b.seq.Position())
	b.accept("a", "b", "a")
	b.called(1)
	b.accept("b")
	b.called(1)
	b.whole(4, 7)
}

func TestPages(t *testing.T) {
	t.Parallel()
	b := setup(t, sequence.Config{Page: 4})
	b.run()
	b.accept("a", "b", "a", "b", "a", "b", "a", "b", "a", "b")
	b.called(3)
	b.whole(1, 10)
}

// After an error the same is sent again: no hole, and what came before in a slot stays true.
func TestPublishFails(t *testing.T) {
	t.Parallel()
	b := setup(t, sequence.Config{Page: 4})
	b.run()
	b.bus.failNext(2)
	b.accept("a", "b", "a", "b", "a")
	b.called(1)
	require.Zero(t, b.seq.Position())
	b.accept("c") // does not hurry it
	for range 2 {
		require.NoError(t, b.clock.BlockUntilContext(context.Background(), 1))
		b.clock.Advance(time.Second)
		b.called(1)
	}
	b.called(1)
	b.whole(1, 6)
}

func TestReadFails(t *testing.T) {
	t.Parallel()
	b := setup(t, sequence.Config{})
	var mu sync.Mutex
	var fail error
	failed := make(chan struct{}, 10)
	b.log.OnRead = func() error {
		mu.Lock()
		defer mu.Unlock()
		if fail != nil {
			failed <- struct{}{}
		}
		return fail
	}
	b.run()
	mu.Lock()
	fail = errTest
	mu.Unlock()
	b.accept("a")
	<-failed
	mu.Lock()
	fail = nil
	mu.Unlock()
	require.NoError(t, b.clock.BlockUntilContext(context.Background(), 1))
	b.clock.Advance(time.Second)
	b.called(1)
	b.whole(1, 1)
}

func TestCannotBegin(t *testing.T) {
	t.Parallel()
	b := setup(t, sequence.Config{})
	b.log.OnRead = func() error { return errTest }
	require.ErrorIs(t, b.seq.Run(context.Background()), errTest)
	select {
	case <-b.seq.Ready():
		t.Fatal("it is not ready")
	default:
	}
}

// quiet is a log that announces nothing.
type quiet struct{ *memory.Store }

func (quiet) Appended() <-chan struct{} { return nil }

func TestPolls(t *testing.T) {
	t.Parallel()
	b := setup(t, sequence.Config{})
	b.seq = sequence.New(sequence.Config{Poll: 3 * time.Second}, quiet{b.log}, b.bus, b.clock, slog.New(slog.DiscardHandler))
	b.run()
	b.accept("a")
	require.NoError(t, b.clock.BlockUntilContext(context.Background(), 1))
	b.clock.Advance(3 * time.Second)
	b.called(1)
	b.whole(1, 1)
}
