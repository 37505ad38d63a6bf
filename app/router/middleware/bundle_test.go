package middleware_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leat-dev/leat/app/bus/bustest/memory"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/app/settle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errTest = errors.New("no luck")

type made struct {
	N int `json:"n"`
}

func (made) EventType() string { return "thing.made" }

var anEvent = event.Envelope{
	ID: "e1", Type: "thing.made", SchemaVersion: 1, Kind: event.Business, Source: "test", Tenant: "t", Actor: "somebody",
	PartitionKey: "a", CorrelationID: "whole", CausationID: "before", Depth: 1,
	TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Data: []byte(`{"n":1}`),
}

// bundle is one event on its way to a set: what a link sees.
type bundle struct {
	clock  *clockwork.FakeClock
	store  *memory.Store
	set    *handler.Bound
	logs   *logs
	logger *slog.Logger

	messages <-chan *message.Message
	m        *message.Message
	attempt  *settle.Attempt
}

// setup brings the event to the set; before that it has failed as often as said.
func setup(t *testing.T, failed int, reaction handler.Option) *bundle {
	t.Helper()
	b := &bundle{clock: clockwork.NewFakeClock(), logs: &logs{}}
	b.logger = slog.New(slog.NewTextHandler(b.logs, nil))
	b.store = memory.New(b.clock)
	catalogue, err := event.NewCatalogue(event.Definitions{event.Define[made](event.Business)})
	require.NoError(t, err)
	b.set, err = handler.NewSet("one", reaction).Bind(catalogue)
	require.NoError(t, err)
	require.NoError(t, b.store.Register(context.Background(), settle.Registration{Set: "one", Types: b.set.Types()}))
	e := b.store.Append(anEvent)[0]
	if failed > 0 {
		lease, _, err := b.store.Acquire(context.Background(), settle.Claim{
			Set: "one", Lanes: 1, Types: b.set.Types(), Owner: "before", TTL: time.Minute,
		})
		require.NoError(t, err)
		require.NoError(t, b.store.Settle(context.Background(), settle.Work{Lease: lease, Event: e, First: true, Park: &settle.Parked{
			Position: e.Position, Slot: e.Slot, Key: e.Key(), State: settle.Failed, Attempts: failed,
		}}))
		require.NoError(t, b.store.Release(context.Background(), lease))
	}
	policy := handler.DefaultPolicy()
	policy.Lanes = 1
	group := settle.NewGroup(settle.Config{Owner: "me"}, b.set, policy, b.store, b.store, silent{}, b.clock, b.logger)
	ctx, cancel := context.WithCancel(context.Background())
	b.messages, err = group.Subscribe(ctx, "one")
	require.NoError(t, err)
	t.Cleanup(func() {
		cancel()
		for m := range b.messages {
			m.Nack()
		}
	})
	b.next(t)
	t.Cleanup(func() { b.m.Nack() }) // before the group ends
	return b
}

// next waits for the event.
func (b *bundle) next(t *testing.T) {
	t.Helper()
	select {
	case b.m = <-b.messages:
		b.attempt = settle.AttemptFrom(b.m.Context())
		require.NotNil(t, b.attempt)
	case <-time.After(10 * time.Second):
		t.Fatal("no message came")
	}
}

// works returns what was written for the event, without what setup wrote.
func (b *bundle) works() []settle.Work {
	var works []settle.Work
	for _, w := range b.store.Works() {
		if w.Lease.Owner == "me" {
			works = append(works, w)
		}
	}
	return works
}

func nothing(context.Context, made) error { return nil }

func fails(err error) message.HandlerFunc {
	return func(*message.Message) ([]*message.Message, error) { return nil, err }
}

// silent is a bus that brings nothing.
type silent struct{}

func (silent) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	none := make(chan *message.Message)
	context.AfterFunc(ctx, func() { close(none) })
	return none, nil
}
func (silent) Close() error { return nil }

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
