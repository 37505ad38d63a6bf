package handler_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/handler"
)

func TestControlErrors(t *testing.T) {
	t.Parallel()
	require.NoError(t, handler.Permanent(nil))
	require.NoError(t, handler.Unavailable(nil))
	for name, test := range map[string]struct {
		err                    error
		permanent, unavailable bool
	}{
		"plain":       {errTest, false, false},
		"none":        {nil, false, false},
		"permanent":   {handler.Permanent(errTest), true, false},
		"unavailable": {handler.Unavailable(errTest), false, true},
		"wrapped":     {fmt.Errorf("x: %w", handler.Permanent(fmt.Errorf("y: %w", errTest))), true, false},
		"the outer":   {handler.Permanent(handler.Unavailable(errTest)), true, false},
		"the outer 2": {handler.Unavailable(handler.Permanent(errTest)), false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.permanent, handler.IsPermanent(test.err))
			require.Equal(t, test.unavailable, handler.IsUnavailable(test.err))
			if test.err != nil {
				require.ErrorIs(t, test.err, errTest)
			}
		})
	}
	require.Equal(t, "no luck", handler.Permanent(errTest).Error())
}

func TestDelivery(t *testing.T) {
	t.Parallel()
	require.Zero(t, handler.DeliveryFrom(context.Background()))
	d := handler.Delivery{Set: "one", Attempt: 2, Redriven: true}
	require.Equal(t, d, handler.DeliveryFrom(handler.WithDelivery(context.Background(), d)))
}
