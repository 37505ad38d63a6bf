package postgres_test

import (
	"testing"

	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/postgres/postgrestest"
)

// What is committed and waits for a position is counted, and no more when it has one.
func TestCountUnsequenced(t *testing.T) {
	t.Parallel()
	db := openAt(t, postgrestest.Start(t), clockwork.NewRealClock())
	count := func() int {
		n, err := db.CountUnsequenced(ctxOf(t))
		require.NoError(t, err)
		return n
	}
	require.Zero(t, count())
	for _, id := range []string{"a", "b", "c"} {
		require.NoError(t, add(ctxOf(t), db, id))
	}
	require.Equal(t, 3, count())
	lead(t, db)
	logged(t, db, 3)
	require.Zero(t, count())
}
