package bustest

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/app/settle"
)

// closing waits until the router has begun to close and has ended the contexts that Watermill ends.
func (w *world) closing() {
	w.Helper()
	w.until("the router closes", w.logged("Waiting for messages"))
}

func stopInHand(w *world) {
	on, tx := w.recorder(), w.recorder()
	g := w.gate()
	sets := []handler.Set{on.set("on", g.pass), tx.set("also", g.pass)}
	s := w.start(sets...)
	w.publish("a", 1, 2)
	g.someone(w)
	g.someone(w)
	s.stop()
	w.closing()
	select {
	case <-s.done:
		w.Fatal("the service ended while handlers were at work")
	default:
	}
	g.release()
	w.closed(s.done, "the end")
	require.NoError(w, s.err)
	require.Equal(w, []int{1}, on.of("a"), "calls before the restart")
	s = w.start(sets...)
	w.until("all is settled", func() bool { return w.settled("on")() && w.settled("also")() })
	on.everyCall(w, "a", 1, 2)
	tx.everyCall(w, "a", 1, 2)
	s.halt()
}

// everyCall fails unless the handler was called once for each number of the key, as a first attempt.
func (r *recorder) everyCall(w *world, key string, from, to int) {
	w.Helper()
	require.Equal(w, numbers(from, to), r.of(key))
	for _, c := range r.all() {
		require.Equal(w, 1, c.attempt)
	}
}

func drainDeadline(w *world) {
	w.cfg.DrainTimeout = 10 * time.Second
	on, tx := w.recorder(), w.recorder()
	g := w.gate()
	sets := []handler.Set{on.set("on", g.pass), tx.set("also", func(ctx context.Context, c call) error {
		_ = g.pass(ctx, c)
		return errTest // of its own, but because the time is over
	})}
	s := w.start(sets...)
	w.publish("a", 1)
	g.someone(w)
	g.someone(w)
	s.stop()
	w.closing()
	w.clock.Advance(10 * time.Second)
	w.closed(s.done, "the end")
	require.NoError(w, s.err)
	for _, set := range []string{"on", "also"} {
		require.Empty(w, w.letters(set))
		require.Empty(w, w.parked(set))
	}
	w.start(on.set("on", nil), tx.set("also", nil))
	w.until("all is settled", func() bool { return w.settled("on")() && w.settled("also")() })
	for _, r := range []*recorder{on, tx} {
		require.Equal(w, []int{1, 1}, r.of("a"))
		require.Equal(w, 1, r.all()[1].attempt)
	}
}

func renewWhileDraining(w *world) {
	w.cfg.DrainTimeout = time.Hour
	w.cfg.Settle.LeaseTTL = 9 * time.Second
	var renewed atomic.Int64
	h := w.hook()
	h.renew = func(_ []settle.Lease, inner func() ([]settle.Lease, error)) ([]settle.Lease, error) {
		defer renewed.Add(1)
		return inner()
	}
	r := w.recorder()
	g := w.gate()
	s := w.start(r.set("one", g.pass, handler.WithPolicy(handler.Policy{Timeout: time.Hour})))
	w.publish("a", 1)
	g.someone(w)
	s.stop()
	w.closing()
	for range 6 {
		before := renewed.Load()
		w.clock.Advance(3 * time.Second)
		w.until("the leases are renewed", func() bool { return renewed.Load() > before })
	}
	_, ok, err := w.acquire("one", "a", "two")
	require.NoError(w, err)
	require.False(w, ok, "another process got the lane while its event was in hand")
	g.release()
	w.closed(s.done, "the end")
	require.True(w, w.settled("one")())
	l, ok, err := w.acquire("one", "a", "two")
	require.NoError(w, err)
	require.True(w, ok, "the lane is free after the stop")
	require.False(w, l.TakenOver)
}

func pauseAndResume(w *world) {
	const keys = 6
	r, other := w.recorder(), w.recorder()
	sets := []handler.Set{r.setTx("one", nil), other.setTx("other", nil)}
	s := w.start(sets...)
	w.publishMany(keys, 1, 2)
	w.until("all is settled", w.settled("one"))
	require.NoError(w, w.store.SetPaused(w.ctx, "one", true))
	w.until("the set knows", w.logged("handler set paused"))
	w.publishMany(keys, 3, 40)
	w.until("the other set is done", w.settled("other"))
	r.everyOnce(keys, 1, 2)
	s.halt()
	s = w.start(sets...)
	w.publishMany(keys, 41, 42)
	w.until("the other set is done", w.settled("other"))
	r.everyOnce(keys, 1, 2)
	require.NoError(w, w.store.SetPaused(w.ctx, "one", false))
	w.until("all is settled", w.settled("one"))
	r.everyOnce(keys, 1, 42)
	s.halt()
}

func pauseAtStart(w *world) {
	h := w.hook()
	var once atomic.Bool
	h.statuses = func(inner func() (map[string]settle.Status, error)) (map[string]settle.Status, error) {
		statuses, err := inner()
		if once.CompareAndSwap(false, true) {
			require.NoError(w, h.Store.SetPaused(w.ctx, "one", true))
		}
		return statuses, err
	}
	r := w.recorder()
	w.start(r.setTx("one", nil))
	w.until("the set knows", w.logged("handler set paused"))
}

func pauseReadFails(w *world) {
	h := w.hook()
	r := w.recorder()
	w.start(r.setTx("one", nil))
	w.publish("a", 1)
	w.until("the lanes work", w.settled("one"))
	var once atomic.Bool
	h.set(func() {
		h.statuses = func(inner func() (map[string]settle.Status, error)) (map[string]settle.Status, error) {
			if once.CompareAndSwap(false, true) {
				return nil, errTest
			}
			return inner()
		}
	})
	require.NoError(w, h.Store.SetPaused(w.ctx, "one", true))
	w.until("the read has failed", once.Load)
	w.eventually("the set knows", w.logged("handler set paused"))
}

func idleSlots(w *world) {
	r := w.recorder()
	w.start(r.setTx("one", nil))
	done := func() bool {
		for _, position := range w.status("one").Cursors {
			if position < w.head() {
				return false
			}
		}
		return true
	}
	for i := range 3 {
		w.publish("a", 2*i+1, 2*i+2)
		w.append(event.Envelope{Type: "other.ignored", SchemaVersion: 1, PartitionKey: "b", Data: []byte(`{"n":1}`)})
		w.until("it is handled", r.counted(2*i+2))
		w.eventually("every cursor stands at the end", done)
	}
}

func brokenStart(w *world) {
	h := w.hook()
	var calls atomic.Int64
	h.statuses = func(inner func() (map[string]settle.Status, error)) (map[string]settle.Status, error) {
		if calls.Add(1) >= 2 { // a lane of the first set may ask before the second set does
			return nil, errTest
		}
		return inner()
	}
	s := w.begin("one", w.recorder().set("one", nil), w.recorder().set("two", nil), w.recorder().set("three", nil))
	w.closed(s.done, "the end")
	require.ErrorIs(w, s.err, errTest)
}
