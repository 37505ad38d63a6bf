package sqlite_test

import (
	"context"
	"flag"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leat-dev/leat/adapters/sqlite"
	"github.com/leat-dev/leat/app/event"
)

func TestMain(m *testing.M) {
	// -rapid.checks on the command line goes before.
	if err := flag.Set("rapid.checks", checks); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

var start = time.Date(2024, 5, 17, 9, 30, 0, 0, time.UTC)

// open opens a new store that is closed at the end of the test.
func open(t testing.TB, clock clockwork.Clock) *sqlite.DB {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "leat.db"), clock)
}

func openAt(t testing.TB, path string, clock clockwork.Clock) *sqlite.DB {
	t.Helper()
	return openWith(t, sqlite.Config{Path: path}, clock)
}

func openWith(t testing.TB, cfg sqlite.Config, clock clockwork.Clock) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(context.Background(), cfg, clock, quiet())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func openBench(b *testing.B) *sqlite.DB { return open(b, clockwork.NewRealClock()) }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func envelope(id string) event.Envelope {
	return event.Envelope{
		ID: id, Type: "build.started", SchemaVersion: 1, Kind: event.Business, Source: "tests", Tenant: "acme",
		PartitionKey: id, Time: start, Data: []byte(`{}`), Slot: event.SlotOf("acme", id),
	}
}
