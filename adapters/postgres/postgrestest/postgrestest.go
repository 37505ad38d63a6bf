// Package postgrestest gives tests a PostgreSQL database of their own: on the server that
// LEAT_TEST_POSTGRES_URL names, else on a private throw-away server made from installed binaries.
package postgrestest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// URLVariable names a server on which the tests may create databases.
const URLVariable = "LEAT_TEST_POSTGRES_URL"

// shared is the one private server of a test process; it ends with the process.
var shared = sync.OnceValues(func() (string, error) { return start() })

// Start returns the URL of a new, empty database that is dropped at the end of the test. Without a server and
// without binaries of one the test is skipped, or fails where CI=true.
func Start(tb testing.TB) string {
	tb.Helper()
	server := os.Getenv(URLVariable)
	if server == "" {
		private, err := shared()
		if err != nil {
			missing(tb, err)
		}
		server = private
	}
	return create(tb, server)
}

// Shared returns the URL of the server that Start makes databases on, for programs that are no
// tests. A private one ends with the process.
func Shared() (string, error) {
	if server := os.Getenv(URLVariable); server != "" {
		return server, nil
	}
	return shared()
}

// StartWith is Start on a server of the test's own that runs with the settings ("fsync=off"). It is
// always a private one.
func StartWith(tb testing.TB, settings ...string) string {
	tb.Helper()
	server, err := start(settings...)
	if err != nil {
		missing(tb, err)
	}
	return create(tb, server)
}

func missing(tb testing.TB, err error) {
	tb.Helper()
	const advice = "no PostgreSQL to test with: set " + URLVariable + ", or run `make services`"
	if os.Getenv("CI") == "true" {
		tb.Fatalf("%s (%v)", advice, err)
	}
	tb.Skipf("%s (%v)", advice, err)
}

// create makes a database on the server.
func create(tb testing.TB, server string) string {
	tb.Helper()
	u, err := url.Parse(server)
	if err != nil {
		tb.Fatalf("%s is not a URL", URLVariable)
	}
	random := make([]byte, 6)
	if _, err := rand.Read(random); err != nil {
		tb.Fatal(err)
	}
	name := "leat_test_" + hex.EncodeToString(random)
	if err := run(server, "CREATE DATABASE "+name+" ENCODING 'UTF8' TEMPLATE template0"); err != nil {
		tb.Fatalf("create a database to test with: %v", err)
	}
	tb.Cleanup(func() {
		if err := run(server, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			tb.Errorf("drop the test's database: %v", err)
		}
	})
	u.Path = "/" + name
	return u.String()
}

func run(server, statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	_ = conn.Close(ctx)
	return err
}
