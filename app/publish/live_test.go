package publish_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/app/publish"
	"github.com/leat-dev/leat/domain"
)

type progressed struct {
	Percent int `json:"percent"`
}

func (progressed) EventType() string { return "build.progressed" }

// fastPath is a live feed that keeps what it is given.
type fastPath struct {
	pushed, unrecorded []event.Envelope
	went               bool
	err                error
}

func (f *fastPath) Push(events []event.Envelope) { f.pushed = append(f.pushed, events...) }

func (f *fastPath) PushUnrecorded(_ context.Context, events []event.Envelope) (bool, error) {
	f.unrecorded = append(f.unrecorded, events...)
	return f.went, f.err
}

type txKey struct{}

// commits is a store's transactions: what is to run after the commit waits in a list.
type commits struct{ after []func() }

func (c *commits) AfterCommit(ctx context.Context, fn func()) {
	if !c.InTransaction(ctx) {
		fn()
		return
	}
	c.after = append(c.after, fn)
}

func (c *commits) InTransaction(ctx context.Context) bool { return ctx.Value(txKey{}) != nil }

type liveBundle struct {
	*publish.Publisher
	log      *log
	live     *fastPath
	commits  *commits
	observer *observer
}

func setupLive(t testing.TB, cfg publish.Config) *liveBundle {
	t.Helper()
	c, err := event.NewCatalogue(event.Definitions{
		event.Define[started](event.Business), event.Define[progressed](event.Business, event.Realtime()),
	})
	require.NoError(t, err)
	b := &liveBundle{log: &log{}, live: &fastPath{}, commits: &commits{}, observer: &observer{}}
	b.Publisher = publish.New(cfg, c, b.log, clockwork.NewFakeClockAt(now), b.observer, publish.WithLive(b.live, b.commits))
	return b
}

func idsOf(events []event.Envelope) []string {
	var ids []string
	for _, e := range events {
		ids = append(ids, e.ID)
	}
	return ids
}

func TestRealTimeEventsGoTheFastPath(t *testing.T) {
	t.Parallel()
	b := setupLive(t, publish.Config{})
	ctx := as(t.Context(), "acme", "", "")
	_, err := b.Publish(ctx,
		event.Draft{Event: progressed{1}, ID: "p1"}, event.Draft{Event: started{"x"}, ID: "s"}, event.Draft{Event: progressed{2}, ID: "p2"})
	require.NoError(t, err)
	require.Equal(t, []string{"p1", "p2"}, idsOf(b.live.pushed))
	require.Equal(t, b.log.events[0], b.live.pushed[0], "as the log has it")

	_, err = b.PublishRaw(ctx, event.Raw{Type: "build.progressed", ID: "p3", Data: []byte(`{"percent":3}`)})
	require.NoError(t, err)
	require.Equal(t, []string{"p1", "p2", "p3"}, idsOf(b.live.pushed))

	_, err = b.Publish(ctx, event.Draft{Event: progressed{1}, ID: "p4"}, event.Draft{Event: started{}})
	require.Error(t, err)
	b.log.err = errors.New("disk full")
	_, err = b.Publish(ctx, event.Draft{Event: progressed{1}, ID: "p5"})
	require.Error(t, err)
	require.Len(t, b.live.pushed, 3, "what was not accepted")
	require.Empty(t, b.live.unrecorded)
}

func TestDuplicatesAreNotSentAgain(t *testing.T) {
	t.Parallel()
	b := setupLive(t, publish.Config{})
	b.log.known = map[string]bool{"p1": true}
	_, err := b.Publish(as(t.Context(), "acme", "", ""), event.Draft{Event: progressed{1}, ID: "p1"}, event.Draft{Event: progressed{2}, ID: "p2"})
	require.NoError(t, err)
	require.Equal(t, []string{"p2"}, idsOf(b.live.pushed))
}

func TestInATransactionTheFastPathWaitsForTheCommit(t *testing.T) {
	t.Parallel()
	b := setupLive(t, publish.Config{Unrecorded: true})
	b.live.went = true
	ctx := context.WithValue(as(t.Context(), "acme", "", ""), txKey{}, true)
	_, err := b.Publish(ctx, event.Draft{Event: started{"x"}, ID: "s"})
	require.NoError(t, err)
	require.Empty(t, b.commits.after, "nothing real-time, nothing to do")
	_, err = b.Publish(ctx, event.Draft{Event: progressed{1}, ID: "p"})
	require.NoError(t, err)
	require.Empty(t, b.live.pushed)
	for _, fn := range b.commits.after {
		fn()
	}
	require.Equal(t, []string{"p"}, idsOf(b.live.pushed))

	b.log.err = logDown
	_, err = b.Publish(ctx, event.Draft{Event: progressed{1}, ID: "q"})
	require.Equal(t, "STORE_UNAVAILABLE", faultOf(t, err))
	require.Empty(t, b.live.unrecorded, "what the state did not keep goes nowhere")
}

