package report_test

import (
	"os"
	"path/filepath"
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

func TestInsert(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "page.md")
	require.NoError(t, os.WriteFile(file, []byte("a\n<!-- begin x -->\nold\n<!-- end x -->\nb\n"), 0o600))
	for range 2 {
		require.NoError(t, report.Insert(file, "x", "new\n"))
		got, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, "a\n<!-- begin x -->\nnew\n<!-- end x -->\nb\n", string(got))
	}
	require.ErrorContains(t, report.Insert(file, "y", "new"), "no markers")
}
