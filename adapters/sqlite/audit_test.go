package sqlite_test

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/sqlite"
	"github.com/leat-dev/leat/handlers/audit"
	"github.com/leat-dev/leat/handlers/audit/audittest"
)

func openForAudit(t *testing.T) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "leat.db"), TablePrefix: "mine_"},
		clockwork.NewRealClock(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func TestAudit(t *testing.T) {
	t.Parallel()
	audittest.Test(t, func(t *testing.T) audittest.Subject {
		db := openForAudit(t)
		a := sqlite.NewAudit(db)
		return audittest.Subject{Store: a, Reader: a, Tx: db}
	})
}

func TestAuditRecordsInTransactionsOnly(t *testing.T) {
	t.Parallel()
	a := sqlite.NewAudit(openForAudit(t))
	require.Error(t, a.Record(t.Context(), audit.Entry{ID: "1", Tenant: "acme", Position: 1}))
	entries, next, err := a.Entries(t.Context(), audit.Query{Tenant: "acme"})
	require.NoError(t, err)
	require.Empty(t, entries)
	require.Empty(t, next)
}
