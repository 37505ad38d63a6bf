package postgres

import (
	"context"
	"database/sql"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Querier runs statements, as *sql.DB and *sql.Tx do; placeholders are $1, $2….
type Querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Querier returns what runs statements in the transaction that ctx carries, else what only reads.
// Where a transaction is shared (the effects of settle.Work), the context given with a statement is
// looked at before the statement and not while it runs.
func (db *DB) Querier(ctx context.Context) Querier {
	t, err := db.txOf(ctx)
	switch {
	case err != nil:
		return refusing{db: db, err: err}
	case t != nil:
		return txQuerier{t}
	case db.closed.Load():
		return refusing{db: db, err: ErrClosed}
	}
	return reading{db}
}

// statements is what a connection and a pool have in common.
type statements interface {
	Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, query string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, query string, args ...any) pgx.Row
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// reader returns what this package reads with: the transaction that ctx carries, else the pool.
func (db *DB) reader(ctx context.Context) (context.Context, statements, error) {
	t, err := db.txOf(ctx)
	switch {
	case err != nil:
		return ctx, nil, err
	case ctx.Err() != nil:
		return ctx, nil, ctx.Err()
	case t != nil:
		return t.ctx(ctx), t.conn, nil
	case db.closed.Load():
		return ctx, nil, ErrClosed
	}
	return ctx, db.pool, nil
}

// each calls fn for every row of a query; what fn scans is good until the next row.
func (db *DB) each(ctx context.Context, query string, args []any, fn func(row pgx.CollectableRow) error) error {
	ctx, q, err := db.reader(ctx)
	if err != nil {
		return err
	}
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// txQuerier runs statements in a transaction.
type txQuerier struct{ t *tx }

func (q txQuerier) ready(ctx context.Context) error {
	if q.t.ended.Load() {
		return errEnded
	}
	return ctx.Err()
}

func (q txQuerier) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if err := q.ready(ctx); err != nil {
		return nil, err
	}
	return q.t.sql.ExecContext(q.t.ctx(ctx), query, args...)
}

func (q txQuerier) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if err := q.ready(ctx); err != nil {
		return nil, err
	}
	return q.t.sql.QueryContext(q.t.ctx(ctx), query, args...)
}

func (q txQuerier) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if err := q.ready(ctx); err != nil {
		return q.t.db.failedRow(err)
	}
	return q.t.sql.QueryRowContext(q.t.ctx(ctx), query, args...)
}

// reading runs statements on the pool; those that change something are refused by ExecContext.
type reading struct{ db *DB }

func (r reading) ExecContext(context.Context, string, ...any) (sql.Result, error) {
	return nil, errReadOnly
}

func (r reading) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return r.db.sql.QueryContext(ctx, query, args...)
}

func (r reading) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return r.db.sql.QueryRowContext(ctx, query, args...)
}

// refusing answers everything with one error.
type refusing struct {
	db  *DB
	err error
}

func (r refusing) ExecContext(context.Context, string, ...any) (sql.Result, error) {
	return nil, r.err
}

func (r refusing) QueryContext(context.Context, string, ...any) (*sql.Rows, error) {
	return nil, r.err
}

func (r refusing) QueryRowContext(context.Context, string, ...any) *sql.Row {
	return r.db.failedRow(r.err)
}

// failedRow returns a row whose Scan returns err. Package sql makes such rows only from the error
// of a context.
func (db *DB) failedRow(err error) *sql.Row {
	return db.sql.QueryRowContext(failedContext{err}, "SELECT 1")
}

// failedContext is a context that has ended with an error of our choice.
type failedContext struct{ err error }

var closedChannel = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

func (c failedContext) Deadline() (time.Time, bool) { return time.Time{}, false }
func (c failedContext) Done() <-chan struct{}       { return closedChannel }
func (c failedContext) Err() error                  { return c.err }
func (c failedContext) Value(any) any               { return nil }
