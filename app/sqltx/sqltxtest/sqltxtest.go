// Package sqltxtest is the conformance suite of package sqltx: what a repository may rely on,
// whichever store it is on. A store's test calls Run with one line.
package sqltxtest

import (
	"context"
	"errors"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/sqltx"
)

// Run tests a store. open returns an empty one whose table names begin with prefix, and sees to its
// end.
func Run(t *testing.T, open func(t *testing.T, prefix string) sqltx.Store) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, f *fixture)
	}{
		{"a transaction commits", commits},
		{"a transaction that fails rolls back", rollsBack},
		{"a panic rolls back and reaches its caller", rollsBackOnPanic},
		{"a nested transaction fails alone", nestedFailsAlone},
		{"a nested transaction goes with the outer one", nestedGoesAlong},
		{"a statement that fails in a nested transaction spoils nothing", failedStatementNested},
		{"the context carries the transaction", contextCarries},
		{"nothing runs in a transaction that has ended", ended},
		{"nothing runs for a context that has ended", cancelled},
		{"rows are closed before the next statement", rowsAreClosed},
		{"writing outside a transaction is an error", writesOutside},
		{"affected rows", affected},
		{"no row", noRow},
		{"rows", rows},
		{"statements that are wrong", wrongStatements},
		{"integers", integers},
		{"texts", texts},
		{"bytes", bytes},
		{"times", times},
		{"nulls", nulls},
		{"question marks that are no placeholders", questionMarks},
		{"one of many inserts wins", oneInsertWins},
		{"no update is lost", noUpdateIsLost},
		{"migrations are applied once", migratedOnce},
		{"migrations of several services", migratedBeside},
		{"migrations that cannot be applied", migrationsRefused},
		{"tables have the prefix", prefixed},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := &fixture{Store: open(t, prefix)}
			f.migrate(t, "sqltx", "things", things)
			f.things = f.Table("things")
			c.test(t, f)
		})
	}
}

const (
	prefix   = "mine_"
	patience = 20 * time.Second

	things = "CREATE TABLE leat_things (id TEXT NOT NULL PRIMARY KEY, n BIGINT, body BYTEA, version BIGINT NOT NULL DEFAULT 1);"
)

var errTest = errors.New("the test wants it so")

type fixture struct {
	sqltx.Store
	things string // the table's name
}

func ctxOf(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// migrate creates a service's table.
func (f *fixture) migrate(t *testing.T, service, file, statements string) {
	t.Helper()
	require.NoError(t, f.Migrate(ctxOf(t), files(file, statements), service))
}

func files(name, statements string) fstest.MapFS {
	return fstest.MapFS{"00001_" + name + ".sql": {Data: []byte("-- +goose Up\n" + statements + "\n")}}
}

// add inserts a row in the transaction that ctx carries.
func (f *fixture) add(ctx context.Context, id string) error {
	_, err := f.SQL(ctx).Exec(ctx, "INSERT INTO "+f.things+" (id) VALUES (?)", id)
	return err
}

// in runs fn in a transaction, which must commit.
func (f *fixture) in(t *testing.T, fn func(ctx context.Context) error) {
	t.Helper()
	require.NoError(t, f.InTx(ctxOf(t), fn))
}

// ids returns the ids of all rows that ctx sees, in order; never nil.
func (f *fixture) ids(ctx context.Context) (found []string, err error) {
	found = []string{}
	rows, err := f.SQL(ctx).Query(ctx, "SELECT id FROM "+f.things+" ORDER BY id")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		found = append(found, id)
	}
	return found, rows.Err()
}

// holds checks what is committed.
func (f *fixture) holds(t *testing.T, want ...string) {
	t.Helper()
	found, err := f.ids(ctxOf(t))
	require.NoError(t, err)
	require.Equal(t, append([]string{}, want...), found)
}
