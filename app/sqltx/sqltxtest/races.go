package sqltxtest

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// atOnce runs fn in several goroutines, which must all return nil.
func atOnce(t *testing.T, fn func() error) {
	t.Helper()
	var all sync.WaitGroup
	for range 8 {
		all.Add(1)
		go func() {
			defer all.Done()
			if err := fn(); err != nil {
				t.Error(err)
			}
		}()
	}
	all.Wait()
}

func oneInsertWins(t *testing.T, f *fixture) {
	var winners atomic.Int64
	atOnce(t, func() error {
		for _, id := range []string{"a", "b", "c"} {
			var inserted int64
			if err := f.InTx(ctxOf(t), func(ctx context.Context) (err error) {
				inserted, err = f.SQL(ctx).Exec(ctx, "INSERT INTO "+f.things+" (id) VALUES (?) ON CONFLICT DO NOTHING", id)
				return err
			}); err != nil {
				return err
			}
			winners.Add(inserted)
		}
		return nil
	})
	require.EqualValues(t, 3, winners.Load())
	f.holds(t, "a", "b", "c")
}

// Each caller reads, decides outside the store, and writes what nobody else has changed since.
func noUpdateIsLost(t *testing.T, f *fixture) {
	const each = 10
	f.in(t, func(ctx context.Context) error {
		_, err := f.SQL(ctx).Exec(ctx, "INSERT INTO "+f.things+" (id, n) VALUES (?, 0)", "a")
		return err
	})
	read := func(ctx context.Context) (n, version int64, err error) {
		err = f.SQL(ctx).QueryRow(ctx, "SELECT n, version FROM "+f.things+" WHERE id = ?", "a").Scan(&n, &version)
		return n, version, err
	}
	var done atomic.Int64
	atOnce(t, func() error {
		ctx := ctxOf(t)
		for won := int64(0); won < each; {
			n, version, err := read(ctx)
			if err != nil {
				return err
			}
			var changed int64
			if err := f.InTx(ctx, func(ctx context.Context) (err error) {
				changed, err = f.SQL(ctx).Exec(ctx,
					"UPDATE "+f.things+" SET n = ?, version = version + 1 WHERE id = ? AND version = ?", n+1, "a", version)
				return err
			}); err != nil {
				return err
			}
			won += changed
			done.Add(changed)
		}
		return nil
	})
	n, version, err := read(ctxOf(t))
	require.NoError(t, err)
	require.Equal(t, done.Load(), n)
	require.Equal(t, done.Load()+1, version)
}
