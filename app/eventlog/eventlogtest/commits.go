package eventlogtest

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// kept tells whether the log holds the event, as somebody outside any transaction sees it. Appending it once more
// asks without waiting for positions.
func (f *fixture) kept(t testing.TB, id string) bool {
	t.Helper()
	receipts, err := f.Append(ctxOf(t), many(id, 1))
	require.NoError(t, err)
	return receipts[0].Duplicate
}

func afterCommit(t *testing.T, f *fixture) {
	ctx := ctxOf(t)
	var calls []string
	note := func(s string) func() { return func() { calls = append(calls, s) } }

	require.False(t, f.InTransaction(ctx))
	f.AfterCommit(ctx, note("without"))
	require.Equal(t, []string{"without"}, calls, "without a transaction it runs at once")

	calls = nil
	var ended context.Context
	require.NoError(t, f.InTx(ctx, func(ctx context.Context) error {
		ended = ctx
		require.True(t, f.InTransaction(ctx))
		err := f.appendIn(ctx, "a")
		f.AfterCommit(ctx, note("first"))
		f.AfterCommit(ctx, func() {
			calls = append(calls, "second")
			require.True(t, f.kept(t, "a"), "it runs after the commit")
		})
		require.Empty(t, calls)
		return err
	}))
	require.Equal(t, []string{"first", "second"}, calls, "it has run when InTx returns, in the order given")

	calls = nil
	f.AfterCommit(ended, note("late"))
	require.True(t, f.InTransaction(ended))
	require.Empty(t, calls, "a transaction that has ended")
}

func afterRollback(t *testing.T, f *fixture) {
	ctx := ctxOf(t)
	never := func() { t.Error("it ran without a commit") }
	require.ErrorIs(t, f.InTx(ctx, func(ctx context.Context) error {
		f.AfterCommit(ctx, never)
		return errTest
	}), errTest)
	require.PanicsWithValue(t, "boom", func() {
		_ = f.InTx(ctx, func(ctx context.Context) error {
			f.AfterCommit(ctx, never)
			panic("boom")
		})
	})
	gone, cancel := context.WithCancel(ctx)
	require.Error(t, f.InTx(gone, func(ctx context.Context) error {
		f.AfterCommit(ctx, never)
		cancel()
		return ctx.Err()
	}))
}

func afterNestedCommit(t *testing.T, f *fixture) {
	ctx := ctxOf(t)
	var calls []string
	note := func(s string) func() { return func() { calls = append(calls, s) } }
	require.NoError(t, f.InTx(ctx, func(ctx context.Context) error {
		f.AfterCommit(ctx, note("outer"))
		_ = f.InTx(ctx, func(ctx context.Context) error {
			f.AfterCommit(ctx, note("undone"))
			_ = f.InTx(ctx, func(ctx context.Context) error {
				f.AfterCommit(ctx, note("kept in what is undone"))
				return nil
			})
			return errTest
		})
		func() {
			defer func() { _ = recover() }()
			_ = f.InTx(ctx, func(ctx context.Context) error {
				f.AfterCommit(ctx, note("panicked"))
				panic("boom")
			})
		}()
		if err := f.InTx(ctx, func(ctx context.Context) error {
			f.AfterCommit(ctx, note("inner"))
			return f.appendIn(ctx, "a")
		}); err != nil {
			return err
		}
		require.Empty(t, calls, "the end of a nested transaction is no commit")
		f.AfterCommit(ctx, note("outer again"))
		return nil
	}))
	require.Equal(t, []string{"outer", "inner", "outer again"}, calls)

	require.ErrorIs(t, f.InTx(ctx, func(ctx context.Context) error {
		if err := f.InTx(ctx, func(ctx context.Context) error {
			f.AfterCommit(ctx, note("inner of what is undone"))
			return nil
		}); err != nil {
			return err
		}
		return errTest
	}), errTest)
	require.Equal(t, []string{"outer", "inner", "outer again"}, calls)
}

// A caller who is slow after the commit keeps nobody else from committing, nor itself from using the store.
func afterCommitBlocksNobody(t *testing.T, f *fixture) {
	ctx := ctxOf(t)
	started, others := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		if err := f.InTx(ctx, func(tx context.Context) error {
			f.AfterCommit(tx, func() {
				close(started)
				select {
				case <-others:
				case <-ctx.Done():
					t.Error("others wait for what runs after a commit")
				}
				if err := f.InTx(ctx, func(ctx context.Context) error { return f.appendIn(ctx, "after") }); err != nil {
					t.Error(err)
				}
			})
			return f.appendIn(tx, "slow")
		}); err != nil {
			t.Error(err)
		}
	}()
	<-started
	ran := make([]bool, 8)
	var sharing sync.WaitGroup
	for i := range ran {
		sharing.Add(1)
		go func() {
			defer sharing.Done()
			err := f.InTx(ctx, func(tx context.Context) error {
				f.AfterCommit(tx, func() { ran[i] = true })
				return f.appendIn(tx, fmt.Sprintf("other%d-", i))
			})
			if err != nil {
				t.Error(err)
			}
		}()
	}
	sharing.Wait()
	require.NotContains(t, ran, false)
	close(others)
	wg.Wait()
	require.True(t, f.kept(t, "after"))
}
