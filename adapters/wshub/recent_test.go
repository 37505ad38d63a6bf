package wshub_test

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/wshub"
)

func TestRecent(t *testing.T) {
	t.Parallel()
	r := wshub.NewRecent(100)
	for burst := range 3 {
		for i := range 250 {
			require.True(t, r.Add(strconv.Itoa(i)), "burst %d, event %d", burst, i)
			require.False(t, r.Add(strconv.Itoa(i)), "burst %d, event %d again", burst, i)
		}
		for i := range 250 {
			require.Equal(t, i >= 150, r.Take(strconv.Itoa(i)), "burst %d: it remembers the last hundred; event %d", burst, i)
			require.False(t, r.Take(strconv.Itoa(i)), "burst %d, event %d once more", burst, i)
		}
		require.LessOrEqual(t, r.Room(), 64, "what is empty holds next to nothing")
	}
}
