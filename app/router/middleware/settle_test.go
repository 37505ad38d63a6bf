package middleware_test

import (
	"context"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/app/router/middleware"
	"github.com/leat-dev/leat/app/settle"
)

func TestSettle(t *testing.T) {
	t.Parallel()
	for name, reaction := range map[string]handler.Option{"On": handler.On(nothing), "OnTx": handler.OnTx(nothing)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, 0, reaction)
			before := -1
			_, err := middleware.Settle(b.set)(func(*message.Message) ([]*message.Message, error) {
				before = len(b.works())
				return nil, nil
			})(b.m)
			require.NoError(t, err)
			require.Zero(t, before, "the effect comes before the record")
			require.Equal(t, settle.Handled, b.attempt.Outcome())
			works := b.works()
			require.Len(t, works, 1)
			require.Equal(t, name == "OnTx", works[0].Effect != nil)
			require.Nil(t, works[0].Park)
			require.Nil(t, works[0].Dead)

			b = setup(t, 0, reaction)
			_, err = middleware.Settle(b.set)(fails(errTest))(b.m)
			require.ErrorIs(t, err, errTest)
			require.False(t, handler.IsUnavailable(err))
			require.Empty(t, b.works())
			require.Equal(t, settle.Unsettled, b.attempt.Outcome())
		})
	}
}

// That the record cannot be written is not the event's fault.
func TestSettleStoreDown(t *testing.T) {
	t.Parallel()
	for name, reaction := range map[string]handler.Option{"On": handler.On(nothing), "OnTx": handler.OnTx(nothing)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, 0, reaction)
			b.store.OnSettle = func(settle.Work) error { return errStore }
			_, err := middleware.Settle(b.set)(fails(nil))(b.m)
			require.ErrorIs(t, err, errStore)
			require.True(t, handler.IsUnavailable(err))
			require.Equal(t, settle.Unsettled, b.attempt.Outcome())
		})
	}
}

// An effect outside the transaction that was made in time is recorded, though time is over now.
func TestSettleAfterTheDeadline(t *testing.T) {
	t.Parallel()
	b := setup(t, 0, handler.On(nothing))
	ctx, cancel := context.WithCancel(b.m.Context())
	b.m.SetContext(ctx)
	var given error
	b.store.OnSettle = func(settle.Work) error { return given }
	_, err := middleware.Settle(b.set)(func(*message.Message) ([]*message.Message, error) {
		cancel()
		return nil, nil
	})(b.m)
	require.NoError(t, err)
	require.Equal(t, settle.Handled, b.attempt.Outcome())
}

func TestSettlePanicInTheTransaction(t *testing.T) {
	t.Parallel()
	b := setup(t, 0, handler.OnTx(nothing))
	outer := b.m.Context()
	_, err := middleware.Settle(b.set)(func(*message.Message) ([]*message.Message, error) { panic("boom") })(b.m)
	var p *middleware.PanicError
	require.ErrorAs(t, err, &p)
	require.Contains(t, string(p.Stack), "settle_test.go", "the stack shows where it came from")
	require.Empty(t, b.works())
	require.Equal(t, outer, b.m.Context())
}
