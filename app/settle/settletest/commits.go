package settletest

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/settle"
)

func afterCommitOfEffect(t *testing.T, f *fixture) {
	f.register(t, "s")
	events := f.log(t, 2)
	now := events[0]
	l := f.mustAcquire(t, "s", 0, "a")
	never := func() { t.Error("it ran without a commit") }
	settleWith := func(ctx context.Context, lease settle.Lease, effect func(ctx context.Context) error) error {
		return f.Settle(ctx, settle.Work{Lease: lease, Event: now, First: true, Effect: effect})
	}
	require.ErrorIs(t, settleWith(ctxOf(t), l, func(ctx context.Context) error {
		f.AfterCommit(ctx, never)
		return errTest
	}), errTest)
	require.PanicsWithValue(t, "boom", func() {
		_ = settleWith(ctxOf(t), l, func(ctx context.Context) error {
			f.AfterCommit(ctx, never)
			panic("boom")
		})
	})
	old := l
	old.Fence--
	require.ErrorIs(t, settleWith(ctxOf(t), old, func(ctx context.Context) error {
		f.AfterCommit(ctx, never)
		return nil
	}), settle.ErrFenced)

	var calls []string
	effect := func(ctx context.Context) error {
		require.True(t, f.InTransaction(ctx))
		f.AfterCommit(ctx, func() {
			calls = append(calls, "effect")
			require.Equal(t, now.Position, f.status(t, "s").Cursors[now.Slot], "it runs after the commit")
		})
		_ = f.InTx(ctx, func(ctx context.Context) error {
			f.AfterCommit(ctx, never)
			return errTest
		})
		err := f.InTx(ctx, func(ctx context.Context) error {
			f.AfterCommit(ctx, func() { calls = append(calls, "nested") })
			return nil
		})
		require.Empty(t, calls)
		return err
	}
	require.NoError(t, settleWith(ctxOf(t), l, effect))
	require.Equal(t, []string{"effect", "nested"}, calls, "it has run when Settle returns")

	// In a transaction of the caller it waits for that one's commit.
	calls, now = nil, events[1]
	require.ErrorIs(t, f.InTx(ctxOf(t), func(ctx context.Context) error {
		return errors.Join(settleWith(ctx, l, effect), errTest)
	}), errTest)
	require.Empty(t, calls)
	require.NoError(t, f.InTx(ctxOf(t), func(ctx context.Context) error { return settleWith(ctx, l, effect) }))
	require.Equal(t, []string{"effect", "nested"}, calls)
}

// afterSharedCommit settles on many lanes at once; what follows the commit of one that fails never
// runs, that of its neighbours once each.
func afterSharedCommit(t *testing.T, f *fixture) {
	const lanes = 16
	f.register(t, "s")
	events := f.log(t, 8*lanes)
	var order [lanes][]event.Envelope
	for _, e := range events {
		order[e.Slot%lanes] = append(order[e.Slot%lanes], e)
	}
	var leases [lanes]settle.Lease
	for i := range leases {
		leases[i] = f.mustAcquire(t, "s", i, "a")
	}
	var want, ran, wrong atomic.Int64
	together(lanes, func(i int) {
		for n, e := range order[i] {
			fails := (i+n)%3 == 0
			mine := int64(0) // of this goroutine alone: the caller runs what follows
			err := f.Settle(ctxOf(t), settle.Work{Lease: leases[i], Event: e, First: true, Effect: func(ctx context.Context) error {
				f.AfterCommit(ctx, func() { mine++ })
				if fails {
					return errTest
				}
				return f.effect("effect of " + e.ID)(ctx)
			}})
			switch {
			case fails != errors.Is(err, errTest), !fails && err != nil:
				t.Errorf("settle %s: got %v", e.ID, err)
			case fails && mine != 0:
				wrong.Add(1)
			case !fails:
				want.Add(1)
				ran.Add(mine)
			}
		}
	})
	require.Zero(t, wrong.Load(), "it ran after a failure")
	require.Equal(t, want.Load(), ran.Load())
}
