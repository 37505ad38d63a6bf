package settle_test

import (
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/app/settle"
)

func TestPauser(t *testing.T) {
	t.Parallel()
	clock := clockwork.NewFakeClock()
	p := settle.NewPauser(handler.Policy{Initial: 2 * time.Second, Max: time.Second, Multiplier: 2, Jitter: 0.5}, clock)
	require.Zero(t, p.Left())
	for _, ms := range []int{100, 200, 400, 800, 1000, 1000} {
		want := time.Duration(ms) * time.Millisecond
		require.Equal(t, want, p.Failed())
		require.Equal(t, want, p.Left())
		clock.Advance(want / 2)
		require.Equal(t, want/2, p.Failed(), "what one lane found down the others need not find again")
		clock.Advance(want / 2)
		require.LessOrEqual(t, p.Left(), time.Duration(0))
	}
	p.Succeeded()
	require.Zero(t, p.Left())
	require.Equal(t, 100*time.Millisecond, p.Failed())
}

func TestPauserIsQuickWhereThePolicyIs(t *testing.T) {
	t.Parallel()
	p := settle.NewPauser(handler.Policy{Initial: time.Millisecond, Max: 3 * time.Millisecond, Multiplier: 2}, clockwork.NewFakeClock())
	require.Equal(t, time.Millisecond, p.Failed())
}
