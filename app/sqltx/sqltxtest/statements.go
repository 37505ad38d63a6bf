package sqltxtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func affected(t *testing.T, f *fixture) {
	f.in(t, func(ctx context.Context) error {
		q := f.SQL(ctx)
		for _, s := range []struct {
			want  int64
			query string
			args  []any
		}{
			{3, "INSERT INTO " + f.things + " (id, n) VALUES (?, ?), (?, ?), (?, ?)", []any{"a", 1, "b", 2, "c", 3}},
			{0, "INSERT INTO " + f.things + " (id) VALUES (?) ON CONFLICT DO NOTHING", []any{"a"}},
			{1, "INSERT INTO " + f.things + " (id) VALUES (?) ON CONFLICT DO NOTHING", []any{"d"}},
			{1, "INSERT INTO " + f.things + " (id, n) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET n = excluded.n", []any{"d", 4}},
			{2, "UPDATE " + f.things + " SET n = n + 1 WHERE n > ?", []any{2}},
			{4, "UPDATE " + f.things + " SET n = n", nil},
			{0, "UPDATE " + f.things + " SET n = 0 WHERE id = ? AND version = ?", []any{"a", 2}},
			{1, "DELETE FROM " + f.things + " WHERE id = ?", []any{"d"}},
			{0, "DELETE FROM " + f.things + " WHERE id = ?", []any{"d"}},
		} {
			n, err := q.Exec(ctx, s.query, s.args...)
			if err != nil {
				return fmt.Errorf("%s: %w", s.query, err)
			}
			if n != s.want {
				t.Errorf("%s: got %d affected rows, want %d", s.query, n, s.want)
			}
		}
		return nil
	})
	f.holds(t, "a", "b", "c")
}

func noRow(t *testing.T, f *fixture) {
	check := func(ctx context.Context) error {
		var id string
		err := f.SQL(ctx).QueryRow(ctx, "SELECT id FROM "+f.things+" WHERE id = ?", "a").Scan(&id)
		if !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("got %w, want sql.ErrNoRows", err)
		}
		_, err = f.ids(ctx)
		return err
	}
	require.NoError(t, check(ctxOf(t)))
	f.in(t, check)
}

func rows(t *testing.T, f *fixture) {
	f.in(t, func(ctx context.Context) error {
		for i := range 300 {
			if _, err := f.SQL(ctx).Exec(ctx, "INSERT INTO "+f.things+" (id, n) VALUES (?, ?)", fmt.Sprintf("%03d", i), i); err != nil {
				return err
			}
		}
		return nil
	})
	check := func(ctx context.Context) (err error) {
		rows, err := f.SQL(ctx).Query(ctx, "SELECT id, n FROM "+f.things+" WHERE n >= ? ORDER BY n LIMIT ?", 10, 200)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		next := 10
		for rows.Next() {
			var id string
			var n int
			if err := rows.Scan(&id, &n); err != nil {
				return err
			}
			if n != next || id != fmt.Sprintf("%03d", next) {
				return fmt.Errorf("got row %s with %d, want number %d", id, n, next)
			}
			next++
		}
		if next != 210 {
			return fmt.Errorf("the rows end before %d, want 210", next)
		}
		var first string // of many
		if err := f.SQL(ctx).QueryRow(ctx, "SELECT id FROM "+f.things+" ORDER BY id").Scan(&first); err != nil || first != "000" {
			return fmt.Errorf("got %q as the first row: %w", first, err)
		}
		return rows.Err()
	}
	require.NoError(t, check(ctxOf(t)))
	f.in(t, check)
}

func wrongStatements(t *testing.T, f *fixture) {
	for _, query := range []string{"NOT SQL", "SELECT nothing FROM " + f.things, "SELECT 1 FROM " + f.Table("nowhere")} {
		check := func(ctx context.Context) error {
			var n int64
			if err := f.SQL(ctx).QueryRow(ctx, query).Scan(&n); err == nil || errors.Is(err, sql.ErrNoRows) {
				t.Errorf("%s: got %v from QueryRow", query, err)
			}
			rows, err := f.SQL(ctx).Query(ctx, query)
			if err == nil {
				for rows.Next() {
					continue
				}
				err = errors.Join(rows.Err(), rows.Close())
			}
			if err == nil {
				t.Errorf("%s: got no error from Query", query)
			}
			return errTest
		}
		require.ErrorIs(t, check(ctxOf(t)), errTest)
		require.ErrorIs(t, f.InTx(ctxOf(t), check), errTest)
	}
	require.Error(t, f.InTx(ctxOf(t), func(ctx context.Context) error {
		_, err := f.SQL(ctx).Exec(ctx, "NOT SQL")
		return err
	}))
	f.holds(t)
}
