package middleware_test

import (
	"context"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/router/middleware"
)

func TestTimeout(t *testing.T) {
	t.Parallel()
	clock := clockwork.NewFakeClock()
	m := message.NewMessage("1", nil)
	outer := m.Context()
	_, err := middleware.Timeout(time.Second, clock)(func(m *message.Message) ([]*message.Message, error) {
		clock.Advance(time.Second)
		<-m.Context().Done()
		return nil, errTest
	})(m)
	require.ErrorIs(t, err, middleware.ErrTimeout)
	require.ErrorIs(t, err, errTest)
	require.Equal(t, "the attempt took too long: more than 1s: no luck", err.Error())
	require.Equal(t, outer, m.Context(), "what follows gets the context from before")
}

func TestTimeoutInTime(t *testing.T) {
	t.Parallel()
	clock := clockwork.NewFakeClock()
	m := message.NewMessage("1", nil)
	var inner context.Context
	_, err := middleware.Timeout(time.Second, clock)(func(m *message.Message) ([]*message.Message, error) {
		inner = m.Context()
		clock.Advance(time.Second - 1)
		return nil, errTest
	})(m)
	require.Equal(t, errTest, err)
	require.Error(t, inner.Err(), "the attempt's context ends with it")
	clock.Advance(time.Hour)
	require.NotErrorIs(t, context.Cause(inner), middleware.ErrTimeout)
}

// An effect that was made although time ran out is made.
func TestTimeoutButDone(t *testing.T) {
	t.Parallel()
	clock := clockwork.NewFakeClock()
	_, err := middleware.Timeout(time.Second, clock)(func(m *message.Message) ([]*message.Message, error) {
		clock.Advance(time.Second)
		<-m.Context().Done()
		return nil, nil
	})(message.NewMessage("1", nil))
	require.NoError(t, err)
}

func TestTimeoutOfTheOuterContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(middleware.ErrDrained)
	m := message.NewMessage("1", nil)
	m.SetContext(ctx)
	_, err := middleware.Timeout(time.Second, clockwork.NewFakeClock())(fails(errTest))(m)
	require.Equal(t, errTest, err, "the time for draining is not the attempt's timeout")
}
