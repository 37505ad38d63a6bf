package sqltx_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/leat-dev/leat/app/sqltx"
)

func TestRebind(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"":                               "",
		"SELECT 1":                       "SELECT 1",
		"?":                              "$1",
		"a = ? AND b IN (?,?) LIMIT ?":   "a = $1 AND b IN ($2,$3) LIMIT $4",
		strings.Repeat("?,", 11):         "$1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,",
		"a = '?' AND b = ?":              "a = '?' AND b = $1",
		"a = 'it''s ?' AND b = ?":        "a = 'it''s ?' AND b = $1",
		`a = '\' AND b = ? AND c = '?'`:  `a = '\' AND b = $1 AND c = '?'`,
		`a = E'it\'s ?' AND b = ?`:       `a = E'it\'s ?' AND b = $1`,
		`a = e'\\' AND b = ?`:            `a = e'\\' AND b = $1`,
		`a = E'x''\' ?' AND b = ?`:       `a = E'x''\' ?' AND b = $1`,
		`a LIKE 'x' AND name'\' = ?`:     `a LIKE 'x' AND name'\' = $1`,
		`"odd ""?"" name" = ?`:           `"odd ""?"" name" = $1`,
		"a = ? -- why? it's\nAND b = ?":  "a = $1 -- why? it's\nAND b = $2",
		"a = ? -- why?":                  "a = $1 -- why?",
		"a - ? -? --?":                   "a - $1 -$2 --?",
		"/* ? /* ? */ ' ? */ a = ?":      "/* ? /* ? */ ' ? */ a = $1",
		"a / ? */ ?":                     "a / $1 */ $2",
		"$$ ? ' $$ = ?":                  "$$ ? ' $$ = $1",
		"$a$ ? $$ ? $a$ = ?":             "$a$ ? $$ ? $a$ = $1",
		"a$b$c = ? AND d$b$ = ?":         "a$b$c = $1 AND d$b$ = $2",
		"'never closed ?":                "'never closed ?",
		"/* never closed ?":              "/* never closed ?",
		"$x$ never closed ?":             "$x$ never closed ?",
		"größe = ? AND 'größe?' = größe": "größe = $1 AND 'größe?' = größe",
	} {
		require.Equal(t, want, sqltx.Rebind(query), "%s", query)
	}
}

// A query of pieces that hold no placeholder, with placeholders between them.
func TestRebindOfAnyPieces(t *testing.T) {
	t.Parallel()
	pieces := []string{
		"a", "E", "x_1", "7", "é", "= ", ",", "(", ")", "- ", "/ ", "* ", "::text ",
		"'?' ", "'' ", "'a''?' ", `'\' `, `E'\'?' `, `"?""" `, "-- ?'\n", "/* ? */", "/*/**/?*/", " $$?$$ ", " $t$?'$$$t$ ",
	}
	rapid.Check(t, func(t *rapid.T) {
		var query, want strings.Builder
		n := 0
		for range rapid.IntRange(0, 20).Draw(t, "pieces") {
			if rapid.Bool().Draw(t, "placeholder") {
				n++
				query.WriteString(" ?")
				fmt.Fprintf(&want, " $%d", n)
			}
			// The space keeps a piece from changing the meaning of the next.
			piece := " " + rapid.SampledFrom(pieces).Draw(t, "piece")
			query.WriteString(piece)
			want.WriteString(piece)
		}
		if got := sqltx.Rebind(query.String()); got != want.String() {
			t.Fatalf("got %q, want %q", got, want.String())
		}
	})
}

func TestRebindOfAnything(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		query := rapid.StringOf(rapid.SampledFrom([]rune(`?'"$-/*\Ea`+"\n"))).Draw(t, "query")
		bound := sqltx.Rebind(query)
		if len(bound) < len(query) {
			t.Fatalf("Rebind(%q) = %q, which is shorter", query, bound)
		}
	})
}

func TestMicros(t *testing.T) {
	t.Parallel()
	at := time.Date(2025, 3, 14, 15, 9, 26, 535_897_932, time.FixedZone("somewhere", 3600))
	require.Equal(t, at.UTC().Truncate(time.Microsecond), sqltx.FromMicros(sqltx.Micros(at)))
	require.Zero(t, sqltx.Micros(time.Time{}))
	require.True(t, sqltx.FromMicros(0).IsZero())
	old := time.Date(1901, 1, 2, 3, 4, 5, 6000, time.UTC)
	require.Equal(t, old, sqltx.FromMicros(sqltx.Micros(old)))
}
