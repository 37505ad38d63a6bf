package bustest

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/app/settle"
)

// echo is an effect: one more row in the database, whichever transaction ctx carries.
func (w *world) echo(ctx context.Context, c call) error {
	_, err := w.publisher.Publish(ctx, event.Draft{Event: echoed{Of: strconv.FormatInt(c.position, 10)}, PartitionKey: c.key})
	return err
}

// echoes counts the effects of each event.
func (w *world) echoes() map[string]int {
	w.Helper()
	w.mark()
	counts := map[string]int{}
	for _, e := range w.events("thing.echoed") {
		counts[e.CausationID]++
	}
	return counts
}

var errCommit = errors.New("the commit failed")

func exactlyOnce(w *world) {
	const keys, n = 12, 12
	var mu sync.Mutex
	struck := map[string]bool{}
	strike := func(kind string, position int64) bool { // once for each
		mu.Lock()
		defer mu.Unlock()
		id := kind + strconv.FormatInt(position, 10)
		first := !struck[id]
		struck[id] = true
		return first
	}
	type owner struct {
		lane  int
		fence int64
	}
	voided := map[owner]int{} // works of these runs follow one whose commit failed
	// goneOn tells whether the lane goes on, and the commit fails then, as a store would have it.
	goneOn := func(work settle.Work) error {
		by := owner{work.Lease.Lane, work.Lease.Fence}
		flies := work.Applied != nil && work.Event.Position%3 == 1 && strike("applied"+strconv.FormatBool(work.First), work.Event.Position)
		mu.Lock()
		defer mu.Unlock()
		if run, ok := voided[by]; ok && work.Run <= run {
			return settle.ErrVoided
		}
		if !flies {
			return nil
		}
		voided[by] = work.Run
		work.Applied()
		return errCommit
	}
	h := w.hook()
	h.settle = func(ctx context.Context, work settle.Work, inner func(context.Context, settle.Work) error) error {
		p := work.Event.Position
		if err := goneOn(work); err != nil {
			return err
		}
		if p%5 == 3 && strike("before", p) {
			return errCommit
		}
		if effect := work.Effect; effect != nil && p%5 == 4 && strike("after", p) {
			work.Effect = func(ctx context.Context) error { return errors.Join(effect(ctx), errCommit) }
		}
		if work.Park != nil && p%2 == 1 && strike("park", p) {
			return errCommit
		}
		return inner(ctx, work)
	}
	r := w.recorder()
	set := r.setTx("one", func(ctx context.Context, c call) error {
		if err := w.echo(ctx, c); err != nil {
			return err
		}
		switch {
		case c.position%5 == 1 && strike("error", c.position):
			return errTest
		case c.position%5 == 2 && strike("panic", c.position):
			panic("boom")
		}
		return nil
	}, handler.WithPolicy(handler.Policy{Attempts: 10, Initial: 200 * time.Millisecond}))
	s := w.start(set)
	w.publishMany(keys, 1, n/2)
	w.eventually("some are handled", r.counted(keys*n/4))
	s.halt()
	w.close()
	s = w.start(set)
	w.publishMany(keys, n/2+1, n)
	w.eventually("all is settled", w.settled("one"))
	counts := w.echoes()
	require.Len(w, counts, keys*n)
	for id, count := range counts {
		require.Equal(w, 1, count, "effects of %s", id)
	}
	require.Empty(w, w.letters("one"))
	s.halt()
}

func atLeastOnce(w *world) {
	const keys, n = 4, 3
	var mu sync.Mutex
	failed := map[int64]int{}
	h := w.hook()
	h.settle = func(ctx context.Context, work settle.Work, inner func(context.Context, settle.Work) error) error {
		mu.Lock()
		failed[work.Event.Position]++
		fail := failed[work.Event.Position] <= 4 // more often than there are attempts
		mu.Unlock()
		if fail {
			return errCommit
		}
		return inner(ctx, work)
	}
	r := w.recorder()
	w.start(r.set("one", w.echo))
	w.publishMany(keys, 1, n)
	w.eventually("all is settled", w.settled("one"))
	counts := w.echoes()
	require.Len(w, counts, keys*n)
	for id, count := range counts {
		require.Equal(w, 5, count, "effects of %s", id)
	}
	for _, c := range r.all() {
		require.Equal(w, 1, c.attempt, "that the record failed is not the event's fault")
	}
	require.Empty(w, w.letters("one"))
}
