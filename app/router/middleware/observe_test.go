package middleware_test

import (
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/app/router/middleware"
)

type observation struct {
	set, typ, result string
	attempt          int
	took             time.Duration
}

type observer struct {
	began []string
	seen  []observation
}

func (o *observer) Began(set, typ string) { o.began = append(o.began, set+" "+typ) }

func (o *observer) Handled(set, typ, result string, attempt int, took time.Duration) {
	o.seen = append(o.seen, observation{set, typ, result, attempt, took})
}

func TestObserve(t *testing.T) {
	t.Parallel()
	o := &observer{}
	run := func(failed int, err error) {
		b := setup(t, failed, handler.On(nothing))
		h := middleware.Settle(b.set)(func(*message.Message) ([]*message.Message, error) {
			b.clock.Advance(time.Second)
			return nil, err
		})
		h = middleware.DeadLetter(b.logger)(middleware.Retry(handler.DefaultPolicy(), b.clock, half, b.logger)(h))
		_, _ = middleware.Correlate()(middleware.Observe(o, "one", b.clock)(h))(b.m)
	}
	run(0, nil)
	run(1, errTest)
	run(2, errTest)
	run(1, handler.Unavailable(errTest))
	require.Equal(t, []observation{
		{"one", "thing.made", "handled", 1, time.Second},
		{"one", "thing.made", "retried", 2, time.Second},
		{"one", "thing.made", "dead", 3, time.Second},
		{"one", "thing.made", "unsettled", 2, time.Second},
	}, o.seen)
	require.Len(t, o.began, 4)
	require.Equal(t, "one thing.made", o.began[0])

	// A set without a record.
	o.seen = nil
	b := setup(t, 0, handler.On(nothing))
	for _, err := range []error{nil, errTest} {
		_, _ = middleware.Correlate()(middleware.Observe(o, "feed", b.clock)(fails(err)))(event.ToMessage(anEvent))
	}
	require.Equal(t, []observation{{"feed", "thing.made", "handled", 1, 0}, {"feed", "thing.made", "unsettled", 1, 0}}, o.seen)
}

func TestObserveNobody(t *testing.T) {
	t.Parallel()
	b := setup(t, 0, handler.On(nothing))
	_, err := middleware.Observe(nil, "one", b.clock)(fails(errTest))(b.m)
	require.ErrorIs(t, err, errTest)
}
