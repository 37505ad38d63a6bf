package middleware_test

import (
	"context"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/deadletter"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/app/router/middleware"
	"github.com/leat-dev/leat/app/settle"
)

// judged is the part of the chain that judges errors, as the router builds it.
func judged(b *bundle, deadline context.Context, next message.HandlerFunc) message.HandlerFunc {
	next = middleware.Timeout(time.Minute, b.clock)(middleware.Recover()(middleware.Settle(b.set)(next)))
	next = middleware.Retry(handler.DefaultPolicy(), b.clock, half, b.logger)(next)
	return middleware.Drain(deadline)(middleware.DeadLetter(b.logger)(next))
}

// Watermill's PoisonQueue keeps no count, poisons context.Canceled, publishes with the handler's dead
// context, and is bypassed by a panic when Recoverer is outside it.
func TestDeadLetter(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		do     func(m *message.Message) error
		reason string
	}{
		"a failure":      {func(*message.Message) error { return errTest }, "no luck"},
		"a panic":        {func(*message.Message) error { panic("boom") }, "panic: boom"},
		"its own cancel": {func(*message.Message) error { return context.Canceled }, "context canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, 2, handler.On(nothing))
			_, err := judged(b, context.Background(), func(m *message.Message) ([]*message.Message, error) { return nil, test.do(m) })(b.m)
			require.NoError(t, err, "the message is acked")
			require.Equal(t, settle.Dead, b.attempt.Outcome())
			letters := b.store.Letters()
			require.Len(t, letters, 1)
			l := letters[0]
			require.Equal(t, []any{"one", "e1", 3, test.reason, deadletter.Open, b.clock.Now().UTC()},
				[]any{l.Set, l.Event.ID, l.Attempts, l.Reason, l.State, l.Failed})
			require.Contains(t, b.logs.String(), "gave up on an event")
		})
	}
}

func TestDeadLetterAfterTimeout(t *testing.T) {
	t.Parallel()
	b := setup(t, 2, handler.On(nothing))
	b.store.OnSettle = func(w settle.Work) error { return nil }
	_, err := judged(b, context.Background(), func(m *message.Message) ([]*message.Message, error) {
		b.clock.Advance(time.Minute)
		<-m.Context().Done()
		return nil, m.Context().Err()
	})(b.m)
	require.NoError(t, err)
	require.Len(t, b.store.Letters(), 1)
	require.Equal(t, "the attempt took too long: more than 1m0s: context canceled", b.store.Letters()[0].Reason)
}

func TestDeadLetterNotWhenDrained(t *testing.T) {
	t.Parallel()
	b := setup(t, 2, handler.On(nothing))
	deadline, expire := context.WithCancel(context.Background())
	_, err := judged(b, deadline, func(m *message.Message) ([]*message.Message, error) {
		expire()
		<-m.Context().Done()
		return nil, m.Context().Err()
	})(b.m)
	require.Error(t, err, "the message is not acked")
	require.Equal(t, settle.Unsettled, b.attempt.Outcome())
	require.Empty(t, b.works())
}

func TestDeadLetterCannotBeWritten(t *testing.T) {
	t.Parallel()
	b := setup(t, 2, handler.On(nothing))
	b.store.OnSettle = func(settle.Work) error { return errStore }
	_, err := judged(b, context.Background(), fails(errTest))(b.m)
	require.ErrorIs(t, err, errTest)
	require.ErrorIs(t, err, errStore)
	require.Equal(t, settle.Unsettled, b.attempt.Outcome())
}
