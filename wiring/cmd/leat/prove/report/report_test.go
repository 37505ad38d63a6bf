package report_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/wiring/cmd/leat/prove/report"
)

func TestTable(t *testing.T) {
	t.Parallel()
	got := report.Table([]report.Row{
		{Promise: 4, House: "sql+sqlite", Scenario: "kill -9", Runs: 12, Counted: 3456, Disorder: 7, Seed: 99},
		{Promise: 1, House: "sql+postgres", Scenario: "kill -9", Lost: 1, Ghost: 2, Twice: 3, Crossed: 5},
	})
	require.Equal(t, `| promise               | what broke | bus+store    | runs | counted | lost | ghost | twice | out of order | crossed | seed |
| --------------------- | ---------- | ------------ | ---- | ------- | ---- | ----- | ----- | ------------ | ------- | ---- |
| 1 accepted means kept | kill -9    | sql+postgres | 0    | 0       | 1    | 2     | 3     | 0            | 5       | 0    |
| 4 order within a key  | kill -9    | sql+sqlite   | 12   | 3456    | 0    | 0     | 0     | 7            | 0       | 99   |
`, got)
}

func TestSums(t *testing.T) {
	t.Parallel()
	rows := []report.Row{
		{Promise: 1, House: "a", Scenario: "x", Runs: 1, Counted: 2, Lost: 3, Ghost: 4, Twice: 5, Disorder: 6, Crossed: 7, Seed: 8},
		{Promise: 1, House: "b", Scenario: "x", Runs: 10, Counted: 20, Lost: 30, Ghost: 40, Twice: 50, Disorder: 60, Crossed: 70, Seed: 8},
		{Promise: 8, House: "a", Scenario: "y z", Counted: 9},
	}
	require.Equal(t, `| promise                      | runs | counted | lost | ghost | twice | out of order | crossed |
| ---------------------------- | ---- | ------- | ---- | ----- | ----- | ------------ | ------- |
| 1 accepted means kept        | 11   | 22      | 33   | 44    | 55    | 66           | 77      |
| 8 one set's fault is its own | 0    | 9       | 0    | 0     | 0     | 0            | 0       |
`, report.Sums(rows))
	parsed, err := report.Parse("A sentence.\n\n" + report.Table(rows))
	require.NoError(t, err)
	require.Equal(t, rows, parsed)
	_, err = report.Parse(strings.Replace(report.Table(rows), "| 22 ", "| ?? ", 1))
	require.NoError(t, err)
	_, err = report.Parse(strings.Replace(report.Table(rows), "| 20 ", "| ?? ", 1))
	require.ErrorContains(t, err, "??")
}

func TestInsert(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "page.md")
	require.NoError(t, os.WriteFile(file, []byte("a\n<!-- begin x -->\nold\n<!-- end x -->\nb\n"), 0o600))
	for range 2 {
		require.NoError(t, report.Insert(file, "x", "new\n"))
		got, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, "a\n<!-- begin x -->\nnew\n<!-- end x -->\nb\n", string(got))
		text, err := report.Between(file, "x")
		require.NoError(t, err)
		require.Equal(t, "new\n", text)
	}
	require.ErrorContains(t, report.Insert(file, "y", "new"), "no markers")
}
