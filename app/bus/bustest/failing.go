package bustest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/deadletter"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/app/publish"
	"github.com/leat-dev/leat/app/settle"
	"github.com/leat-dev/leat/domain"
)

// letterOf is a dead letter of the tests' event.
type letterOf struct {
	deadletter.Letter
	key string
	n   int
}

func filter(set string) deadletter.Filter {
	return deadletter.Filter{Tenant: tenant, Set: set, Limit: 1000}
}

// logged tells whether the log holds a text.
func (w *world) logged(text string) func() bool {
	return func() bool { return strings.Contains(w.log.String(), text) }
}

// append puts an event into the log past every check.
func (w *world) append(e event.Envelope) {
	w.Helper()
	w.open()
	e.Tenant, e.Source, e.Kind, e.Time = tenant, "test", event.Business, w.clock.Now()
	if e.ID == "" {
		w.appended++
		e.ID = fmt.Sprintf("appended-%d", w.appended)
	}
	_, err := w.store.Append(w.ctx, []event.Envelope{e})
	require.NoError(w, err)
	w.accepted[e.ID] = struct{}{}
}

func attempts(w *world) {
	r := w.recorder()
	keys := sameLane(2)
	a, b := keys[0], keys[1]
	set := r.setTx("one", func(_ context.Context, c call) error {
		if c.key == a {
			return fmt.Errorf("number %d: %w", c.attempt, errTest)
		}
		return nil
	})
	s := w.start(set)
	begin := w.clock.Now()
	w.publish(a, 1)
	w.until("it is parked", func() bool { return len(w.parked("one")) == 1 })
	parked := w.parked("one")[0]
	require.Equal(w, settle.Failed, parked.State)
	require.Equal(w, 1, parked.Attempts)
	require.Equal(w, "number 1: no luck", parked.Reason)
	require.Equal(w, begin.Add(1500*time.Millisecond), parked.Due, "2s, half of it random, of which one half")
	w.clock.Advance(1499 * time.Millisecond)
	w.publish(b, 1) // of the same lane: when it is handled the lane has looked around
	w.until("the other key is handled", func() bool { return len(r.of(b)) == 1 })
	require.Len(w, r.of(a), 1)
	w.clock.Advance(time.Millisecond)
	w.until("it is tried again", func() bool { p := w.parked("one"); return len(p) == 1 && p[0].Attempts == 2 })
	require.Equal(w, w.clock.Now().Add(3*time.Second), w.parked("one")[0].Due, "twice as long")

	s.halt() // attempts outlive a restart
	s = w.start(set)
	w.clock.Advance(3 * time.Second)
	w.until("it is dead", func() bool { return len(w.letters("one")) == 1 })
	l := w.letters("one")[0]
	require.Equal(w, 3, l.Attempts)
	require.Equal(w, "number 3: no luck", l.Reason)
	require.Equal(w, deadletter.Open, l.State)
	require.Equal(w, w.clock.Now(), l.Failed)
	require.Empty(w, w.parked("one"))
	s.halt()
	var at []time.Duration
	for _, c := range r.all() {
		if c.key == a {
			at = append(at, c.at.Sub(begin))
		}
	}
	require.Equal(w, []time.Duration{0, 1500 * time.Millisecond, 4500 * time.Millisecond}, at)
}

func permanent(w *world) {
	r := w.recorder()
	w.start(r.setTx("one", func(_ context.Context, c call) error {
		if c.n == 1 {
			return handler.Permanent(errTest)
		}
		return nil
	}))
	w.publish("a", 1, 2)
	w.until("all is settled", w.settled("one"))
	require.Equal(w, []int{1, 2}, r.of("a"))
	letters := w.letters("one")
	require.Len(w, letters, 1)
	require.Equal(w, 1, letters[0].n)
	require.Equal(w, 1, letters[0].Attempts)
	require.Equal(w, "no luck", letters[0].Reason)
}

func panics(w *world) {
	boom := func(context.Context, call) error { panic("boom") }
	w.start(
		w.recorder().set("one", boom, handler.WithPolicy(handler.Policy{Attempts: 1})),
		w.recorder().setTx("two", boom, handler.WithPolicy(handler.Policy{Attempts: 1})),
	)
	w.publish("a", 1)
	for _, set := range []string{"one", "two"} {
		w.until("it is dead", func() bool { return len(w.letters(set)) == 1 })
		require.Equal(w, "panic: boom", w.letters(set)[0].Reason)
	}
}

