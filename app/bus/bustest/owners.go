package bustest

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/app/settle"
)

// acquire claims the key's lane for another process, which handles all that the set does.
func (w *world) acquire(set, key, owner string) (settle.Lease, bool, error) {
	w.Helper()
	statuses, err := w.store.Statuses(w.ctx)
	require.NoError(w, err)
	return w.store.Acquire(w.ctx, settle.Claim{
		Set: set, Lane: laneOf(key), Lanes: lanes, Types: statuses[set].Types, Owner: owner, TTL: time.Minute,
	})
}

// ghost makes a process die with an event in hand, after others had died with it before.
func (w *world) ghost(set handler.Set, key string, position int64, died int) {
	w.Helper()
	w.positioned()
	bound, err := set.Bind(w.catalogue)
	require.NoError(w, err)
	require.NoError(w, w.store.Register(w.ctx, settle.Registration{Set: set.Name(), Types: bound.Types(), FromStart: true}))
	l, ok, err := w.acquire(set.Name(), key, "ghost")
	require.NoError(w, err)
	require.True(w, ok)
	require.NoError(w, w.store.NoteInHand(w.ctx, l, position, died))
	w.clock.Advance(time.Minute + time.Second)
}

func deathCounts(w *world) {
	r := w.recorder()
	set := r.setTx("one", func(_ context.Context, c call) error {
		if c.n == 1 {
			return errTest
		}
		return nil
	}, handler.WithPolicy(handler.Policy{Attempts: 4, Initial: time.Second}))
	w.publish("a", 1, 2)
	w.ghost(set, "a", 1, 0)
	w.start(set)
	w.eventually("all is settled", w.settled("one"))
	var tries []int
	for _, c := range r.all() {
		tries = append(tries, c.attempt)
	}
	require.Equal(w, []int{2, 3, 4, 1}, tries)
	require.Equal(w, []int{1, 1, 1, 2}, r.of("a"))
	letters := w.letters("one")
	require.Len(w, letters, 1)
	require.Equal(w, 4, letters[0].Attempts)
	require.Equal(w, "no luck", letters[0].Reason)
}

// deathInBetween kills a process while an event only waits for its next attempt.
func deathInBetween(w *world) {
	h := w.hook()
	r := w.recorder()
	set := r.setTx("one", func(context.Context, call) error { return errTest },
		handler.WithPolicy(handler.Policy{Attempts: 9, Initial: time.Hour, Max: time.Hour}))
	w.publish("a", 1)
	w.ghost(set, "a", 1, 0)
	s := w.start(set)
	w.until("it failed", func() bool { p := w.parked("one"); return len(p) == 1 && p[0].Attempts == 2 })
	h.set(func() { h.killed = true })
	s.halt() // without letting go of its lanes
	w.clock.Advance(time.Minute)
	lease, ok, err := w.acquire("one", "a", "two")
	require.NoError(w, err)
	require.True(w, ok)
	require.True(w, lease.TakenOver)
	require.Zero(w, lease.InHand, "nothing was in hand")
}

func deadlyEvent(w *world) {
	r := w.recorder()
	set := r.setTx("one", nil)
	w.publish("a", 1, 2)
	w.ghost(set, "a", 1, 2)
	w.start(set)
	w.until("all is settled", w.settled("one"))
	require.Equal(w, []int{2}, r.of("a"))
	letters := w.letters("one")
	require.Len(w, letters, 1)
	require.Equal(w, 3, letters[0].Attempts)
	require.Contains(w, letters[0].Reason, "died 3 times")
	w.publish("a", 3)
	w.until("all is settled", w.settled("one"))
	require.Equal(w, []int{2, 3}, r.of("a"))
}

func staleOwner(w *world) {
	var cut atomic.Bool
	h := w.hook()
	h.renew = func(_ []settle.Lease, inner func() ([]settle.Lease, error)) ([]settle.Lease, error) {
		if cut.Load() {
			return nil, errTest // the process is cut off
		}
		return inner()
	}
	r := w.recorder()
	g := w.gate()
	var refused atomic.Bool
	h.settle = func(ctx context.Context, work settle.Work, inner func(context.Context, settle.Work) error) error {
		err := inner(ctx, work)
		if err != nil {
			require.ErrorIs(w, err, settle.ErrFenced)
			refused.Store(true)
		}
		return err
	}
	w.start(r.set("one", func(ctx context.Context, c call) error {
		if c.attempt == 1 && r.count() == 1 {
			return g.pass(ctx, c)
		}
		return nil
	}, handler.WithPolicy(handler.Policy{Timeout: time.Hour})))
	w.publish("a", 1)
	g.someone(w)
	cut.Store(true)
	w.clock.Advance(time.Minute)
	lease, ok, err := w.acquire("one", "a", "two")
	require.NoError(w, err)
	require.True(w, ok)
	require.True(w, lease.TakenOver)
	// The new owner settles the event; the old one comes too late.
	require.NoError(w, h.Store.Settle(w.ctx, settle.Work{Lease: lease, Event: w.events("thing.made")[0], First: true}))
	g.release()
	w.until("the old owner is refused", refused.Load)
	w.publish("a", 2)
	cut.Store(false)
	for range 5 {
		w.clock.Advance(4 * time.Second)
	}
	require.Equal(w, []int{1}, r.of("a"), "the lane is another's")
	require.NoError(w, w.store.Release(w.ctx, lease))
	w.eventually("the lane is worked again", w.settled("one"))
	require.Equal(w, []int{1, 2}, r.of("a"))
}

func storeFails(w *world) {
	h := w.hook()
	r := w.recorder()
	set := r.setTx("one", func(_ context.Context, c call) error {
		if c.n == 2 && c.attempt == 1 {
			return errTest
		}
		return nil
	})
	w.start(set)
	w.publishMany(10, 1, 3)
	w.until("the line stands", func() bool { return len(w.parked("one")) == 20 })
	var failures atomic.Int64
	h.set(func() {
		h.parked = func(string) error {
			failures.Add(1)
			return errTest
		}
	})
	require.NoError(w, w.store.SetPaused(w.ctx, "one", true))
	require.NoError(w, w.store.SetPaused(w.ctx, "one", false))
	w.until("reading has failed", func() bool { return failures.Load() > 0 })
	w.publishMany(10, 4, 4)
	h.set(func() { h.parked = nil })
	w.eventually("all is settled", w.settled("one"))
	for k := range 10 {
		require.Equal(w, []int{1, 2, 2, 3, 4}, r.of(key(k)))
	}
}
