package bustest

import (
	"context"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/handler"
)

func everyInstance(w *world) {
	const keys, n = 10, 20
	feed, one := w.recorder(), w.recorder()
	w.publishMany(keys, 1, 1)
	w.positioned()
	set := feed.set("feed", func(_ context.Context, c call) error {
		if c.n == 3 {
			return errTest
		}
		if c.n == 4 {
			panic("boom")
		}
		return nil
	}, handler.EveryInstance())
	s := w.start(set, one.set("one", nil))
	w.publishMany(keys, 2, n)
	w.until("all came", feed.counted(keys*(n-1)))
	w.until("the other set is done", w.settled("one"))
	s.halt()
	feed.inOrder(keys, 2, n)
	statuses, err := w.store.Statuses(w.ctx)
	require.NoError(w, err)
	require.NotContains(w, statuses, "feed")
	require.Empty(w, w.letters("feed"))
	require.Empty(w, w.parked("feed"))

	// What was accepted while nobody was there is not brought.
	w.publishMany(keys, n+1, n+1)
	w.positioned()
	later := w.recorder()
	s = w.start(later.set("feed", nil, handler.EveryInstance()))
	w.publishMany(keys, n+2, n+2)
	w.until("all came", later.counted(keys))
	s.halt()
	later.inOrder(keys, n+2, n+2)
}

// inOrder fails unless every event came once and in the order of the log.
func (r *recorder) inOrder(keys, from, to int) {
	r.w.Helper()
	r.everyOnce(keys, from, to)
	last := int64(0)
	for _, c := range r.all() {
		require.Greater(r.w, c.position, last)
		last = c.position
	}
}

func everyInstanceFaulty(w *world) {
	const keys, n = 10, 30
	w.wrapBus = faulty(2)
	feed := w.recorder()
	w.start(feed.set("feed", nil, handler.EveryInstance()))
	for i := 1; i <= n; i += 10 {
		w.publishMany(keys, i, i+9)
		w.eventually("all came", feed.counted(keys*(i+9)))
	}
	feed.inOrder(keys, 1, n)
}
