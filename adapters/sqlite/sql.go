package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/leat-dev/leat/app/sqltx"
)

var _ sqltx.Store = (*DB)(nil)

var errOpenRows = errors.New("rows of this transaction are open: close them first")

// Dialect implements sqltx.Store.
func (db *DB) Dialect() sqltx.Dialect { return sqltx.SQLite }

// SQL implements sqltx.Store. In a transaction, the context given with a statement is looked at
// before the statement and not while it runs.
func (db *DB) SQL(ctx context.Context) sqltx.Querier {
	q := db.querier(ctx)
	if in, ok := q.(txQuerier); ok {
		return statements{q: q, t: in.t}
	}
	return statements{q: q}
}

// statements is a querier for the repositories of services. SQLite could do several things at a
// time in one transaction; as servers cannot, and code should run on both, it refuses.
type statements struct {
	q querier
	t *tx // nil outside a transaction
}

func (s statements) ready() error {
	if s.t != nil && s.t.reading.Load() {
		return errOpenRows
	}
	return nil
}

func (s statements) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	if err := s.ready(); err != nil {
		return 0, err
	}
	result, err := s.q.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, s.doing("run a statement", err)
	}
	return result.RowsAffected()
}

func (s statements) Query(ctx context.Context, query string, args ...any) (sqltx.Rows, error) {
	if err := s.ready(); err != nil {
		return nil, err
	}
	found, err := s.q.QueryContext(ctx, query, args...) //nolint:rowserrcheck // who gets the rows asks for their error
	if err != nil {
		return nil, s.doing("run a query", err)
	}
	if s.t != nil {
		s.t.reading.Store(true)
	}
	return &rows{Rows: found, of: s}, nil
}

func (s statements) QueryRow(ctx context.Context, query string, args ...any) sqltx.Row {
	if err := s.ready(); err != nil {
		return failed{err}
	}
	return row{Row: s.q.QueryRowContext(ctx, query, args...), of: s}
}

// doing is as the function of that name, except that a write where one only reads is the fault of
// the statement and not of the machine.
func (s statements) doing(what string, err error) error {
	var e *driver.Error
	if s.t == nil && errors.As(err, &e) && e.Code()&0xff == lib.SQLITE_READONLY {
		return fmt.Errorf("%s: %w: %w", what, errReadOnly, err)
	}
	return doing(what, err)
}

// rows tells its transaction when it is closed.
type rows struct {
	*sql.Rows
	of    statements
	ended bool
}

func (r *rows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.end()
	return false
}

func (r *rows) Err() error { return r.of.doing("read rows", r.Rows.Err()) }

func (r *rows) Close() error {
	defer r.end()
	return r.Rows.Close()
}

func (r *rows) end() {
	if !r.ended && r.of.t != nil {
		r.of.t.reading.Store(false)
	}
	r.ended = true
}

type row struct {
	*sql.Row
	of statements
}

func (r row) Scan(dest ...any) error { return r.of.doing("read a row", r.Row.Scan(dest...)) }

// failed is a row that there is not.
type failed struct{ err error }

func (f failed) Scan(...any) error { return f.err }