func timeout(w *world) {
	r := w.recorder()
	g := w.gate()
	w.start(
		r.setTx("one", nil),
		w.recorder().set("slow", g.pass, handler.WithPolicy(handler.Policy{Timeout: 5 * time.Second, Attempts: 1})))
	w.publish("a", 1)
	g.someone(w)
	w.until("the other set is done", w.settled("one"))
	w.clock.Advance(5 * time.Second)
	w.until("it is dead", func() bool { return len(w.letters("slow")) == 1 })
	require.Contains(w, w.letters("slow")[0].Reason, "the attempt took too long: more than 5s")
}

func unavailable(w *world) {
	down, other := w.recorder(), w.recorder()
	kinds := []error{handler.Unavailable(errTest), domain.Errorf(domain.Unavailable, "DOWN", "down"), handler.Unavailable(errTest)}
	w.start(down.setTx("down", func(_ context.Context, c call) error {
		if n := down.count(); n <= len(kinds) {
			return kinds[n-1]
		}
		return nil
	}, handler.WithPolicy(handler.Policy{Lanes: 1})), other.setTx("other", nil))
	w.publish("a", 1)
	w.publish("b", 1)
	w.until("the other set is done", w.settled("other"))
	w.eventually("all is settled", w.settled("down"))
	calls := down.all()
	require.Len(w, calls, 5)
	for i, c := range calls {
		require.Equal(w, 1, c.attempt)
		if i > 0 && i < 4 {
			require.GreaterOrEqual(w, c.at.Sub(calls[i-1].at), 100*time.Millisecond<<(i-1), "pause %d", i)
		}
	}
	require.Empty(w, w.letters("down"))
}

func pausedWhileDown(w *world) {
	down, other := w.recorder(), w.recorder()
	up := make(chan struct{})
	var done atomic.Int64
	w.start(down.setTx("down", func(context.Context, call) error {
		select {
		case <-up:
			done.Add(1)
			return nil
		default:
			return handler.Unavailable(errTest)
		}
	}), other.setTx("other", nil))
	w.publish("a", 1)
	w.eventually("it was tried", down.counted(2))
	require.NoError(w, w.store.SetPaused(w.ctx, "down", true))
	w.until("the set knows", w.logged("handler set paused"))
	before := down.count()
	for i := range 5 {
		w.until("the other set has nothing in hand", w.settled("other")) // that a minute would cut off
		w.clock.Advance(time.Minute)
		w.publish("b", i+1)
	}
	w.until("the other set is done", other.counted(6))
	require.LessOrEqual(w, down.count(), before+1, "calls while the set rests")
	close(up)
	require.NoError(w, w.store.SetPaused(w.ctx, "down", false))
	w.eventually("all is settled", w.settled("down"))
	for _, c := range down.all() {
		require.Equal(w, 1, c.attempt)
	}
	require.Equal(w, numbers(1, 5), down.of("b"))
	require.EqualValues(w, 6, done.Load(), "what was in hand when the set was paused is handled too")
}

func undecodableData(w *world) {
	r := w.recorder()
	typed := func(context.Context, made) error { return nil }
	w.start(
		handler.NewSet("typed", handler.On(typed)),
		handler.NewSet("typed-tx", handler.OnTx(typed)),
		r.set("raw", nil),
	)
	w.append(event.Envelope{ID: "bad", Type: "thing.made", SchemaVersion: 1, PartitionKey: "a", Data: []byte(`{"n":"many"}`)})
	w.publish("a", 2)
	for _, set := range []string{"typed", "typed-tx"} {
		w.until("all is settled", w.settled(set))
		letters := w.letters(set)
		require.Len(w, letters, 1)
		require.Equal(w, "bad", letters[0].Event.ID)
		require.Equal(w, 1, letters[0].Attempts)
		require.Contains(w, letters[0].Reason, "decode thing.made")
		require.JSONEq(w, `{"n":"many"}`, string(letters[0].Event.Data))
	}
	w.until("all is settled", w.settled("raw"))
	require.Equal(w, 2, r.count())
}

func newerSchema(w *world) {
	r := w.recorder()
	keys := sameLane(2)
	a, b := keys[0], keys[1]
	set := r.setTx("one", nil)
	s := w.start(set)
	w.append(event.Envelope{ID: "new", Type: "thing.made", SchemaVersion: 2, PartitionKey: a, Data: []byte(`{"n":1}`)})
	w.publish(a, 2)
	w.publish(b, 1)
	w.until("the other key has passed", func() bool { return r.count() == 1 && len(w.parked("one")) == 2 })
	parked := w.parked("one")
	require.Equal(w, settle.Held, parked[0].State)
	require.Zero(w, parked[0].Attempts)
	require.Equal(w, settle.Behind, parked[1].State)
	for range 5 { // more often than there are attempts
		due := w.parked("one")[0].Due
		w.clock.Advance(time.Minute)
		w.until("it was looked at again", func() bool { return w.parked("one")[0].Due.After(due) })
	}
	require.Zero(w, w.parked("one")[0].Attempts)
	require.Empty(w, w.letters("one"))
	s.halt()

	same := func(data json.RawMessage) (json.RawMessage, error) { return data, nil }
	catalogue, err := event.NewCatalogue(event.Definitions{
		event.Define[made](event.Business, event.Version(2), event.Upcast(1, same)), definitions[1], definitions[2],
	})
	require.NoError(w, err)
	w.catalogue = catalogue
	w.clock.Advance(time.Minute)
	s = w.start(set)
	w.eventually("all is settled", w.settled("one"))
	require.Equal(w, []int{1, 2}, r.of(a))
	s.halt()
}

