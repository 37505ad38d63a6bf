package sqltx

import (
	"context"
	"io/fs"

	"github.com/leat-dev/leat/app/eventlog"
)

// Store is what a service keeps its own tables in, beside the event log and in the same transactions.
type Store interface {
	eventlog.Transactor
	Schema
	// SQL returns what runs statements in the transaction that ctx carries. Without one it reads
	// what is committed and refuses to write; when the transaction has ended it refuses everything.
	SQL(ctx context.Context) Querier
}

// Schema is where a service's tables are.
type Schema interface {
	// Table returns a table's full name, which begins with the store's prefix.
	Table(name string) string
	// Migrate brings the tables of a service up to date: fsys holds goose's SQL migrations at its
	// top, and name is theirs among those of other services (1 to 32 lowercase letters, digits and
	// underscores). The text "leat_" in them stands for the table prefix. Each is applied once,
	// whoever else migrates at the same time. Tables that a newer version of the service has
	// migrated are a domain.Unavailable error, code SCHEMA_TOO_NEW. Call it outside transactions.
	Migrate(ctx context.Context, fsys fs.FS, name string) error
	// Dialect returns the SQL that the store speaks.
	Dialect() Dialect
}

// Querier runs statements. In a transaction, only one of them at a time.
type Querier interface {
	// Exec runs a statement and returns how many rows it inserted, changed or deleted. Outside a
	// transaction it is an error.
	Exec(ctx context.Context, query string, args ...any) (affected int64, err error)
	// Query returns the rows of a query. They must be closed, and in a transaction before anything
	// else is done with it.
	Query(ctx context.Context, query string, args ...any) (Rows, error)
	// QueryRow returns the first row of a query. It must be scanned, which also tells the error.
	QueryRow(ctx context.Context, query string, args ...any) Row
}

// Rows is a position in the rows of a query, at first before all of them.
type Rows interface {
	// Next goes to the next row. It returns false, and closes the rows, when there is none or an
	// error happened, which Err then tells.
	Next() bool
	Scan(dest ...any) error
	Err() error
	// Close may be called more than once.
	Close() error
}

// Row is one row, or none.
type Row interface {
	// Scan reads the row's columns; sql.ErrNoRows when there is no row.
	Scan(dest ...any) error
}

// Dialect names the SQL that a store speaks.
type Dialect string

// The dialects there are.
const (
	SQLite   Dialect = "sqlite"
	Postgres Dialect = "postgres"
)
