package leat_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/wiring/cmd/leat/prove/report"
)

// What the README says of the last long run is the sum of what docs/guarantees.md says of it.
func TestFiguresOfThePromises(t *testing.T) {
	t.Parallel()
	figures, err := report.Between("docs/guarantees.md", "figures")
	require.NoError(t, err)
	rows, err := report.Parse(figures)
	require.NoError(t, err)
	require.NotEmpty(t, rows)
	sums, err := report.Between("README.md", "sums")
	require.NoError(t, err)
	require.Equal(t, report.Sums(rows), sums, "make prove-long writes both")
}
