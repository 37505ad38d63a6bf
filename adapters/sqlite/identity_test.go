package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/sqlite"
)

// Two logs in one file are two, and one that is opened again is the same.
func TestIdentityOfTheLog(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "leat.db")
	identity := func(path, prefix string) string {
		db, err := sqlite.Open(t.Context(), sqlite.Config{Path: path, TablePrefix: prefix}, clockwork.NewRealClock(), quiet())
		require.NoError(t, err)
		id, err := db.Identity(t.Context())
		require.NoError(t, err)
		require.NoError(t, db.Close())
		return id
	}
	first := identity(path, "")
	require.Equal(t, first, identity(path, ""))
	require.NotEqual(t, first, identity(path, "second_"))
	require.NotEqual(t, first, identity(filepath.Join(t.TempDir(), "leat.db"), ""))
}
