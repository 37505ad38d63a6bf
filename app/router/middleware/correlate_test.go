package middleware_test

import (
	"context"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/app/publish"
	"github.com/leat-dev/leat/app/router/middleware"
)

type appended []event.Envelope

func (a *appended) Append(_ context.Context, events []event.Envelope) ([]eventlog.Receipt, error) {
	*a = append(*a, events...)
	return make([]eventlog.Receipt, len(events)), nil
}

// Watermill's CorrelationID stamps only the messages that a handler returns, not what it publishes
// through a publisher of its own.
func TestCorrelate(t *testing.T) {
	t.Parallel()
	catalogue, err := event.NewCatalogue(event.Definitions{event.Define[made](event.Business)})
	require.NoError(t, err)
	var log appended
	publisher := publish.New(publish.Config{}, catalogue, &log, clockwork.NewFakeClock(), nil)
	h := middleware.Correlate()(func(m *message.Message) ([]*message.Message, error) {
		handled, ok := event.Handled(m.Context())
		require.True(t, ok)
		require.Equal(t, "e1", handled.ID)
		require.Equal(t, event.Origin{Tenant: "t", Actor: "somebody", CorrelationID: "whole"}, event.OriginFrom(m.Context()))
		_, err := publisher.Publish(m.Context(), event.Draft{Event: made{2}})
		return nil, err
	})

	b := setup(t, 0, handler.On(nothing))
	_, err = h(b.m)
	require.NoError(t, err)
	_, err = h(event.ToMessage(anEvent)) // of a set without a record
	require.NoError(t, err)
	require.Len(t, log, 2)
	for _, e := range log {
		require.Equal(t, []any{"whole", "e1", 2, "t", "somebody"}, []any{e.CorrelationID, e.CausationID, e.Depth, e.Tenant, e.Actor})
	}

	_, err = h(message.NewMessage("x", nil))
	require.ErrorContains(t, err, "ce-specversion")
}
