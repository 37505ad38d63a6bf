package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
	"github.com/jonboulle/clockwork"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/leat-dev/leat/adapters/gochannelbus"
	"github.com/leat-dev/leat/app/bus"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/app/router"
	"github.com/leat-dev/leat/app/settle"
)

func rowsP1() []Row {
	return []Row{{
		ID: "P1", Work: "router and the whole chain, in memory, for each message",
		Peer:   "bare Watermill router with Recoverer, CorrelationID, Retry, PoisonQueue on GoChannel",
		AtMost: 1.15, N: 100_000, Ours: chainInMemory, Them: stockChain,
	}}
}

func chainInMemory(ctx context.Context, env *Env, n int) (Figure, error) {
	logger := slog.New(slog.DiscardHandler)
	clock := clockwork.NewRealClock()
	catalogue, err := event.NewCatalogue(event.Definitions{event.Define[moved](event.Business)})
	if err != nil {
		return Figure{}, err
	}
	done := newCounter()
	set, err := handler.NewSet("chain", handler.On(func(context.Context, moved) error { return nil })).Bind(catalogue)
	if err != nil {
		return Figure{}, err
	}
	store, b := &memoryStore{}, gochannelbus.New(gochannelbus.Config{}, logger)
	r, err := router.New(router.Config{Settle: settle.Config{Owner: "bench"}}, router.Parts{
		Bus: b, Log: &store.memoryLog, Store: store, Clock: clock, Tracer: noop.NewTracerProvider().Tracer("bench"),
		Observer: done, Random: rand.Float64, Logger: logger,
	}, []*handler.Bound{set})
	if err != nil {
		return Figure{}, err
	}
	entries, err := entriesOf(catalogue, n, 1000)
	if err != nil {
		return Figure{}, err
	}
	running, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- r.Run(running) }()
	<-r.Running()
	m := env.begin()
	for first := 0; first < n; first += 512 {
		page := entries[first:min(n, first+512)]
		store.add(page)
		if err := b.Publish(ctx, page); err != nil {
			cancel()
			return Figure{}, err
		}
	}
	err = done.wait(ctx, n)
	f := m.end(n)
	cancel()
	if stopped := <-ended; err == nil {
		err = stopped
	}
	_ = b.Close()
	return f, err
}

// entriesOf makes events as the sequencer hands them to a bus.
func entriesOf(c *event.Catalogue, n, keys int) ([]bus.Entry, error) {
	entries := make([]bus.Entry, n)
	var slotPrev [event.Slots]int64
	now := time.Now().UTC().Truncate(time.Microsecond)
	for i := range entries {
		def, data, err := c.Encode(movedOf(i%keys, i))
		if err != nil {
			return nil, err
		}
		e := event.Envelope{
			Position: int64(i + 1), ID: fmt.Sprintf("e-%012d", i), Type: def.Type(), SchemaVersion: def.SchemaVersion(), Kind: def.Kind(),
			Source: "bench", Subject: keyName(i % keys), PartitionKey: keyName(i % keys), Tenant: tenant, Actor: "bench",
			CorrelationID: fmt.Sprintf("e-%012d", i), Time: now, Recorded: now, Data: data,
		}
		e.Slot = event.SlotOf(e.Tenant, e.PartitionKey)
		entries[i] = bus.Entry{Envelope: e, Prev: int64(i), SlotPrev: slotPrev[e.Slot]}
		slotPrev[e.Slot] = e.Position
	}
	return entries, nil
}

// memoryLog is a log that costs as little as one can.
type memoryLog struct {
	all  []bus.Entry
	head atomic.Pointer[[]bus.Entry]
}

func (l *memoryLog) add(entries []bus.Entry) {
	l.all = append(l.all, entries...)
	all := l.all
	l.head.Store(&all)
}

func (l *memoryLog) now() []bus.Entry {
	if p := l.head.Load(); p != nil {
		return *p
	}
	return nil
}

func (l *memoryLog) Read(_ context.Context, after int64, slots eventlog.SlotSet, limit int) ([]event.Envelope, int64, error) {
	all := l.now()
	var found []event.Envelope
	for _, e := range all[min(int(after), len(all)):] {
		if slots.Has(e.Slot) {
			if found = append(found, e.Envelope); len(found) == limit {
				return found, e.Position, nil
			}
		}
	}
	return found, int64(len(all)), nil
}

