package fault_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/fault/faulttest"
)

var nameOfAPoint = regexp.MustCompile(`^[a-z]+\.[a-z]+(-[a-z]+)*$`)

// Whoever reads a name knows where the process died.
func TestPointsHaveNamesOfTheirOwn(t *testing.T) {
	t.Parallel()
	points, err := faulttest.Points("../..")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(points), 30, "is this the root of the module?")
	places := map[string]string{}
	for _, p := range points {
		require.Regexp(t, nameOfAPoint, p.Name, p.Place)
		require.True(t, strings.HasPrefix(p.Name, p.Package+"."), "%s: %s begins with another name than its package, %s", p.Place, p.Name, p.Package)
		require.Empty(t, places[p.Name], "%s is in two places, the second is %s", p.Name, p.Place)
		places[p.Name] = p.Place
	}
}
