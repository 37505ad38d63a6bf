package sqlite_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/sqlite"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/handlers/email"
	"github.com/leat-dev/leat/handlers/email/emailtest"
	"github.com/leat-dev/leat/handlers/notify"
)

func openForEmail(t *testing.T, path string, clock clockwork.Clock) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), sqlite.Config{Path: path, TablePrefix: "mine_"}, clock, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func TestEmailQueue(t *testing.T) {
	t.Parallel()
	emailtest.Test(t, func(t *testing.T) emailtest.Subject {
		clock := clockwork.NewFakeClock()
		db := openForEmail(t, filepath.Join(t.TempDir(), "leat.db"), clock)
		q := sqlite.NewEmailQueue(db)
		return emailtest.Subject{Queue: q, Reader: q, Tx: db, Advance: clock.Advance, Enqueue: enqueue(q)}
	})
}

func enqueue(q notify.Queue) func(context.Context, ...email.Mail) error {
	return func(ctx context.Context, mails ...email.Mail) error {
		converted := make([]notify.Mail, len(mails))
		for i, m := range mails {
			converted[i] = notify.Mail{Requested: m.Requested, To: notify.Recipient(m.To), Template: m.Template, Data: m.Data}
		}
		return q.Enqueue(ctx, converted...)
	}
}

func TestEmailQueueAfterACrash(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "leat.db")
	clock := clockwork.NewFakeClock()
	first, err := sqlite.Open(t.Context(), sqlite.Config{Path: path, TablePrefix: "mine_"}, clock, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	q := sqlite.NewEmailQueue(first)
	require.NoError(t, q.Enqueue(t.Context(), notify.Mail{
		Requested: event.Envelope{ID: "e1", Tenant: "acme", Source: "leat"},
		To:        notify.Recipient{Address: "grace@example.com"}, Template: "welcome",
	}))
	claims, err := q.Claim(t.Context(), "a", 1, time.Hour)
	require.NoError(t, err)
	require.Len(t, claims, 1)
	require.NoError(t, q.MarkSending(t.Context(), claims[0], email.Record{}))
	require.NoError(t, first.Close())

	// The file has been locked since: whoever held the lease is dead, and nobody has to wait for it.
	q = sqlite.NewEmailQueue(openForEmail(t, path, clock))
	claims, err = q.Claim(t.Context(), "b", 1, time.Hour)
	require.NoError(t, err)
	require.Len(t, claims, 1)
	require.Equal(t, 1, claims[0].Attempts)
}
