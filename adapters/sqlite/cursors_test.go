package sqlite_test

import (
	"testing"

	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/sqlite"
	"github.com/leat-dev/leat/app/deadletter"
	"github.com/leat-dev/leat/domain"
	"github.com/leat-dev/leat/handlers/audit"
	"github.com/leat-dev/leat/handlers/email"
)

// A cursor that we did not give out is the caller's fault, and nothing else happens.
func FuzzCursors(f *testing.F) {
	for _, cursor := range []string{"", "1", "ZGVhZDox", "YXVkaXQ6MQ", "ZW1haWw6MQ", "ZGVhZDotMQ", "ZGVhZDox=", "\x00", "ZGVhZDo5OTk5OTk5OTk5OTk5OTk5OTk5OTk5"} {
		f.Add(cursor)
	}
	db := open(f, clockwork.NewFakeClock())
	entries, mails := sqlite.NewAudit(db), sqlite.NewEmailQueue(db)
	f.Fuzz(func(t *testing.T, cursor string) {
		taken := 0
		check := func(err error) {
			if err == nil {
				taken++
				return
			}
			require.Equal(t, domain.Invalid, domain.KindOf(err), "%v", err)
		}
		_, _, err := db.DeadLetters(t.Context(), deadletter.Filter{Tenant: "acme", Cursor: cursor})
		check(err)
		_, _, err = entries.Entries(t.Context(), audit.Query{Tenant: "acme", Cursor: cursor})
		check(err)
		_, _, err = mails.Emails(t.Context(), email.Query{Tenant: "acme", Cursor: cursor})
		check(err)
		if cursor != "" && taken > 1 {
			t.Errorf("%q is a cursor of %d lists", cursor, taken)
		}
	})
}
