package handler_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/leat-dev/leat/app/handler"
)

func TestPolicyOr(t *testing.T) {
	t.Parallel()
	require.Equal(t, handler.DefaultPolicy(), handler.Policy{}.Or(handler.DefaultPolicy()))
	p := handler.Policy{
		Attempts: 1, Initial: 2, Max: 3, Multiplier: 4, Jitter: -1, Lanes: 6, Timeout: 7,
	}
	require.Equal(t, p, p.Or(handler.DefaultPolicy()))
}

func TestPolicyValidate(t *testing.T) {
	t.Parallel()
	require.Empty(t, handler.Policy{}.Validate("x"))
	require.Empty(t, handler.DefaultPolicy().Validate("x"))
	faults := handler.Policy{Attempts: -1, Initial: -1, Max: -1, Multiplier: 0.9, Jitter: 1.1, Lanes: 65, Timeout: -1}.Validate("retry")
	var keys []string
	for _, err := range faults {
		keys = append(keys, err.Error()[:len("retry.")+3])
	}
	require.Equal(t, []string{"retry.att", "retry.ini", "retry.max", "retry.mul", "retry.jit", "retry.lan", "retry.tim"}, keys)
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	p := handler.DefaultPolicy()
	p.Jitter = -1
	for attempts, want := range map[int]time.Duration{
		1: 2 * time.Second, 2: 4 * time.Second, 3: 8 * time.Second, 5: 32 * time.Second, 6: time.Minute, 1000: time.Minute,
	} {
		require.Equal(t, want, p.Backoff(attempts, 0.9), "after %d attempts", attempts)
	}
	rapid.Check(t, func(t *rapid.T) {
		p := handler.DefaultPolicy()
		p.Jitter = rapid.Float64Range(0.01, 1).Draw(t, "jitter")
		attempts := rapid.IntRange(1, 2000).Draw(t, "attempts")
		whole := p
		whole.Jitter = -1
		full := whole.Backoff(attempts, 0)
		got := p.Backoff(attempts, rapid.Float64Range(0, 0.999999).Draw(t, "random"))
		if got > full || got < time.Duration(float64(full)*(1-p.Jitter))-1 || got > p.Max {
			t.Fatalf("pause %v of %v with jitter %v", got, full, p.Jitter)
		}
	})
}
