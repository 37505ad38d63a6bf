package sqltxtest

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/sqltx"
)

// kind is a type of its own, such as a state of an aggregate.
type kind string

// roundTrip stores a row with a value in the column, and reads the column into each of dest: within
// the transaction, and after it. In the column id, the value is the row's id.
func (f *fixture) roundTrip(t *testing.T, id any, column string, value any, dest ...any) {
	t.Helper()
	query := "SELECT " + column + " FROM " + f.things + " WHERE id = ?"
	f.in(t, func(ctx context.Context) error {
		insert, args := "INSERT INTO "+f.things+" (id, "+column+") VALUES (?, ?)", []any{id, value}
		if column == "id" {
			insert, args, id = "INSERT INTO "+f.things+" (id) VALUES (?)", []any{value}, value
		}
		if _, err := f.SQL(ctx).Exec(ctx, insert, args...); err != nil {
			return err
		}
		return f.SQL(ctx).QueryRow(ctx, query, id).Scan(dest[0])
	})
	for _, d := range dest {
		ctx := ctxOf(t)
		require.NoError(t, f.SQL(ctx).QueryRow(ctx, query, id).Scan(d), "%v", value)
	}
}

func integers(t *testing.T, f *fixture) {
	for i, n := range []int64{0, 1, -1, math.MaxInt64, math.MinInt64, math.MaxInt32 + 1} {
		var got int64
		var same int
		var nullable sql.NullInt64
		f.roundTrip(t, fmt.Sprint(i), "n", n, &got, &same, &nullable)
		require.Equal(t, n, got)
		require.EqualValues(t, n, same)
		require.Equal(t, sql.NullInt64{Int64: n, Valid: true}, nullable)
	}
	var got int
	f.roundTrip(t, "int", "n", int(42), &got)
	require.Equal(t, 42, got)
}

func texts(t *testing.T, f *fixture) {
	for _, s := range []string{
		"", " ", "it's", `a "quoted" \ one`, "?", "$1", "%_", "line\r\nline\ttab", "größe 日本語 🙂", "123", "1.50", "NULL",
	} {
		var got string
		var own kind
		var nullable sql.NullString
		f.roundTrip(t, "", "id", s, &got, &own, &nullable)
		require.Equal(t, s, got)
		require.Equal(t, kind(s), own)
		require.Equal(t, sql.NullString{String: s, Valid: true}, nullable)
	}
	var own kind
	f.roundTrip(t, "", "id", kind("own"), &own)
	require.Equal(t, kind("own"), own)

	f.migrate(t, "texts", "texts", "CREATE TABLE leat_texts (long TEXT NOT NULL);") // too long for a key
	long, got := strings.Repeat("long ", 50_000), ""
	f.in(t, func(ctx context.Context) error {
		_, err := f.SQL(ctx).Exec(ctx, "INSERT INTO "+f.Table("texts")+" (long) VALUES (?)", long)
		return err
	})
	ctx := ctxOf(t)
	require.NoError(t, f.SQL(ctx).QueryRow(ctx, "SELECT long FROM "+f.Table("texts")).Scan(&got))
	require.Equal(t, long, got)
}

func bytes(t *testing.T, f *fixture) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for i, b := range [][]byte{every, {0}, []byte("text"), {}} {
		var got []byte
		f.roundTrip(t, fmt.Sprint(i), "body", b, &got)
		require.Equal(t, string(b), string(got))
	}
	// What was read belongs to the reader.
	var first, second []byte
	ctx := ctxOf(t)
	rows, err := f.SQL(ctx).Query(ctx, "SELECT body FROM "+f.things+" WHERE id IN (?, ?) ORDER BY id", "0", "2")
	require.NoError(t, err)
	require.True(t, rows.Next())
	require.NoError(t, rows.Scan(&first))
	require.True(t, rows.Next())
	require.NoError(t, rows.Scan(&second))
	require.NoError(t, rows.Close())
	require.NoError(t, rows.Err())
	require.Equal(t, every, first)
	require.Equal(t, "text", string(second))
}

func times(t *testing.T, f *fixture) {
	for i, at := range []time.Time{
		{},
		time.Date(2025, 3, 14, 15, 9, 26, 535_897_932, time.UTC),
		time.Date(2025, 3, 14, 15, 9, 26, 0, time.FixedZone("somewhere", -5*3600)),
		time.Date(1901, 1, 2, 3, 4, 5, 6000, time.UTC),
		time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC),
	} {
		var us int64
		f.roundTrip(t, fmt.Sprint(i), "n", sqltx.Micros(at), &us)
		require.True(t, at.Truncate(time.Microsecond).Equal(sqltx.FromMicros(us)), "got %v, want %v", sqltx.FromMicros(us), at)
		require.Equal(t, time.UTC, sqltx.FromMicros(us).Location())
	}
}

func nulls(t *testing.T, f *fixture) {
	for i, none := range []any{nil, sql.NullInt64{}, (*int64)(nil)} {
		pointer, nullable := new(int64), sql.NullInt64{Int64: 7, Valid: true}
		f.roundTrip(t, fmt.Sprint("n", i), "n", none, &pointer, &nullable)
		require.Nil(t, pointer)
		require.Equal(t, sql.NullInt64{}, nullable)
	}
	body := []byte("something")
	f.roundTrip(t, "body", "body", nil, &body)
	require.Nil(t, body)
	some := int64(7)
	pointer := new(int64)
	f.roundTrip(t, "some", "n", &some, &pointer)
	require.Equal(t, &some, pointer)
	var n int64
	ctx := ctxOf(t)
	require.Error(t, f.SQL(ctx).QueryRow(ctx, "SELECT n FROM "+f.things+" WHERE id = ?", "body").Scan(&n))
	var sum *int64 // of nothing
	require.NoError(t, f.SQL(ctx).QueryRow(ctx, "SELECT max(n) FROM "+f.things+" WHERE id = ?", "nobody").Scan(&sum))
	require.Nil(t, sum)
}

func questionMarks(t *testing.T, f *fixture) {
	ctx := ctxOf(t)
	var text, odd string
	require.NoError(t, f.SQL(ctx).QueryRow(ctx, `
		SELECT 'why? it''s ?', "odd ?" -- or not?
		FROM (SELECT CAST(? AS TEXT) AS "odd ?") AS one /* ? */ WHERE "odd ?" = ?`, "x", "x").Scan(&text, &odd))
	require.Equal(t, "why? it's ?", text)
	require.Equal(t, "x", odd)
}
