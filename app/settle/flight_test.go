package settle_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/settle"
)

// flying makes the store one that says when works are applied, and lets the test decide about their
// commits, each by its position.
func (b *bundle) flying() (decide func(position int64, err error)) {
	var mu sync.Mutex
	verdicts := map[int64]chan error{}
	of := func(position int64) chan error {
		mu.Lock()
		defer mu.Unlock()
		if verdicts[position] == nil {
			verdicts[position] = make(chan error, 10)
		}
		return verdicts[position]
	}
	over := make(chan struct{}) // or a test that fails would wait for what nobody decides
	b.t.Cleanup(func() { close(over) })
	b.store.OnSettle = func(w settle.Work) error {
		if w.Applied != nil {
			w.Applied()
		}
		select {
		case err := <-of(w.Event.Position):
			return err
		case <-over:
			return errTest
		}
	}
	return func(position int64, err error) { of(position) <- err }
}

// inFlight begins, and makes the store one that flies; then it appends and sends an event of each key.
func (b *bundle) inFlight(keys ...string) (decide func(position int64, err error)) {
	b.t.Helper()
	b.begin()
	decide = b.flying()
	for _, e := range b.append(keys...) {
		b.send(e)
	}
	return decide
}

// work handles a message as the router does, which answers it after the commit.
func work(m *message.Message) {
	go func() {
		if settle.AttemptFrom(m.Context()).Handled(context.Background(), nil) == nil {
			m.Ack()
		} else {
			m.Nack()
		}
	}()
}

func TestGoesOnBeforeTheCommit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.begin()
	decide := b.flying()
	var sent []*message.Message
	for _, e := range b.append("k", "k", "k") {
		sent = append(sent, b.send(e))
	}
	for want := int64(2); want <= 4; want++ {
		m := b.next()
		require.Equal(t, want, position(m))
		work(m)
	}
	for _, m := range sent {
		require.False(t, acked(m), "acked before the commit")
	}
	decide(2, nil)
	b.wait(sent[0].Acked(), "the ack of what is committed")
	require.False(t, acked(sent[1]))
	decide(3, nil)
	decide(4, nil)
	b.wait(sent[1].Acked(), "the second ack")
	b.wait(sent[2].Acked(), "the third ack")
}

// When a commit fails the lane goes back, and what it sent after that comes again, in order.
func TestGoesBackWhenACommitFails(t *testing.T) {
	t.Parallel()
	b := setup(t)
	decide := b.inFlight("k", "other", "k")
	for want := int64(2); want <= 4; want++ {
		m := b.next()
		require.Equal(t, want, position(m))
		work(m)
	}
	decide(2, nil)
	decide(3, errTest)
	decide(4, settle.ErrVoided)
	for want := int64(3); want <= 4; want++ {
		m := b.eventually()
		require.Equal(t, want, position(m))
		decide(want, nil)
		b.handle(m) // one after the other, as a store does it
	}
	var positions []int64
	require.Eventually(t, func() bool {
		positions = nil
		for _, w := range b.store.Works() {
			positions = append(positions, w.Event.Position)
		}
		return len(positions) == 4
	}, 30*time.Second, time.Millisecond)
	require.Equal(t, []int64{1, 2, 3, 4}, positions)
}

// What a lane says about its place, it says about what is committed.
func TestStopsAfterWhatFlies(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.begin()
	decide := b.flying()
	b.send(b.append("k")[0])
	m := b.next()
	work(m)
	b.cancel()
	decide(2, errTest)
	for range b.out { // until the group has ended
	}
	statuses, err := b.store.Statuses(context.Background())
	require.NoError(t, err)
	e := settle.AttemptFrom(m.Context()).Event
	require.Less(t, statuses["one"].Cursors[e.Slot], e.Position, "an event that was not committed is still to be done")
}

// A lane that goes back at the very end of a page of the log, because of what it tries there, does not
// count the page as read.
func TestGoesBackAtTheEndOfAPage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cfg.Page = 16 // a parked event is tried after so many
	b.begin()
	b.send(b.append("parked")[0])
	m := b.next()
	require.NoError(t, settle.AttemptFrom(m.Context()).Park(context.Background(), b.clock.Now().Add(90*time.Second), "no luck", true))
	m.Ack()

	decide := b.flying()
	b.append(slices.Repeat([]string{"k"}, 40)...)
	m = b.eventually() // a lane that nobody told anything looks
	last := int64(17)  // the page begins with the parked event
	for flown := int64(3); ; flown++ {
		require.Equal(t, flown, position(m))
		if flown == last {
			break
		}
		work(m)
		m = b.next()
	}
	b.clock.Advance(time.Hour)
	work(m)
	m = b.next()
	require.Equal(t, int64(2), position(m), "the parked event is due")
	decide(3, errTest)
	for p := int64(4); p <= last; p++ {
		decide(p, settle.ErrVoided)
	}
	m.Nack()

	var settled []int64
	for len(settled) < 40 {
		m := b.eventually()
		decide(position(m), nil)
		b.handle(m) // one after the other, as a store does it
		settled = nil
		for _, w := range b.store.Works() {
			if w.Event.Position > 2 {
				settled = append(settled, w.Event.Position)
			}
		}
	}
	for i, p := range settled {
		require.Equal(t, int64(i+3), p)
	}
}

