package apptest_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leat-dev/leat/app/deadletter"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/wiring"
	"github.com/leat-dev/leat/wiring/apptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type invoices struct {
	issued []string
	fail   func(orderID string) error
}

func (i *invoices) Issue(_ context.Context, orderID string) error {
	if i.fail != nil {
		if err := i.fail(orderID); err != nil {
			return err
		}
	}
	i.issued = append(i.issued, orderID)
	return nil
}

func ship(h *apptest.Harness, orders ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		var drafts []event.Draft
		for _, o := range orders {
			drafts = append(drafts, event.Draft{Event: Shipped{OrderID: o, Email: "ada@example.com"}, Subject: o})
		}
		_, err := h.Publisher.Business(ctx, drafts...)
		return err
	}
}

func TestWhatAUserWritesFitsIn25Lines(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	_, after, _ := bytes.Cut(source, []byte("// begin\n"))
	body, _, ok := bytes.Cut(after, []byte("\n// end"))
	require.True(t, ok)
	require.LessOrEqual(t, bytes.Count(body, []byte("\n"))+1, 25)
}

func TestDoReturnsWhenTheHandlerHasHandled(t *testing.T) {
	t.Parallel()
	inv := &invoices{}
	h := apptest.New(t, Definitions, Set(inv))
	h.Do(ship(h, "o-1", "o-2"))
	require.ElementsMatch(t, []string{"o-1", "o-2"}, inv.issued)
	require.Len(t, apptest.All[Shipped](t, h), 2)
}

func TestBackoffRunsOnTheClockOfTheTest(t *testing.T) {
	t.Parallel()
	inv := &invoices{}
	failures := 2
	inv.fail = func(string) error {
		if failures--; failures >= 0 {
			return errors.New("no paper")
		}
		return nil
	}
	h := apptest.New(t, Definitions, Set(inv), apptest.ExpectErrors("billing"))
	before := h.Clock.Now()
	h.Do(ship(h, "o-1"))
	require.Equal(t, []string{"o-1"}, inv.issued)
	require.Equal(t, 3, h.Attempts("billing", "order.shipped"))
	require.GreaterOrEqual(t, h.Clock.Now().Sub(before), 6*time.Second, "2s and 4s of back-off")
}

func TestAnEventThatKeepsFailingEndsAmongTheDeadLetters(t *testing.T) {
	t.Parallel()
	inv := &invoices{fail: func(string) error { return errors.New("no paper") }}
	h := apptest.New(t, Definitions, Set(inv), apptest.ExpectErrors("billing"))
	h.Do(ship(h, "o-1"))
	letters, _, err := h.DeadLetters.DeadLetters(h.Context(), deadletter.Filter{Tenant: apptest.Tenant})
	require.NoError(t, err)
	require.Len(t, letters, 1)
	require.Equal(t, "no paper", letters[0].Reason)
	require.Equal(t, 3, letters[0].Attempts)

	inv.fail = nil
	h.Do(func(ctx context.Context) error {
		return h.DeadLetters.RetryDeadLetter(ctx, apptest.Tenant, letters[0].ID(), "tester")
	})
	require.Equal(t, []string{"o-1"}, inv.issued)
}

type Billed struct {
	OrderID string `json:"order_id"`
}

func (Billed) EventType() string { return "order.billed" }

func TestWhatAHandlerPublishesIsWaitedForAndCorrelated(t *testing.T) {
	t.Parallel()
	more := event.Definitions{event.Define[Billed](event.Business)}
	h := apptest.New(t, Definitions, more, func(kit wiring.Kit) handler.Set {
		return handler.NewSet("billing", handler.OnTx(func(ctx context.Context, e Shipped) error {
			_, err := kit.Publisher.Business(ctx, event.Draft{Event: Billed{OrderID: e.OrderID}, Subject: e.OrderID})
			return err
		}))
	}, apptest.OnBus("sql"))
	h.Do(ship(h, "o-1"))
	require.Equal(t, Billed{OrderID: "o-1"}, apptest.One[Billed](t, h))
	events := h.Events()
	require.Len(t, events, 2)
	require.Equal(t, events[0].ID, events[1].CausationID)
	require.Equal(t, events[0].CorrelationID, events[1].CorrelationID)
}
