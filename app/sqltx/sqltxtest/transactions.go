package sqltxtest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func commits(t *testing.T, f *fixture) {
	f.in(t, func(ctx context.Context) error { return errors.Join(f.add(ctx, "a"), f.add(ctx, "b")) })
	f.holds(t, "a", "b")
	f.in(t, func(ctx context.Context) error {
		_, err := f.SQL(ctx).Exec(ctx, "DELETE FROM "+f.things+" WHERE id = ?", "a")
		return err
	})
	f.holds(t, "b")
}

func rollsBack(t *testing.T, f *fixture) {
	err := f.InTx(ctxOf(t), func(ctx context.Context) error { return errors.Join(f.add(ctx, "a"), errTest) })
	require.ErrorIs(t, err, errTest)
	f.holds(t)
	f.in(t, func(ctx context.Context) error { return f.add(ctx, "a") })
	f.holds(t, "a")
}

func rollsBackOnPanic(t *testing.T, f *fixture) {
	require.PanicsWithValue(t, "boom", func() {
		_ = f.InTx(ctxOf(t), func(ctx context.Context) error {
			if err := f.add(ctx, "a"); err != nil {
				return err
			}
			panic("boom")
		})
	})
	f.holds(t)
	f.in(t, func(ctx context.Context) error { return f.add(ctx, "b") })
	f.holds(t, "b")
}

func nestedFailsAlone(t *testing.T, f *fixture) {
	f.in(t, func(ctx context.Context) error {
		if err := f.add(ctx, "a"); err != nil {
			return err
		}
		err := f.InTx(ctx, func(ctx context.Context) error {
			return errors.Join(f.add(ctx, "b"), f.InTx(ctx, func(ctx context.Context) error { return f.add(ctx, "c") }), errTest)
		})
		if !errors.Is(err, errTest) {
			return fmt.Errorf("the inner transaction returned %w", err)
		}
		func() {
			defer func() { _ = recover() }()
			_ = f.InTx(ctx, func(ctx context.Context) error { panic(f.add(ctx, "d")) })
		}()
		return f.InTx(ctx, func(ctx context.Context) error { return f.add(ctx, "e") })
	})
	f.holds(t, "a", "e")
}

func nestedGoesAlong(t *testing.T, f *fixture) {
	err := f.InTx(ctxOf(t), func(ctx context.Context) error {
		if err := f.InTx(ctx, func(ctx context.Context) error { return f.add(ctx, "a") }); err != nil {
			return err
		}
		return errTest
	})
	require.ErrorIs(t, err, errTest)
	f.holds(t)
}

func failedStatementNested(t *testing.T, f *fixture) {
	f.in(t, func(ctx context.Context) error {
		if err := f.add(ctx, "a"); err != nil {
			return err
		}
		err := f.InTx(ctx, func(ctx context.Context) error { return errors.Join(f.add(ctx, "b"), f.add(ctx, "a")) })
		if err == nil {
			return errors.New("the same key was inserted twice")
		}
		return f.add(ctx, "c")
	})
	f.holds(t, "a", "c")
}

func contextCarries(t *testing.T, f *fixture) {
	outside := ctxOf(t)
	require.NoError(t, f.InTx(outside, func(ctx context.Context) error {
		if err := f.add(ctx, "a"); err != nil {
			return err
		}
		mine, err := f.ids(ctx)
		if err != nil {
			return err
		}
		committed, err := f.ids(outside)
		if err != nil {
			return err
		}
		if len(mine) != 1 || len(committed) != 0 {
			return fmt.Errorf("the transaction sees %v and the others %v, want [a] and []", mine, committed)
		}
		return nil
	}))
	f.holds(t, "a")
}

func ended(t *testing.T, f *fixture) {
	var kept context.Context
	f.in(t, func(ctx context.Context) error {
		kept = ctx
		return nil
	})
	require.Error(t, f.add(kept, "a"))
	_, err := f.ids(kept)
	require.Error(t, err)
	var n int64
	require.Error(t, f.SQL(kept).QueryRow(kept, "SELECT count(*) FROM "+f.things).Scan(&n))
	require.Error(t, f.InTx(kept, func(context.Context) error { t.Error("fn ran"); return nil }))
	f.holds(t)
}

func cancelled(t *testing.T, f *fixture) {
	ctx, cancel := context.WithCancel(ctxOf(t))
	err := f.InTx(ctx, func(ctx context.Context) error {
		if err := f.add(ctx, "a"); err != nil {
			return err
		}
		cancel()
		return f.add(ctx, "b")
	})
	require.ErrorIs(t, err, context.Canceled)
	_, err = f.ids(ctx)
	require.ErrorIs(t, err, context.Canceled)
	f.holds(t)
}

func rowsAreClosed(t *testing.T, f *fixture) {
	f.in(t, func(ctx context.Context) error { return errors.Join(f.add(ctx, "a"), f.add(ctx, "b")) })
	for name, busy := range map[string]func(ctx context.Context) error{
		"Exec":     func(ctx context.Context) error { return f.add(ctx, "c") },
		"Query":    func(ctx context.Context) error { _, err := f.ids(ctx); return err },
		"QueryRow": func(ctx context.Context) error { return f.SQL(ctx).QueryRow(ctx, "SELECT 1").Scan(new(int)) },
		"InTx":     func(ctx context.Context) error { return f.InTx(ctx, func(context.Context) error { return nil }) },
	} {
		err := f.InTx(ctxOf(t), func(ctx context.Context) (err error) {
			rows, err := f.SQL(ctx).Query(ctx, "SELECT id FROM "+f.things)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, rows.Close()) }()
			if !rows.Next() {
				return fmt.Errorf("there is no row: %w", rows.Err())
			}
			if err := busy(ctx); err == nil {
				t.Errorf("%s did not say that rows are open", name)
			}
			return errTest
		})
		require.ErrorIs(t, err, errTest)
	}

	// Rows that were read to their end or closed stand in nobody's way.
	f.in(t, func(ctx context.Context) error {
		read, err := f.SQL(ctx).Query(ctx, "SELECT id FROM "+f.things)
		if err != nil {
			return err
		}
		for read.Next() {
			continue
		}
		if err := errors.Join(read.Err(), f.add(ctx, "c")); err != nil {
			return err
		}
		left, err := f.SQL(ctx).Query(ctx, "SELECT id FROM "+f.things)
		if err != nil {
			return err
		}
		return errors.Join(left.Err(), left.Close(), left.Close(), read.Close(), f.add(ctx, "d"))
	})
	f.holds(t, "a", "b", "c", "d")
}

func writesOutside(t *testing.T, f *fixture) {
	ctx := ctxOf(t)
	require.Error(t, f.add(ctx, "a"))
	insert := "INSERT INTO " + f.things + " (id) VALUES (?) RETURNING id"
	var id string
	require.Error(t, f.SQL(ctx).QueryRow(ctx, insert, "b").Scan(&id))
	rows, err := f.SQL(ctx).Query(ctx, insert, "c")
	if err == nil {
		for rows.Next() {
			continue
		}
		err = errors.Join(rows.Err(), rows.Close())
	}
	require.Error(t, err)
	f.holds(t)
	f.in(t, func(ctx context.Context) error { return f.SQL(ctx).QueryRow(ctx, insert, "d").Scan(&id) })
	f.holds(t, "d")
}