func redriven(w *world) {
	one, two := w.recorder(), w.recorder()
	mended := make(chan struct{})
	fail := func(_ context.Context, c call) error {
		select {
		case <-mended:
			return nil
		default:
		}
		if c.n == 1 {
			return handler.Permanent(errTest)
		}
		return nil
	}
	w.start(one.setTx("one", fail), two.set("two", fail))
	w.publish("a", 1, 2)
	w.until("both are done", func() bool { return w.settled("one")() && w.settled("two")() })
	close(mended)
	id := w.letters("one")[0].ID()
	require.NoError(w, w.store.RetryDeadLetter(w.ctx, tenant, id, "somebody"))
	w.until("it is settled", func() bool { return len(w.letters("one")) == 0 && w.settled("one")() })
	calls := one.all()
	require.Len(w, calls, 3)
	require.Equal(w, call{key: "a", n: 1, position: calls[0].position, attempt: 1, redriven: true, at: w.clock.Now()}, calls[2])
	require.False(w, calls[0].redriven)
	require.Equal(w, []int{1, 2}, two.of("a"))
	require.Len(w, w.letters("two"), 1)
	require.Equal(w, deadletter.Open, w.letters("two")[0].State)
}

func redrivenAgain(w *world) {
	r := w.recorder()
	w.start(r.setTx("one", func(context.Context, call) error { return errTest },
		handler.WithPolicy(handler.Policy{Attempts: 2, Initial: time.Second})))
	w.publish("a", 1)
	w.eventually("it is dead", func() bool { return len(w.letters("one")) == 1 })
	require.NoError(w, w.store.RetryDeadLetter(w.ctx, tenant, w.letters("one")[0].ID(), "somebody"))
	w.publish("a", 2) // is not held up by what comes late
	w.until("it failed again", func() bool { return r.count() == 4 })
	w.eventually("both are dead", func() bool {
		letters := w.letters("one")
		return len(letters) == 2 && letters[0].State == deadletter.Open && w.settled("one")()
	})
	for _, l := range w.letters("one") {
		require.Equal(w, 2, l.Attempts)
	}
	require.Equal(w, 6, r.count())
}

func circle(w *world) {
	w.open()
	again := func(ctx context.Context, e made) error {
		_, err := w.publisher.Publish(ctx, event.Draft{Event: made{e.N + 1}, PartitionKey: "a"})
		return err
	}
	w.publisher = publish.New(publish.Config{MaxDepth: 8}, w.catalogue, w.store, w.clock, nil)
	w.start(handler.NewSet("round", handler.OnTx(again)))
	w.publish("a", 0)
	w.eventually("it is stopped", func() bool { return len(w.letters("round")) == 1 && w.settled("round")() })
	events := w.events("thing.made")
	require.Len(w, events, 9)
	for i, e := range events {
		require.Equal(w, i, e.Depth)
	}
	require.Equal(w, 8, w.letters("round")[0].n)
	require.Contains(w, w.letters("round")[0].Reason, "handlers publish in a circle")
}

func causes(w *world) {
	w.open()
	echo := func(ctx context.Context, _ made) error {
		_, err := w.publisher.Publish(ctx, event.Draft{Event: echoed{}})
		return err
	}
	w.start(handler.NewSet("one", handler.On(echo)), handler.NewSet("two", handler.OnTx(echo)))
	_, err := w.publisher.Publish(w.ctx, event.Draft{
		Event: made{1}, ID: "cause", Tenant: tenant, Actor: "somebody", PartitionKey: "a", CorrelationID: "whole",
	})
	require.NoError(w, err)
	w.until("both have published", func() bool { return len(w.events("thing.echoed")) == 2 })
	for _, e := range w.events("thing.echoed") {
		require.Equal(w, []any{tenant, "somebody", "whole", "cause", 1}, []any{e.Tenant, e.Actor, e.CorrelationID, e.CausationID, e.Depth})
	}
}