func (l *memoryLog) At(_ context.Context, positions ...int64) ([]event.Envelope, error) {
	var found []event.Envelope
	for _, p := range positions {
		found = append(found, l.now()[p-1].Envelope)
	}
	return found, nil
}

func (l *memoryLog) Bounds(context.Context) (first, last int64, err error) {
	n := int64(len(l.now()))
	return min(n, 1), n, nil
}

// memoryStore is a record that forgets everything: what is left is the chain.
type memoryStore struct {
	memoryLog
	settle.Store // what is not called
}

func (s *memoryStore) Statuses(context.Context) (map[string]settle.Status, error) {
	return map[string]settle.Status{"chain": {Set: "chain"}}, nil
}

func (s *memoryStore) Attend(_ context.Context, c settle.Claim) (settle.Attendance, error) {
	return settle.Attendance{Owners: 1, Free: settle.AllLanes(c.Lanes)}, nil
}

func (s *memoryStore) Leave(context.Context, string, string) error { return nil }
func (s *memoryStore) LanesChanged() <-chan struct{}               { return nil }

func (s *memoryStore) Acquire(_ context.Context, c settle.Claim) (settle.Lease, bool, error) {
	return settle.Lease{Set: c.Set, Lane: c.Lane, Owner: c.Owner, Fence: 1}, true, nil
}

func (s *memoryStore) Renew(context.Context, []settle.Lease, time.Duration) ([]settle.Lease, error) {
	return nil, nil
}
func (s *memoryStore) Release(context.Context, settle.Lease) error { return nil }

func (s *memoryStore) Settle(ctx context.Context, w settle.Work) error {
	if w.Effect != nil {
		return w.Effect(ctx)
	}
	return nil
}
func (s *memoryStore) Advance(context.Context, settle.Lease, map[int]int64) error { return nil }
func (s *memoryStore) Parked(context.Context, string, []int) ([]settle.Parked, error) {
	return nil, nil
}
func (s *memoryStore) ParkedChanged() <-chan struct{} { return nil }

func stockChain(ctx context.Context, env *Env, n int) (Figure, error) {
	return stock(ctx, env, n, stockSetup{handlers: 1, publishers: 1, keys: 1000})
}

// stockSetup is a Watermill router as the documentation shows it.
type stockSetup struct {
	handlers, publishers, keys int
	pubsub                     gochannel.Config
}

func stock(ctx context.Context, env *Env, n int, s stockSetup) (Figure, error) {
	logger := watermill.NopLogger{}
	pubsub := gochannel.NewGoChannel(s.pubsub, logger)
	r, err := message.NewRouter(message.RouterConfig{}, logger)
	if err != nil {
		return Figure{}, err
	}
	poison, err := middleware.PoisonQueue(pubsub, "poison")
	if err != nil {
		return Figure{}, err
	}
	r.AddMiddleware(
		middleware.CorrelationID,
		poison,
		middleware.Retry{MaxRetries: 3, InitialInterval: 100 * time.Millisecond, Logger: logger}.Middleware,
		middleware.Recoverer,
	)
	done := newCounter()
	for i := range s.handlers {
		r.AddConsumerHandler(fmt.Sprint("handler-", i), "item.moved", pubsub, func(m *message.Message) error {
			var e moved
			if err := json.Unmarshal(m.Payload, &e); err != nil {
				return err
			}
			done.Handled("", "", "handled", 1, 0)
			return nil
		})
	}
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	<-r.Running()
	m := env.begin()
	err = spreadOut(s.publishers, n, func(_, i int) error {
		payload, err := json.Marshal(movedOf(i%s.keys, i))
		if err != nil {
			return err
		}
		return pubsub.Publish("item.moved", message.NewMessage(watermill.NewUUID(), payload))
	})
	if err == nil {
		err = done.wait(ctx, n*s.handlers)
	}
	f := m.end(n)
	_ = r.Close()
	<-ended
	return f, err
}
