package bustest

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/bus"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/app/settle"
)

var errTest = errors.New("no luck")

const lanes = 8 // of the default policy

// laneOf is the lane that works a key.
func laneOf(key string) int { return event.SlotOf(tenant, key) % lanes }

// sameLane returns n keys of one lane.
func sameLane(n int) []string {
	var keys []string
	for k := 0; len(keys) < n; k++ {
		if name := "lane-" + strconv.Itoa(k); laneOf(name) == 3 {
			keys = append(keys, name)
		}
	}
	return keys
}

func isolation(w *world) {
	const keys, n = 10, 10
	good, failing, blocked, paused := w.recorder(), w.recorder(), w.recorder(), w.recorder()
	g := w.gate()
	w.open()
	require.NoError(w, w.store.Register(w.ctx, settle.Registration{Set: "paused", Types: []string{"thing.made"}}))
	require.NoError(w, w.store.SetPaused(w.ctx, "paused", true))
	s := w.start(
		good.set("good", nil),
		failing.set("failing", func(context.Context, call) error { return errTest },
			handler.WithPolicy(handler.Policy{Attempts: 2, Initial: time.Millisecond})),
		blocked.set("blocked", g.pass, handler.WithPolicy(handler.Policy{Timeout: time.Hour})),
		paused.set("paused", nil),
	)
	w.publishMany(keys, 1, n)
	w.until("the good set is done", w.settled("good"))
	good.everyOnce(keys, 1, n)
	w.eventually("the failing set has given up on everything", func() bool {
		return w.settled("failing")() && failing.count() == 2*keys*n
	})
	require.LessOrEqual(w, blocked.count(), lanes)
	require.Zero(w, paused.count())
	g.release()
	w.until("the blocked set is done", w.settled("blocked"))
	blocked.everyOnce(keys, 1, n)
	s.halt()
}

func restart(w *world) {
	const keys = 10
	r := w.recorder()
	g := w.gate()
	tokens := make(chan struct{}, 20)
	for range cap(tokens) {
		tokens <- struct{}{}
	}
	set := r.set("one", func(ctx context.Context, c call) error {
		select {
		case <-tokens:
			return nil
		default:
			return g.pass(ctx, c)
		}
	})
	s := w.start(set)
	w.publishMany(keys, 1, 5)
	g.someone(w)
	s.stop()
	g.release()
	w.closed(s.done, "the end")
	w.publishMany(keys, 6, 8)
	s = w.start(set)
	w.until("all is settled", w.settled("one"))
	r.everyOnce(keys, 1, 8)
	s.halt()

	// Settled is settled: another start brings nothing.
	w.close()
	s = w.start(set)
	w.publish(key(0), 9)
	w.until("all is settled", w.settled("one"))
	s.halt()
	require.Equal(w, keys*8+1, r.count())
}

func startRace(w *world) {
	const keys, n = 10, 30
	r := w.recorder()
	set := r.set("one", nil, handler.FromStart())
	w.open()
	published := make(chan error, 1)
	go func() {
		for i := 1; i <= n; i++ {
			for k := range keys {
				if err := w.accept(event.Draft{Event: made{i}, Tenant: tenant, PartitionKey: key(k)}); err != nil {
					published <- err
					return
				}
			}
		}
		published <- nil
	}()
	for range 3 {
		s := w.start(set)
		s.halt()
	}
	w.start(set)
	require.NoError(w, <-published)
	w.eventually("all is settled", w.settled("one"))
	r.everyOnce(keys, 1, n)
}

func order(w *world) {
	const keys, n = 40, 15
	r := w.recorder()
	fails := func(c call) int { // how often
		switch {
		case (c.n+int(c.key[6]))%7 == 3:
			return 2
		case (c.n+int(c.key[6]))%11 == 5:
			return 3 // for good
		}
		return 0
	}
	w.start(r.setTx("one", func(_ context.Context, c call) error {
		if c.attempt <= fails(c) {
			return errTest
		}
		return nil
	}, handler.WithPolicy(handler.Policy{Attempts: 3, Initial: 300 * time.Millisecond, Multiplier: 1})))
	for i := 1; i <= n; i += 5 {
		w.publishMany(keys, i, i+4)
		w.eventually("some are handled", r.counted(r.count()+keys))
	}
	w.eventually("all is settled", w.settled("one"))
	dead := 0
	for k := range keys {
		var want []int
		for i := 1; i <= n; i++ {
			f := fails(call{key: key(k), n: i})
			for range min(f+1, 3) {
				want = append(want, i)
			}
			if f == 3 {
				dead++
			}
		}
		require.Equal(w, want, r.of(key(k)), "calls for %s", key(k))
	}
	require.Positive(w, dead)
	counts, err := w.store.CountDeadLetters(w.ctx)
	require.NoError(w, err)
	require.Equal(w, dead, counts["one"])
}

