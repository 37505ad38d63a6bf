package middleware_test

import (
	"context"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/router/middleware"
)

// Watermill's router ends the contexts of messages the moment Close begins, whatever its
// CloseTimeout says: what is in hand would fail, and be counted as failed.
func TestDrain(t *testing.T) {
	t.Parallel()
	pubsub := gochannel.NewGoChannel(gochannel.Config{}, watermill.NopLogger{})
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: 10 * time.Second}, watermill.NopLogger{})
	require.NoError(t, err)
	deadline, expire := context.WithCancel(context.Background())
	defer expire()
	type key struct{}
	raw, given := make(chan context.Context, 1), make(chan context.Context, 1)
	ended := make(chan error, 1)
	h := router.AddConsumerHandler("h", "topic", pubsub, func(m *message.Message) error {
		given <- m.Context()
		<-m.Context().Done()
		ended <- context.Cause(m.Context())
		return nil
	})
	h.AddMiddleware(func(next message.HandlerFunc) message.HandlerFunc {
		return func(m *message.Message) ([]*message.Message, error) {
			raw <- m.Context()
			m.SetContext(context.WithValue(m.Context(), key{}, "kept"))
			return next(m)
		}
	}, middleware.Drain(deadline))
	done := make(chan error, 1)
	go func() { done <- router.Run(context.Background()) }()
	<-router.Running()
	require.NoError(t, pubsub.Publish("topic", message.NewMessage("1", nil)))
	watermills, ours := <-raw, <-given
	closed := make(chan error, 1)
	go func() { closed <- router.Close() }()

	<-watermills.Done() // the trap
	require.NoError(t, ours.Err())
	require.Equal(t, "kept", ours.Value(key{}))
	expire()
	require.ErrorIs(t, <-ended, middleware.ErrDrained)
	require.NoError(t, <-closed)
	require.NoError(t, <-done)
	require.NoError(t, pubsub.Close())
}
