package live_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/live"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

// end is where a way leads to.
type end struct {
	got  chan event.Envelope
	hold chan struct{} // nil: nothing holds it up

	mu  sync.Mutex
	err error
}

func (e *end) Push(ctx context.Context, ev event.Envelope) error {
	if e.hold != nil {
		select {
		case <-e.hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err == nil {
		e.got <- ev
	}
	return e.err
}

func (e *end) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.err = err
}

func (e *end) next(t *testing.T) string {
	t.Helper()
	select {
	case ev := <-e.got:
		return ev.ID
	case <-time.After(patience):
		require.FailNow(t, "nothing came")
		return ""
	}
}

func newEnd() *end { return &end{got: make(chan event.Envelope, 10000)} }

type observer struct {
	mu     sync.Mutex
	missed map[string]int
}

func (o *observer) Missed(way string, events int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.missed[way] += events
}

func (o *observer) of(way string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.missed[way]
}

type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Count(l.buf.Bytes(), []byte(text))
}

type bundle struct {
	*live.Path
	here, there *end
	clock       *clockwork.FakeClock
	observer    *observer
	logs        *logs
	stop        func()
}

func setup(t *testing.T, change func(b *bundle)) *bundle {
	t.Helper()
	b := &bundle{
		here: newEnd(), there: newEnd(), clock: clockwork.NewFakeClock(), observer: &observer{missed: map[string]int{}}, logs: &logs{},
	}
	if change != nil {
		change(b)
	}
	b.Path = live.New([]live.Way{{Name: "local", To: b.here}, {Name: "nats", To: b.there}}, b.clock, slog.New(slog.NewTextHandler(b.logs, nil)), b.observer)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	b.stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	t.Cleanup(b.stop)
	return b
}

func events(ids ...string) []event.Envelope {
	var out []event.Envelope
	for _, id := range ids {
		out = append(out, event.Envelope{ID: id, Type: "build.progressed", Tenant: "acme"})
	}
	return out
}

func TestEveryWayInOrder(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.Push(events("a", "b"))
	b.Push(events("c"))
	for _, e := range []*end{b.here, b.there} {
		for _, want := range []string{"a", "b", "c"} {
			require.Equal(t, want, e.next(t))
		}
	}
	require.Zero(t, b.logs.count("level=WARN"))
}

// A way that hangs holds up neither the publisher nor the other ways; what it does not take is counted.
func TestAWayThatHangs(t *testing.T) {
	t.Parallel()
	b := setup(t, func(b *bundle) { b.there.hold = make(chan struct{}) })
	const n = 6000
	for range n {
		b.Push(events("e"))
		require.Equal(t, "e", b.here.next(t))
	}
	missed := b.observer.of("nats")
	require.Greater(t, missed, 0)
	require.Zero(t, b.observer.of("local"))
	require.Equal(t, 1, b.logs.count("level=WARN"), "one warning for all of them")
	close(b.there.hold)
	for range n - missed {
		b.there.next(t)
	}
	b.clock.Advance(10 * time.Second)
	b.there.fail(errors.New("no connection"))
	b.Push(events("f"))
	require.Eventually(t, func() bool { return b.logs.count("no connection") == 1 }, patience, time.Millisecond, "the next warning, when its time has come")
	require.Equal(t, missed+1, b.observer.of("nats"))
}

func TestUnrecorded(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	went, err := b.PushUnrecorded(t.Context(), events("a", "b"))
	require.NoError(t, err)
	require.True(t, went)
	require.Equal(t, "a", b.here.next(t))
	require.Equal(t, "a", b.there.next(t))
	require.Equal(t, 1, b.logs.count("unrecorded"))

	b.there.fail(errors.New("no connection"))
	went, err = b.PushUnrecorded(t.Context(), events("c"))
	require.True(t, went, "one way is enough")
	require.EqualError(t, err, "nats: no connection")
	b.here.fail(errors.New("no room"))
	went, err = b.PushUnrecorded(t.Context(), events("d"))
	require.False(t, went)
	require.EqualError(t, err, "local: no room\nnats: no connection")
	require.Equal(t, 1, b.logs.count("unrecorded"), "not one line for each")

	b.stop()
	went, err = b.PushUnrecorded(t.Context(), events("e"))
	require.False(t, went, "nobody takes it along any more")
	require.ErrorContains(t, err, "the process is stopping")

	none := live.New(nil, b.clock, slog.New(slog.DiscardHandler), nil)
	went, err = none.PushUnrecorded(t.Context(), events("e"))
	require.False(t, went)
	require.ErrorContains(t, err, "no way")
}

func TestUnrecordedDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	b := setup(t, func(b *bundle) { b.there.hold = make(chan struct{}) })
	type outcome struct {
		went bool
		err  error
	}
	done := make(chan outcome, 1)
	go func() {
		went, err := b.PushUnrecorded(context.Background(), events("a"))
		done <- outcome{went, err}
	}()
	require.Equal(t, "a", b.here.next(t))
	b.Push(events("b"))
	require.Equal(t, "b", b.here.next(t), "by now it has answered for the first")
	require.NoError(t, b.clock.BlockUntilContext(t.Context(), 1))
	b.clock.Advance(5 * time.Second)
	got := <-done
	require.True(t, got.went)
	require.ErrorContains(t, got.err, "nats: ")
}