var logDown = &domain.Error{Kind: domain.Unavailable, Code: "STORE_UNAVAILABLE", Message: "no connection"}

func TestUnrecorded(t *testing.T) {
	t.Parallel()
	b := setupLive(t, publish.Config{Unrecorded: true})
	b.live.went, b.log.err = true, logDown
	ctx := as(t.Context(), "acme", "", "")

	_, err := b.Publish(ctx, event.Draft{Event: progressed{1}, ID: "p"})
	require.Equal(t, publish.CodeUnrecorded, faultOf(t, err))
	require.Equal(t, domain.Unavailable, domain.KindOf(err))
	require.ErrorIs(t, err, logDown)
	require.ErrorContains(t, err, "event p went out to the live feed only, unrecorded")
	require.Equal(t, []string{"p"}, idsOf(b.live.unrecorded))
	require.True(t, b.live.unrecorded[0].Unrecorded)
	require.Equal(t, []string{"build.progressed"}, b.observer.unrecorded)
	require.Equal(t, err, b.observer.calls[0].err, "it is counted as a failure, too")

	b.live.err = errors.New("nats: no connection")
	_, err = b.Publish(ctx, event.Draft{Event: progressed{1}, ID: "p2"}, event.Draft{Event: started{"x"}, ID: "s"})
	require.ErrorContains(t, err, "1 of 2 events went out")
	require.ErrorContains(t, err, "not all of the feed could be reached: nats: no connection")
	require.Equal(t, []string{"p", "p2"}, idsOf(b.live.unrecorded))

	b.live.went = false
	_, err = b.Publish(ctx, event.Draft{Event: progressed{1}})
	require.Equal(t, "STORE_UNAVAILABLE", faultOf(t, err))
	require.ErrorIs(t, err, logDown)
	require.ErrorContains(t, err, "neither the log nor the live feed took the event")
	require.Len(t, b.observer.unrecorded, 2)
	require.Empty(t, b.live.pushed)
}

func TestWhatNeverGoesOutUnrecorded(t *testing.T) {
	t.Parallel()
	gone, cancel := context.WithCancel(as(t.Context(), "acme", "", ""))
	cancel()
	for name, test := range map[string]struct {
		ctx   context.Context
		event domain.Event
		err   error
		off   bool
	}{
		"not real-time":              {event: started{"x"}, err: logDown},
		"not wanted":                 {event: progressed{1}, err: logDown, off: true},
		"the fault is the event's":   {event: progressed{1}, err: &domain.Error{Kind: domain.Conflict, Code: "X"}},
		"an unknown fault":           {event: progressed{1}, err: errors.New("x")},
		"the process is stopping":    {event: progressed{1}, err: &domain.Error{Kind: domain.Unavailable, Code: "STORE_CLOSED"}},
		"the caller has gone":        {ctx: gone, event: progressed{1}, err: logDown},
		"a handler will do it again": {ctx: event.WithHandled(t.Context(), event.Envelope{ID: "cause", Tenant: "acme"}), event: progressed{1}, err: logDown},
		"a transaction was not kept": {ctx: context.WithValue(as(t.Context(), "acme", "", ""), txKey{}, true), event: progressed{1}, err: logDown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupLive(t, publish.Config{Unrecorded: !test.off})
			b.live.went, b.log.err = true, test.err
			ctx := test.ctx
			if ctx == nil {
				ctx = as(t.Context(), "acme", "", "")
			}
			_, err := b.Publish(ctx, event.Draft{Event: test.event})
			require.ErrorIs(t, err, test.err)
			require.NotContains(t, err.Error(), "unrecorded")
			require.Empty(t, b.live.unrecorded)
			require.Empty(t, b.observer.unrecorded)
		})
	}
}

// What is not real-time costs the same with a fast path and without one.
func TestTheFastPathCostsOthersNothing(t *testing.T) {
	c, err := event.NewCatalogue(event.Definitions{event.Define[started](event.Business)})
	require.NoError(t, err)
	ctx := as(t.Context(), "acme", "", "")
	allocations := func(options ...publish.Option) float64 {
		p := publish.New(publish.Config{}, c, sink{}, clockwork.NewFakeClockAt(now), nil, options...)
		return testing.AllocsPerRun(200, func() {
			if _, err := p.Publish(ctx, event.Draft{Event: started{"x"}, ID: "e"}); err != nil {
				t.Fatal(err)
			}
		})
	}
	require.Equal(t, allocations(), allocations(publish.WithLive(&fastPath{}, &commits{})))
}

type sink struct{}

var sinkReceipts = make([]eventlog.Receipt, 1)

func (sink) Append(context.Context, []event.Envelope) ([]eventlog.Receipt, error) {
	return sinkReceipts, nil
}