func parkedKey(w *world) {
	r := w.recorder()
	keys := sameLane(2)
	a, b := keys[0], keys[1]
	s := w.start(r.setTx("one", func(_ context.Context, c call) error {
		if c.key == a && c.n == 1 && c.attempt == 1 {
			return errTest
		}
		return nil
	}))
	w.publish(a, 1, 2)
	w.publish(b, 1)
	w.publish(a, 3)
	w.until("the other key has passed and all is in its place", func() bool {
		return len(r.of(b)) == 1 && len(w.parked("one")) == 3
	})
	require.Equal(w, []int{1}, r.of(a))
	parked := w.parked("one")
	require.Equal(w, []settle.ParkState{settle.Failed, settle.Behind, settle.Behind},
		[]settle.ParkState{parked[0].State, parked[1].State, parked[2].State})

	// The line outlives a restart.
	s.halt()
	s = w.start(r.setTx("one", nil))
	w.publish(a, 4)
	w.until("what follows waits too", func() bool { return len(w.parked("one")) == 4 })
	require.Equal(w, []int{1}, r.of(a))
	w.clock.Advance(1500 * time.Millisecond)
	w.until("the line has moved", w.settled("one"))
	require.Equal(w, []int{1, 1, 2, 3, 4}, r.of(a))
	require.Equal(w, []int{1}, r.of(b))
	s.halt()
}

func longLine(w *world) {
	const n = 60
	r := w.recorder()
	keys := sameLane(3)
	a, b := keys[0], keys[1]
	g := w.gate()
	w.start(r.set("one", func(ctx context.Context, c call) error {
		if c.key == a && c.n == 1 && c.attempt == 1 {
			return errTest
		}
		if c.key == a && c.n == 2 {
			return g.pass(ctx, c)
		}
		return nil
	}))
	w.publish(a, numbers(1, n)...)
	w.until("the line stands", func() bool { return len(w.parked("one")) == n })
	w.clock.Advance(time.Second) // the group looks at the log, and sees that it knows everything
	w.publish(keys[2], 1)
	w.until("the lane goes on", r.counted(2))
	w.clock.Advance(time.Second)
	g.someone(w)
	// The lane works the line when an event of another key comes.
	w.publish(b, 1, 2, 3)
	g.release()
	w.until("all is settled", w.settled("one"))
	calls := r.all()
	last := slices.IndexFunc(calls, func(c call) bool { return c.key == b && c.n == 3 })
	require.Less(w, last, n-10, "the other key had to wait for the whole line")
	require.Equal(w, append([]int{1}, numbers(1, n)...), r.of(a))
}

func hotKey(w *world) {
	const n = 400
	r := w.recorder()
	w.start(r.setTx("one", nil))
	w.publishMany(1, 1, n)
	w.eventually("all is settled", w.settled("one"))
	r.everyOnce(1, 1, n)
}

// bounded runs alone.
func bounded(w *world) {
	const keys, n = 100, 25
	r := w.recorder()
	free := w.recorder()
	g, one := w.gate(), w.gate()
	var inHand, most atomic.Int64
	s := w.start(
		r.set("stalled", func(ctx context.Context, c call) error {
			most.Store(max(most.Load(), inHand.Add(1)))
			defer inHand.Add(-1)
			return g.pass(ctx, c)
		}, handler.WithPolicy(handler.Policy{Timeout: time.Hour})),
		free.set("one-lane-stalled", func(ctx context.Context, c call) error {
			if laneOf(c.key) == 0 {
				return one.pass(ctx, c)
			}
			return nil
		}, handler.WithPolicy(handler.Policy{Timeout: time.Hour})),
	)
	before := runtime.NumGoroutine()
	w.publishMany(keys, 1, n)
	want := 0
	for k := range keys {
		if laneOf(key(k)) != 0 {
			want += n
		}
	}
	w.eventually("the other lanes are done", free.counted(want+1))
	w.eventually("the bus was fed", func() bool { return s.sequencer.Position() == w.head() })
	w.until("every lane stands", func() bool { return inHand.Load() == lanes })
	// A window of the bus and the lanes' inboxes for each set, with two goroutines a message.
	grown := runtime.NumGoroutine() - before
	require.Less(w, grown, 2*2*(1024+lanes*64)+100, "goroutines for %d messages to each of two stalled sets", keys*n)
	one.release()
	g.release()
	w.eventually("all is settled", func() bool { return w.settled("stalled")() && w.settled("one-lane-stalled")() })
	require.LessOrEqual(w, most.Load(), int64(lanes), "events in hand")
	r.everyOnce(keys, 1, n)
	free.everyOnce(keys, 1, n)
	s.halt()
}

