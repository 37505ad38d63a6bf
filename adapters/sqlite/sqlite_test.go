package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/jonboulle/clockwork"

	"github.com/leat-dev/leat/adapters/sqlite"
	"github.com/leat-dev/leat/app/deadletter/deadlettertest"
	"github.com/leat-dev/leat/app/eventlog/eventlogtest"
	"github.com/leat-dev/leat/app/settle/settletest"
	"github.com/leat-dev/leat/app/sqltx"
	"github.com/leat-dev/leat/app/sqltx/sqltxtest"
)

func TestEventLog(t *testing.T) {
	t.Parallel()
	eventlogtest.Run(t, func(t *testing.T, c clockwork.Clock) eventlogtest.Store { return open(t, c) })
}

func TestSettle(t *testing.T) {
	t.Parallel()
	settletest.Run(t, func(t *testing.T, c clockwork.Clock) settletest.Store { return open(t, c) })
}

func TestDeadLetters(t *testing.T) {
	t.Parallel()
	deadlettertest.Run(t, func(t *testing.T, c clockwork.Clock) deadlettertest.Store { return open(t, c) })
}

func TestSQL(t *testing.T) {
	t.Parallel()
	sqltxtest.Run(t, func(t *testing.T, prefix string) sqltx.Store {
		return openWith(t, sqlite.Config{Path: filepath.Join(t.TempDir(), "leat.db"), TablePrefix: prefix}, clockwork.NewRealClock())
	})
}
