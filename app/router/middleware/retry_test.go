package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/app/router/middleware"
	"github.com/leat-dev/leat/app/settle"
	"github.com/leat-dev/leat/domain"
)

var errStore = errors.New("the store is down")

func half() float64 { return 0.5 }

func TestRetryParks(t *testing.T) {
	t.Parallel()
	policy := handler.Policy{Attempts: 10, Initial: time.Second, Max: 5 * time.Second, Multiplier: 2, Jitter: 0.5}
	for _, test := range []struct {
		failed int
		random float64
		err    error
		want   settle.Parked
	}{
		// Grows, up to a limit, with jitter.
		{0, 0, errTest, settle.Parked{State: settle.Failed, Attempts: 1, Due: after(500 * time.Millisecond), Reason: "no luck"}},
		{0, 0.5, errTest, settle.Parked{State: settle.Failed, Attempts: 1, Due: after(750 * time.Millisecond), Reason: "no luck"}},
		{1, 0, errTest, settle.Parked{State: settle.Failed, Attempts: 2, Due: after(time.Second), Reason: "no luck"}},
		{2, 0, errTest, settle.Parked{State: settle.Failed, Attempts: 3, Due: after(2 * time.Second), Reason: "no luck"}},
		{3, 0, errTest, settle.Parked{State: settle.Failed, Attempts: 4, Due: after(2500 * time.Millisecond), Reason: "no luck"}},
		{8, 0, errTest, settle.Parked{State: settle.Failed, Attempts: 9, Due: after(2500 * time.Millisecond), Reason: "no luck"}},
		// A schema of the future is not the event's failure.
		{9, 0, fmt.Errorf("x: %w", event.ErrNewerSchema), settle.Parked{
			State: settle.Held, Attempts: 9, Due: after(time.Minute), Reason: "x: " + event.ErrNewerSchema.Error(),
		}},
	} {
		t.Run(fmt.Sprintf("%d failed, random %v", test.failed, test.random), func(t *testing.T) {
			t.Parallel()
			b := setup(t, test.failed, handler.On(nothing))
			_, err := middleware.Retry(policy, b.clock, func() float64 { return test.random }, b.logger)(fails(test.err))(b.m)
			require.NoError(t, err)
			require.Equal(t, settle.Retried, b.attempt.Outcome())
			works := b.works()
			require.Len(t, works, 1)
			require.Equal(t, test.failed == 0, works[0].First)
			got := *works[0].Park
			want := test.want
			want.Position, want.Slot, want.Key = got.Position, b.attempt.Event.Slot, "t\x00a"
			want.Due = b.clock.Now().UTC().Add(want.Due.Sub(time.Time{}))
			require.Equal(t, want, got)
		})
	}
}

// after is a time relative to the clock's.
func after(d time.Duration) time.Time { return time.Time{}.Add(d) }

func TestRetryGivesUp(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		failed   int
		err      error
		attempts int
	}{
		"after the last attempt":       {2, errTest, 3},
		"at once":                      {0, handler.Permanent(errTest), 1},
		"at once, however wrapped":     {1, fmt.Errorf("x: %w", handler.Permanent(handler.Unavailable(errTest))), 2},
		"what is down but for good":    {0, handler.Permanent(domain.Errorf(domain.Unavailable, "GONE", "gone")), 1},
		"after the last attempt again": {5, errTest, 6}, // the policy was shortened since
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, test.failed, handler.On(nothing))
			h := middleware.DeadLetter(b.logger)(middleware.Retry(handler.DefaultPolicy(), b.clock, half, b.logger)(fails(test.err)))
			_, err := h(b.m)
			require.NoError(t, err)
			require.Len(t, b.store.Letters(), 1)
			require.Equal(t, test.attempts, b.store.Letters()[0].Attempts)
		})
	}
}

func TestRetryLeavesWhatIsNotTheEvents(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"unavailable":              handler.Unavailable(errTest),
		"unavailable, wrapped":     fmt.Errorf("x: %w", handler.Unavailable(errTest)),
		"something needed is down": fmt.Errorf("x: %w", domain.Errorf(domain.Unavailable, "DOWN", "down")),
		"the lane is another's":    fmt.Errorf("x: %w", settle.ErrFenced),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, 2, handler.On(nothing)) // the last attempt
			_, got := middleware.Retry(handler.DefaultPolicy(), b.clock, half, b.logger)(fails(err))(b.m)
			require.Equal(t, err, got)
			require.Empty(t, b.works())
		})
	}
}

func TestRetryCannotPark(t *testing.T) {
	t.Parallel()
	b := setup(t, 0, handler.On(nothing))
	b.store.OnSettle = func(settle.Work) error { return errStore }
	_, err := middleware.Retry(handler.DefaultPolicy(), b.clock, half, b.logger)(fails(errTest))(b.m)
	require.ErrorIs(t, err, errStore)
	require.ErrorIs(t, err, errTest)
	require.NotContains(t, b.logs.String(), "is tried again", "before it is so")
}

// Watermill's Retry sleeps while it holds the slot, and Timeout inside it starts every attempt
// after the first with an ended context. Here each attempt is a delivery of its own.
func TestRetryStartsWithALiveContext(t *testing.T) {
	t.Parallel()
	b := setup(t, 0, handler.On(nothing))
	for range 3 {
		live := false
		h := judged(b, context.Background(), func(m *message.Message) ([]*message.Message, error) {
			live = m.Context().Err() == nil
			b.clock.Advance(time.Minute) // times out
			<-m.Context().Done()
			return nil, m.Context().Err()
		})
		_, err := h(b.m)
		require.NoError(t, err)
		require.True(t, live)
		b.m.Ack()
		if b.attempt.Outcome() == settle.Retried {
			b.clock.Advance(time.Minute)
			b.next(t)
		}
	}
	require.Len(t, b.store.Letters(), 1)
}