// fails handles a message as the router does that parks its event until due, or buries it when there is no time.
func fails(m *message.Message, due time.Time) {
	a, ctx := settle.AttemptFrom(m.Context()), context.Background()
	go func() {
		var err error
		if due.IsZero() {
			err = a.Bury(ctx, "no luck")
		} else {
			err = a.Park(ctx, due, "no luck", true)
		}
		if err == nil {
			m.Ack()
		} else {
			m.Nack()
		}
	}()
}

// A lane does not wait until it is stored that an event failed: other keys go on, its own waits.
func TestGoesOnBeforeAFailureIsStored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		decide := b.inFlight("k", "other", "k")
		m := b.next()
		require.Equal(t, int64(2), position(m))
		fails(m, b.clock.Now().Add(30*time.Second))
		m = b.next()
		require.Equal(t, int64(3), position(m))
		work(m)
		b.gives(0)
		for p := int64(2); p <= 4; p++ {
			decide(p, nil)
			synctest.Wait() // a store keeps the order
		}
		m = b.eventually()
		require.Equal(t, int64(2), position(m))
		require.Equal(t, 2, settle.AttemptFrom(m.Context()).Number)
		fails(m, time.Time{}) // to the dead letters
		b.send(b.append("other")[0])
		m = b.next()
		require.Equal(t, int64(5), position(m), "not the next of its key, before it is stored that the one before is dead")
		work(m)
		b.gives(0)
		decide(2, nil)
		synctest.Wait()
		decide(5, nil)
		b.gives(4)
		work(b.given[len(b.given)-1])
		decide(4, nil)
		b.stored(1, 2, 3, 4, 2, 5, 4)
	})
}

// gives waits until the group does nothing more of itself, and wants that it gives out the event at the
// position, 0 for none.
func (b *bundle) gives(want int64) {
	b.t.Helper()
	synctest.Wait()
	select {
	case m := <-b.out:
		b.given = append(b.given, m)
		require.Equal(b.t, want, position(m))
	default:
		require.Zero(b.t, want, "nothing was given out")
	}
}

// stored wants that these works, each with its event's position, were stored.
func (b *bundle) stored(want ...int64) {
	b.t.Helper()
	synctest.Wait()
	var positions []int64
	for _, w := range b.store.Works() {
		positions = append(positions, w.Event.Position)
	}
	require.Equal(b.t, want, positions)
}

// When that could not be stored the attempt is made again, before anything else of its key.
func TestGoesBackWhenAFailureIsNotStored(t *testing.T) {
	t.Parallel()
	b := setup(t)
	decide := b.inFlight("k", "other")
	fails(b.next(), b.clock.Now().Add(30*time.Second))
	work(b.next())
	decide(2, errTest)
	decide(3, settle.ErrVoided)
	m := b.eventually()
	require.Equal(t, int64(2), position(m))
	require.Equal(t, 1, settle.AttemptFrom(m.Context()).Number)
	fails(m, b.clock.Now().Add(30*time.Second))
	decide(2, nil)
	m = b.eventually()
	require.Equal(t, int64(3), position(m))
	work(m)
	decide(3, nil)

	m = b.eventually()
	require.Equal(t, int64(2), position(m))
	require.Equal(t, 2, settle.AttemptFrom(m.Context()).Number)
	fails(m, b.clock.Now().Add(30*time.Second))
	b.send(b.append("other")[0])
	work(b.next())
	decide(2, errTest)
	decide(4, settle.ErrVoided)
	// The parked event and the new one come again, in whichever order: neither is of the other's key.
	var came []int64
	for range 2 {
		m := b.eventually()
		came = append(came, position(m))
		if position(m) == 2 {
			require.Equal(t, 2, settle.AttemptFrom(m.Context()).Number, "what was not stored is no attempt")
		}
		decide(position(m), nil)
		work(m)
	}
	require.ElementsMatch(t, []int64{2, 4}, came)
	require.Eventually(t, func() bool { return len(b.store.Works()) == 5 }, 30*time.Second, time.Millisecond)
	parked, err := b.store.Parked(context.Background(), "one", allSlots())
	require.NoError(t, err)
	require.Empty(t, parked)
}

// What follows an event that dies at once waits until it is among the dead letters: it may not get there.
func TestDiesBeforeTheNextOfItsKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		decide := b.inFlight("k", "k")
		fails(b.next(), time.Time{})
		b.gives(0)
		decide(2, errTest)
		m := b.eventually()
		require.Equal(t, int64(2), position(m))
		fails(m, time.Time{})
		b.gives(0)
		decide(2, nil)
		b.gives(3)
		decide(3, nil)
		work(b.given[len(b.given)-1])
		b.stored(1, 2, 3)
	})
}

func allSlots() []int {
	slots := make([]int, event.Slots)
	for i := range slots {
		slots[i] = i
	}
	return slots
}
