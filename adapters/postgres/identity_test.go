package postgres_test

import (
	"testing"

	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/postgres"
	"github.com/leat-dev/leat/adapters/postgres/postgrestest"
)

// Two logs in one database are two, and one that is opened again is the same.
func TestIdentityOfTheLog(t *testing.T) {
	t.Parallel()
	url := postgrestest.Start(t)
	identity := func(url, prefix string) string {
		db := openWith(t, postgres.Config{URL: url, TablePrefix: prefix}, clockwork.NewRealClock())
		id, err := db.Identity(ctxOf(t))
		require.NoError(t, err)
		return id
	}
	first := identity(url, "")
	require.Equal(t, first, identity(url, ""))
	require.NotEqual(t, first, identity(url, "second_"))
	require.NotEqual(t, first, identity(postgrestest.Start(t), ""))
}
