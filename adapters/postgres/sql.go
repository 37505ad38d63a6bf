package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/leat-dev/leat/app/sqltx"
)

var _ sqltx.Store = (*DB)(nil)

var errOpenRows = errors.New("rows of this transaction are open: close them first")

// Dialect implements sqltx.Store.
func (db *DB) Dialect() sqltx.Dialect { return sqltx.Postgres }

// SQL implements sqltx.Store. Outside a transaction it reads on connections that are read-only.
// In the effects of settle.Work, whose transaction is shared, the context given with a statement is
// looked at before the statement and not while it runs.
func (db *DB) SQL(ctx context.Context) sqltx.Querier {
	t, err := db.txOf(ctx)
	if err == nil && t == nil && db.closed.Load() {
		err = ErrClosed
	}
	return querier{db: db, t: t, err: err}
}

// statements is what a connection and a pool have in common.
type statements interface {
	Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, query string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, query string, args ...any) pgx.Row
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// reader returns what this package reads with: the transaction that ctx carries, else the
// connections that only read.
func (db *DB) reader(ctx context.Context) (context.Context, statements, error) {
	t, err := db.txOf(ctx)
	switch {
	case err != nil:
		return ctx, nil, err
	case ctx.Err() != nil:
		return ctx, nil, ctx.Err()
	case t != nil && t.reading.Load():
		return ctx, nil, errOpenRows
	case t != nil:
		return t.ctx(ctx), t.conn, nil
	case db.closed.Load():
		return ctx, nil, ErrClosed
	}
	return ctx, db.reads, nil
}

// each calls fn for every row of a query; what fn scans is good until the next row.
func (db *DB) each(ctx context.Context, query string, args []any, fn func(row pgx.CollectableRow) error) error {
	ctx, q, err := db.reader(ctx)
	if err != nil {
		return err
	}
	found, err := q.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer found.Close()
	for found.Next() {
		if err := fn(found); err != nil {
			return err
		}
	}
	return found.Err()
}

// querier runs the statements of services.
type querier struct {
	db  *DB
	t   *tx   // nil outside a transaction
	err error // why nothing can be run
}

// on returns what the next statement runs on.
func (q querier) on(ctx context.Context) (context.Context, statements, error) {
	switch {
	case q.err != nil:
		return ctx, nil, q.err
	case ctx.Err() != nil:
		return ctx, nil, ctx.Err()
	case q.t == nil:
		return ctx, q.db.reads, nil
	case q.t.ended.Load():
		return ctx, nil, errEnded
	case q.t.reading.Load():
		return ctx, nil, errOpenRows
	}
	return q.t.ctx(ctx), q.t.conn, nil
}

func (q querier) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	ctx, on, err := q.on(ctx)
	if err == nil && q.t == nil {
		err = errReadOnly
	}
	if err != nil {
		return 0, doing("run a statement", err)
	}
	tag, err := on.Exec(ctx, sqltx.Rebind(query), args...)
	if err != nil {
		return 0, q.doing("run a statement", err)
	}
	return tag.RowsAffected(), nil
}

func (q querier) Query(ctx context.Context, query string, args ...any) (sqltx.Rows, error) {
	ctx, on, err := q.on(ctx)
	if err != nil {
		return nil, doing("run a query", err)
	}
	found, err := on.Query(ctx, sqltx.Rebind(query), args...)
	if err != nil {
		return nil, q.doing("run a query", err)
	}
	if q.t != nil {
		q.t.reading.Store(true)
	}
	return &openRows{Rows: found, of: q}, nil
}

func (q querier) QueryRow(ctx context.Context, query string, args ...any) sqltx.Row {
	found, err := q.Query(ctx, query, args...)
	if err != nil {
		return failedRow{err}
	}
	return firstRow{found}
}

// doing is as the function of that name, except that a write where one only reads is the fault of
// the statement and not of the server.
func (q querier) doing(what string, err error) error {
	if q.t == nil && sqlState(err) == readOnlyTransaction {
		return fmt.Errorf("%s: %w: %w", what, errReadOnly, err)
	}
	return doing(what, err)
}

// openRows tells its transaction when it is closed.
type openRows struct {
	pgx.Rows
	of    querier
	ended bool
}

func (r *openRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.end()
	return false
}

func (r *openRows) Scan(dest ...any) error { return doing("read a row", r.Rows.Scan(dest...)) }
func (r *openRows) Err() error             { return r.of.doing("read rows", r.Rows.Err()) }

func (r *openRows) Close() error {
	r.Rows.Close()
	r.end()
	return nil
}

func (r *openRows) end() {
	if !r.ended && r.of.t != nil {
		r.of.t.reading.Store(false)
	}
	r.ended = true
}

type firstRow struct{ rows sqltx.Rows }

func (r firstRow) Scan(dest ...any) error {
	defer func() { _ = r.rows.Close() }()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return doing("read a row", sql.ErrNoRows)
	}
	if err := r.rows.Scan(dest...); err != nil {
		return err
	}
	if err := r.rows.Close(); err != nil {
		return err
	}
	return r.rows.Err()
}

// failedRow is a row that there is not.
type failedRow struct{ err error }

func (f failedRow) Scan(...any) error { return f.err }
