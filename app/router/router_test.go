package router_test

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/goleak"

	"github.com/leat-dev/leat/app/bus"
	"github.com/leat-dev/leat/app/bus/bustest/memory"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/app/router"
	"github.com/leat-dev/leat/app/settle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errTest = errors.New("no luck")

type made struct{}

func (made) EventType() string { return "thing.made" }

func nothing(context.Context, made) error { return nil }

func bind(t *testing.T, set handler.Set) *handler.Bound {
	t.Helper()
	catalogue, err := event.NewCatalogue(event.Definitions{event.Define[made](event.Business)})
	require.NoError(t, err)
	bound, err := set.Bind(catalogue)
	require.NoError(t, err)
	return bound
}

// buses is a silent bus that refuses some sets.
type buses struct {
	refuse    string // by Subscriber
	subscribe string // refused by Subscribe
}

func (b buses) Subscriber(s bus.Subscription) (message.Subscriber, error) {
	if s.Set == b.refuse {
		return nil, errTest
	}
	return subscriber{b, s.Set}, nil
}
func (b buses) Publish(context.Context, []bus.Entry) error { return nil }
func (b buses) Close() error                               { return nil }

type subscriber struct {
	buses
	set string
}

func (s subscriber) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	if s.set == s.subscribe {
		return nil, errTest
	}
	none := make(chan *message.Message)
	context.AfterFunc(ctx, func() { close(none) })
	return none, nil
}

type bundle struct {
	clock *clockwork.FakeClock
	store *memory.Store
	parts router.Parts
	logs  *logs
}

func setup(b buses) *bundle {
	clock := clockwork.NewFakeClock()
	store := memory.New(clock)
	logs := &logs{}
	return &bundle{clock: clock, store: store, logs: logs, parts: router.Parts{
		Bus: b, Log: store, Store: store, Clock: clock, Tracer: noop.NewTracerProvider().Tracer(""),
		Observer: observer{}, Random: func() float64 { return 0 }, Logger: slog.New(slog.NewTextHandler(logs, nil)),
	}}
}

type observer struct{}

func (observer) Began(string, string)                               {}
func (observer) Handled(string, string, string, int, time.Duration) {}

type logs struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// The order of the links keeps the promises: with the dead letter link inside retry nothing would
// ever be retried, with recover outside them a panic would pass them by, and so on.
func TestChain(t *testing.T) {
	t.Parallel()
	b := setup(buses{})
	r, err := router.New(router.Config{}, b.parts, nil)
	require.NoError(t, err)
	link := regexp.MustCompile(`(\w+)\.func\d+$`)
	names := func(set handler.Set) []string {
		var names []string
		for _, l := range r.Chain(bind(t, set)) {
			names = append(names, link.FindStringSubmatch(runtime.FuncForPC(reflect.ValueOf(l).Pointer()).Name())[1])
		}
		return names
	}
	require.Equal(t,
		[]string{"Drain", "Correlate", "Trace", "Observe", "Report", "DeadLetter", "Retry", "Timeout", "Recover", "Settle"},
		names(handler.NewSet("one", handler.On(nothing))))
	require.Equal(t,
		[]string{"Drain", "Correlate", "Trace", "Observe", "Report", "Timeout", "Recover"},
		names(handler.NewSet("feed", handler.On(nothing), handler.EveryInstance())))
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	set := handler.NewSet("one", handler.On(nothing), handler.WithPolicy(handler.Policy{Attempts: 5, Lanes: 2}))
	want := handler.DefaultPolicy()
	want.Attempts, want.Lanes = 5, 2
	require.Equal(t, want, router.Config{}.PolicyFor(set))

	cfg := router.Config{PolicyOf: func(set handler.Set) handler.Policy {
		require.Equal(t, "one", set.Name())
		return handler.Policy{Attempts: 7}
	}}
	want.Attempts = 7
	require.Equal(t, want, cfg.PolicyFor(set))
}

func TestBusRefuses(t *testing.T) {
	t.Parallel()
	b := setup(buses{refuse: "one"})
	_, err := router.New(router.Config{}, b.parts, []*handler.Bound{bind(t, handler.NewSet("one", handler.On(nothing)))})
	require.ErrorIs(t, err, errTest)
	require.ErrorContains(t, err, "one")
}

// A set that cannot subscribe ends the start, and leaves nothing of the other sets running.
func TestSubscribeFails(t *testing.T) {
	t.Parallel()
	b := setup(buses{subscribe: "two"})
	var sets []*handler.Bound
	for _, name := range []string{"one", "two", "three"} {
		require.NoError(t, b.store.Register(context.Background(), settle.Registration{Set: name}))
		sets = append(sets, bind(t, handler.NewSet(name, handler.On(nothing))))
	}
	r, err := router.New(router.Config{}, b.parts, sets)
	require.NoError(t, err)
	require.ErrorIs(t, r.Run(context.Background()), errTest)
	select {
	case <-r.Running():
		t.Fatal("it did not run")
	default:
	}
}

func TestNoSets(t *testing.T) {
	t.Parallel()
	r, err := router.New(router.Config{}, setup(buses{}).parts, nil)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	<-r.Running()
	cancel()
	require.NoError(t, <-done)
}

func TestStoppedBeforeItRuns(t *testing.T) {
	t.Parallel()
	b := setup(buses{})
	require.NoError(t, b.store.Register(context.Background(), settle.Registration{Set: "one"}))
	r, err := router.New(router.Config{}, b.parts, []*handler.Bound{bind(t, handler.NewSet("one", handler.On(nothing)))})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.NoError(t, r.Run(ctx))
}

// What a handler of a set without a record says is told, with the event.
func TestFailureOfAFeedIsLogged(t *testing.T) {
	t.Parallel()
	b := setup(buses{})
	called := make(chan struct{}, 1)
	r, err := router.New(router.Config{}, b.parts, []*handler.Bound{bind(t, handler.NewSet("feed",
		handler.On(func(context.Context, made) error { called <- struct{}{}; return errTest }), handler.EveryInstance()))})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	<-r.Running()
	require.NoError(t, b.clock.BlockUntilContext(ctx, 1))
	b.store.Append(event.Envelope{ID: "e1", Type: "thing.made", SchemaVersion: 1, Tenant: "t", Data: []byte("{}")})
	b.clock.Advance(time.Second)
	<-called
	cancel()
	require.NoError(t, <-done)
	require.Contains(t, b.logs.String(), `handler=feed event=e1 type=thing.made tenant=t error="no luck"`)
}
