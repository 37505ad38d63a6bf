package settletest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/deadletter"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/settle"
	"github.com/leat-dev/leat/domain"
)

func failing(effect func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := effect(ctx); err != nil {
			return err
		}
		return errTest
	}
}

func deliveries(t *testing.T, f *fixture) {
	ctx := ctxOf(t)
	sets := []string{"behind", "dead", "discarded", "failed", "handled", "held", "pending", "redriven"}
	for _, set := range sets {
		f.register(t, set)
	}
	require.NoError(t, f.Register(ctx, settle.Registration{Set: "not interested", Types: []string{"x.y"}}))
	e := f.log(t, 1)[0]
	f.register(t, "too late")
	require.NoError(t, f.Register(ctx, settle.Registration{Set: "too late but all", Types: []string{typ}, FromStart: true}))
	for _, set := range sets {
		w := settle.Work{Lease: f.mustAcquire(t, set, 0, "a"), Event: e, First: true}
		switch set {
		case "behind":
			w.Park = parkedOf(e, settle.Behind, 0)
			w.Park.Reason, w.Park.Due = "", time.Time{}
		case "failed":
			w.Park = parkedOf(e, settle.Failed, 2)
		case "held":
			w.Park = parkedOf(e, settle.Held, 1)
		case "dead", "discarded", "redriven":
			w.Dead = letterOf(set, e, 3)
		case "pending":
			continue
		}
		f.mustSettle(t, w)
	}
	require.NoError(t, f.DiscardDeadLetter(ctx, "acme", deadletter.Letter{Set: "discarded", Event: e}.ID(), "ann"))
	require.NoError(t, f.RetryDeadLetter(ctx, "acme", deadletter.Letter{Set: "redriven", Event: e}.ID(), "ann"))

	got, err := f.Deliveries(ctx, "acme", e.ID)
	require.NoError(t, err)
	require.Equal(t, []settle.Delivery{
		{Set: "behind", State: settle.DeliveryWaiting},
		{Set: "dead", State: settle.DeliveryDead, Attempts: 3, Reason: "reason 3"},
		{Set: "discarded", State: settle.DeliveryDiscarded, Attempts: 3, Reason: "reason 3"},
		{Set: "failed", State: settle.DeliveryRetrying, Attempts: 2, Due: start.Add(2 * time.Minute), Reason: "reason 2"},
		{Set: "handled", State: settle.DeliveryHandled},
		{Set: "held", State: settle.DeliveryHeld, Attempts: 1, Due: start.Add(time.Minute), Reason: "reason 1"},
		{Set: "pending", State: settle.DeliveryPending},
		{Set: "redriven", State: settle.DeliveryRetrying, Due: start, Reason: "reason 3"},
		{Set: "too late but all", State: settle.DeliveryPending},
	}, got)

	_, err = f.Deliveries(ctx, "other", e.ID)
	require.Equal(t, domain.NotFound, domain.KindOf(err), "an event of another tenant")
}

func backlog(t *testing.T, f *fixture) {
	ctx := ctxOf(t)
	count := func() map[string]int {
		b, err := f.Backlog(ctx)
		require.NoError(t, err)
		return b
	}
	require.Empty(t, count())
	f.register(t, "some")
	require.NoError(t, f.Register(ctx, settle.Registration{Set: "none", Types: []string{}}))
	require.NoError(t, f.Register(ctx, settle.Registration{Set: "both", Types: []string{"a.b", typ}}))
	for i := range 30 {
		e := envelope(fmt.Sprint(i), fmt.Sprint(i))
		if i%3 == 0 {
			e.Type = "a.b"
		}
		_, err := f.Append(ctx, []event.Envelope{e})
		require.NoError(t, err)
	}
	events := f.holds(t, 30)
	require.Equal(t, map[string]int{"some": 20, "none": 0, "both": 30}, count())
	l := f.mustAcquire(t, "some", 0, "a")
	for _, e := range events[:10] {
		if e.Type == typ {
			f.mustSettle(t, settle.Work{Lease: l, Event: e, First: true})
		}
	}
	cursors := f.status(t, "some").Cursors
	want := 0
	for _, e := range events {
		if e.Type == typ && e.Position > cursors[e.Slot] {
			want++
		}
	}
	require.Equal(t, map[string]int{"some": want, "none": 0, "both": 30}, count())
	all := map[int]int64{}
	for slot := range event.Slots {
		all[slot] = events[29].Position
	}
	require.NoError(t, f.Advance(ctx, l, all))
	require.Zero(t, count()["some"])
}
