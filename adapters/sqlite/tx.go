package sqlite

import (
	"context"
	"database/sql"
	"sync/atomic"
	"time"

	"github.com/leat-dev/leat/app/eventlog"
)

var (
	_ eventlog.Transactor = (*DB)(nil)
	_ eventlog.Commits    = (*DB)(nil)
)

// querier runs statements, as *sql.DB and *sql.Tx do.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// InTx implements eventlog.Transactor. fn runs in the committer's goroutine, and a panic in it
// reaches the caller. When ctx ends before fn has begun, InTx returns its error and fn never runs;
// from then on InTx waits for the end of the transaction.
//
// A domain.Unavailable error with the code STORE_UNAVAILABLE says that the transaction was lost
// through no fault of fn.
func (db *DB) InTx(ctx context.Context, fn func(ctx context.Context) error) error {
	return db.write(ctx, func(t *tx) error {
		return fn(context.WithValue(ctx, txKey{db}, t))
	})
}

// write runs fn in the transaction that ctx carries, under a savepoint, else in one of the
// committer's.
func (db *DB) write(ctx context.Context, fn func(t *tx) error) error {
	return db.submit(ctx, false, fn)
}

// submit is write for functions that may be bare (committer.submit).
func (db *DB) submit(ctx context.Context, bare bool, fn func(t *tx) error) error {
	t, err := db.txOf(ctx)
	switch {
	case err != nil:
		return err
	case t == nil:
		return db.committer.submit(ctx, bare, fn)
	case ctx.Err() != nil:
		return ctx.Err()
	case t.reading.Load():
		return errOpenRows
	case bare:
		return fn(t)
	}
	return t.nested(func() error { return fn(t) })
}

// querier returns what runs statements in the transaction that ctx carries, else the pool of
// read-only connections. In a transaction, the context given with a statement is looked at before
// the statement and not while it runs.
func (db *DB) querier(ctx context.Context) querier {
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

// Touch makes the commit of the transaction that ctx carries close the channels that Changed
// returned for the topic; without a transaction it closes them now.
func (db *DB) Touch(ctx context.Context, topic string) {
	t, err := db.txOf(ctx)
	if err != nil {
		return
	}
	if t == nil {
		db.topics.announce(topic)
		return
	}
	t.touch(topic)
}

// AfterCommit implements eventlog.Commits.
func (db *DB) AfterCommit(ctx context.Context, fn func()) {
	t, err := db.txOf(ctx)
	switch {
	case err != nil:
	case t == nil:
		fn()
	default:
		t.after = append(t.after, fn)
	}
}

// InTransaction implements eventlog.Commits.
func (db *DB) InTransaction(ctx context.Context) bool { return ctx.Value(txKey{db}) != nil }

type txKey struct{ db *DB }

// txOf returns the transaction of this store that ctx carries, nil when there is none.
func (db *DB) txOf(ctx context.Context) (*tx, error) {
	t, _ := ctx.Value(txKey{db}).(*tx)
	if t != nil && t.ended.Load() {
		return nil, errEnded
	}
	return t, nil
}

// tx is one caller's part of a transaction. The goroutine of the committer uses it, and what the
// caller's function hands the context to.
type tx struct {
	db      *DB
	w       *writer
	depth   int
	touched []string
	after   []func() // to be run after the commit
	ended   atomic.Bool
	reading atomic.Bool // there are open rows of SQL
}

func (t *tx) touch(topic string) {
	for _, known := range t.touched {
		if known == topic {
			return
		}
	}
	t.touched = append(t.touched, topic)
}

// nested runs fn under a savepoint, which is rolled back when fn fails, panics or ends the goroutine.
func (t *tx) nested(fn func() error) error {
	if err := t.w.savepoint(t.depth); err != nil {
		return doing("set a savepoint", err)
	}
	t.depth++
	touched, after, appended, kept := len(t.touched), len(t.after), len(t.w.appended), false
	defer func() {
		t.depth--
		if !kept {
			t.touched, t.after, t.w.appended = t.touched[:touched], t.after[:after], t.w.appended[:appended]
			t.w.undo(t.depth)
		}
	}()
	if err := fn(); err != nil {
		return err
	}
	if err := t.w.release(t.depth - 1); err != nil {
		return doing("release a savepoint", err)
	}
	kept = true
	return nil
}

// txQuerier runs statements in a transaction, which no context may interrupt.
type txQuerier struct{ t *tx }

func (q txQuerier) ready(ctx context.Context) error {
	switch {
	case q.t.ended.Load():
		return errEnded
	case q.t.w.gone:
		return errLost
	}
	return ctx.Err()
}

func (q txQuerier) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if err := q.ready(ctx); err != nil {
		return nil, err
	}
	if s := q.t.w.kept(query); s != nil { //nolint:sqlclosecheck // the writer keeps it, and closes it with the connection
		return s.ExecContext(context.WithoutCancel(ctx), args...)
	}
	return q.t.w.conn.ExecContext(context.WithoutCancel(ctx), query, args...)
}

func (q txQuerier) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if err := q.ready(ctx); err != nil {
		return nil, err
	}
	if s := q.t.w.kept(query); s != nil { //nolint:sqlclosecheck // the writer keeps it, and closes it with the connection
		return s.QueryContext(context.WithoutCancel(ctx), args...)
	}
	return q.t.w.conn.QueryContext(context.WithoutCancel(ctx), query, args...)
}

func (q txQuerier) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if err := q.ready(ctx); err != nil {
		return q.t.db.failedRow(err)
	}
	if s := q.t.w.kept(query); s != nil { //nolint:sqlclosecheck // the writer keeps it, and closes it with the connection
		return s.QueryRowContext(context.WithoutCancel(ctx), args...)
	}
	return q.t.w.conn.QueryRowContext(context.WithoutCancel(ctx), query, args...)
}

// reading runs statements on the read-only pool.
type reading struct{ db *DB }

func (r reading) ExecContext(context.Context, string, ...any) (sql.Result, error) {
	return nil, errReadOnly
}

func (r reading) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return r.db.readers.QueryContext(ctx, query, args...)
}

func (r reading) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return r.db.readers.QueryRowContext(ctx, query, args...)
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
	return db.readers.QueryRowContext(failedContext{err}, "SELECT 1")
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
