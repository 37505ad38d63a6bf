package eventlogtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

var errTest = errors.New("the test wants it so")

func (f *fixture) appendIn(ctx context.Context, id string) error {
	_, err := f.Append(ctx, many(id, 1))
	return err
}

func transactions(t *testing.T, f *fixture) {
	ctx := ctxOf(t)
	require.NoError(t, f.InTx(ctx, func(ctx context.Context) error {
		return errors.Join(f.appendIn(ctx, "a"), f.appendIn(ctx, "b"))
	}))
	err := f.InTx(ctx, func(ctx context.Context) error {
		return errors.Join(f.appendIn(ctx, "c"), f.appendIn(ctx, "d"), errTest)
	})
	require.ErrorIs(t, err, errTest)
	f.mustAppendIDs(t, "e")
	require.Equal(t, []string{"a0", "b0", "e"}, ids(f.all(t, 3)))
}

func nestedTransactions(t *testing.T, f *fixture) {
	ctx := ctxOf(t)
	require.NoError(t, f.InTx(ctx, func(ctx context.Context) error {
		if err := f.appendIn(ctx, "a"); err != nil {
			return err
		}
		err := f.InTx(ctx, func(ctx context.Context) error {
			return errors.Join(f.appendIn(ctx, "b"), f.InTx(ctx, func(ctx context.Context) error { return f.appendIn(ctx, "c") }), errTest)
		})
		if !errors.Is(err, errTest) {
			return fmt.Errorf("the inner transaction returned %w", err)
		}
		func() {
			defer func() { _ = recover() }()
			_ = f.InTx(ctx, func(ctx context.Context) error {
				err := f.appendIn(ctx, "d")
				panic(err)
			})
		}()
		return f.InTx(ctx, func(ctx context.Context) error { return f.appendIn(ctx, "e") })
	}))
	require.Equal(t, []string{"a0", "e0"}, ids(f.all(t, 2)))

	err := f.InTx(ctx, func(ctx context.Context) error {
		if err := f.InTx(ctx, func(ctx context.Context) error { return f.appendIn(ctx, "f") }); err != nil {
			return err
		}
		return errTest
	})
	require.ErrorIs(t, err, errTest)
	require.Equal(t, []string{"a0", "e0"}, ids(f.all(t, 2)))
}

func panicsInTransactions(t *testing.T, f *fixture) {
	ctx := ctxOf(t)
	require.PanicsWithValue(t, "boom", func() {
		_ = f.InTx(ctx, func(ctx context.Context) error {
			if err := f.appendIn(ctx, "a"); err != nil {
				return err
			}
			panic("boom")
		})
	})
	f.mustAppendIDs(t, "b")
	require.Equal(t, []string{"b"}, ids(f.all(t, 1)))
}

func contextsThatEnd(t *testing.T, f *fixture) {
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := f.Append(gone, many("a", 1))
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, f.InTx(gone, func(context.Context) error { t.Error("fn ran"); return nil }), context.Canceled)

	// One whose context ends in the middle may fail, but takes nobody along.
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			err := f.InTx(ctx, func(ctx context.Context) error {
				if err := f.appendIn(ctx, fmt.Sprintf("in%d-", i)); err != nil {
					return err
				}
				if i%2 == 0 {
					return nil
				}
				cancel()
				return ctx.Err()
			})
			if i%2 == 0 && err != nil {
				t.Errorf("a caller whose context is alive got %v", err)
			}
			if i%2 == 1 && !errors.Is(err, context.Canceled) {
				t.Errorf("a caller whose context ended got %v", err)
			}
		}()
	}
	wg.Wait()
	f.all(t, 10)
}

func concurrentCallers(t *testing.T, f *fixture) {
	const callers, each = 24, 20
	var wg sync.WaitGroup
	for c := range callers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range each {
				id := fmt.Sprintf("%d-%d-", c, i)
				switch {
				case i%5 == 3:
					err := f.InTx(ctxOf(t), func(ctx context.Context) error {
						return errors.Join(f.appendIn(ctx, id), errTest)
					})
					if !errors.Is(err, errTest) {
						t.Errorf("got %v, want the function's own error", err)
					}
				case i%5 == 1:
					if err := f.InTx(ctxOf(t), func(ctx context.Context) error { return f.appendIn(ctx, id) }); err != nil {
						t.Error(err)
					}
				default:
					if _, err := f.Append(ctxOf(t), many(id, 2)); err != nil {
						t.Error(err)
					}
				}
			}
		}()
	}
	wg.Wait()
	want := callers * each / 5 * (3*2 + 1)
	events := f.all(t, want)
	seen := map[string]bool{}
	for i, e := range events {
		require.False(t, seen[e.ID], "%s is in the log twice", e.ID)
		seen[e.ID] = true
		if i > 0 {
			require.Greater(t, e.Position, events[i-1].Position)
		}
	}
}