func ackAfterCommit(w *world) {
	const keys, n = 20, 5
	var (
		mu     sync.Mutex
		acked  = map[int64]bool{}
		faults []string
		wait   sync.WaitGroup
	)
	fault := func(text string) {
		mu.Lock()
		defer mu.Unlock()
		faults = append(faults, text)
	}
	ended := make(chan struct{})
	w.wrapBus = func(b bus.Bus) bus.Bus {
		return wrapped{Bus: b, between: func(set string) func(*message.Message, func(*message.Message)) {
			return func(m *message.Message, send func(*message.Message)) {
				if set != "one" {
					send(m)
					return
				}
				entry, err := bus.Decode(m)
				if err != nil {
					fault(err.Error())
					return
				}
				given := m.CopyWithContext()
				wait.Add(1)
				go func() {
					defer wait.Done()
					select {
					case <-ended:
					case <-given.Nacked():
						fault("a nack")
					case <-given.Acked():
						mu.Lock()
						acked[entry.Position] = true
						mu.Unlock()
						if w.status("one").Cursors[entry.Slot] < entry.Position {
							fault("position " + strconv.FormatInt(entry.Position, 10) + " was acked before its cursor was stored")
						}
						m.Ack()
					}
				}()
				send(given)
			}
		}}
	}
	h := w.hook()
	h.settle = func(ctx context.Context, work settle.Work, inner func(context.Context, settle.Work) error) error {
		if work.Lease.Set != "one" {
			return inner(ctx, work)
		}
		early := func() bool {
			mu.Lock()
			defer mu.Unlock()
			return acked[work.Event.Position] && work.First
		}
		if early() {
			fault("acked before the outcome was written")
		}
		if effect := work.Effect; effect != nil {
			work.Effect = func(ctx context.Context) error {
				if early() {
					fault("acked before the commit")
				}
				return effect(ctx)
			}
		}
		return inner(ctx, work)
	}
	r := w.recorder()
	g := w.gate()
	s := w.start(r.setTx("one", func(ctx context.Context, c call) error {
		if c.n == 3 {
			return handler.Permanent(errTest)
		}
		return nil
	}), w.recorder().set("other", g.pass))
	w.publishMany(keys, 1, n)
	w.until("all is settled", w.settled("one"))
	w.until("all is acked", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(acked) == keys*n
	})
	g.release()
	s.halt()
	close(ended)
	wait.Wait()
	require.Empty(w, faults)
}

func faultyBus(w *world) {
	const keys, n = 30, 12
	w.wrapBus = faulty(1)
	sets := map[string]*recorder{"one": w.recorder(), "two": w.recorder(), "three": w.recorder()}
	var all []handler.Set
	for name, r := range sets {
		all = append(all, r.setTx(name, nil))
	}
	w.start(all...)
	for i := 1; i <= n; i += 3 {
		w.publishMany(keys, i, i+2)
		w.eventually("some are handled", sets["one"].counted(keys*(i-1)+1))
	}
	for name, r := range sets {
		w.eventually(name+" is done", w.settled(name))
		r.everyOnce(keys, 1, n)
	}
}

func undecodableMessages(w *world) {
	const keys, n = 5, 10
	w.wrapBus = func(b bus.Bus) bus.Bus {
		return wrapped{Bus: b, between: func(string) func(*message.Message, func(*message.Message)) {
			return func(m *message.Message, send func(*message.Message)) {
				send(message.NewMessage("", []byte("rubbish")))
				spoilt := m.Copy()
				spoilt.Metadata["leat-slotprev"] = "many"
				send(spoilt)
				send(m)
			}
		}}
	}
	r := w.recorder()
	w.start(r.setTx("one", nil))
	w.publishMany(keys, 1, n)
	w.until("all is settled", w.settled("one"))
	r.everyOnce(keys, 1, n)
}

func silentBus(w *world) {
	const keys, n = 5, 10
	w.wrapBus = func(b bus.Bus) bus.Bus {
		return wrapped{Bus: b, between: func(string) func(*message.Message, func(*message.Message)) {
			return func(m *message.Message, _ func(*message.Message)) { m.Ack() }
		}}
	}
	r := w.recorder()
	w.start(r.setTx("one", nil))
	for i := 1; i <= n; i++ {
		w.publishMany(keys, i, i)
		w.eventually("the log was read", r.counted(i*keys))
	}
	w.eventually("all is settled", w.settled("one"))
	r.everyOnce(keys, 1, n)
}

func swap(w *world) {
	const keys, n = 8, 6
	r := w.recorder()
	set := r.setTx("one", func(_ context.Context, c call) error {
		if c.n%5 == 2 && c.attempt == 1 {
			return errTest
		}
		return nil
	}, handler.FromStart())
	at := 0
	for i, kind := range []Kind{w.env.Bus, w.env.Other, w.env.Bus, w.env.Other, w.env.Bus} {
		w.bus = kind
		w.publishMany(keys, i*n+1, i*n+n/2)
		s := w.start(set)
		w.publishMany(keys, i*n+n/2+1, i*n+n)
		at = i*n + n
		w.eventually("some are handled", r.counted((i*n+1)*keys))
		s.halt() // with some not handled, and some parked
	}
	w.start(set)
	w.eventually("all is settled", w.settled("one"))
	for k := range keys {
		var want []int
		for i := 1; i <= at; i++ {
			if want = append(want, i); i%5 == 2 {
				want = append(want, i)
			}
		}
		require.Equal(w, want, r.of(key(k)), "calls for %s", key(k))
	}
}
