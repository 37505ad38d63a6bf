package oracle_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/wiring/cmd/leat/prove/oracle"
)

// What processes had begun to write when they were killed is no effect; what nobody could have left is an
// error.
func TestReadSide(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"{\"position\":1}\n{\"position\":2}\n":                 2,
		"{\"position\":1}\n{\"posi{\"position\":2}\n":          2,
		"{\"position\":1}\n{\"position\":2{\"pos":              1,
		"{\"position\":1}\n{\"position\":\n{\"position\":3}\n": -1,
		"{\"position\":1}\nnothing\n{\"position\":3}\n":        -1,
		"": 0,
	} {
		name := filepath.Join(t.TempDir(), "side.effects")
		require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
		effects, err := oracle.ReadSide(name)
		if want < 0 {
			require.Error(t, err, text)
			continue
		}
		require.NoError(t, err, text)
		require.Len(t, effects, want, text)
	}
	effects, err := oracle.ReadSide(filepath.Join(t.TempDir(), "none"))
	require.NoError(t, err)
	require.Empty(t, effects)
}
