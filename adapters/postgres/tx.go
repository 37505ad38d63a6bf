package postgres

import (
	"context"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/app/fault"
)

var (
	_ eventlog.Transactor = (*DB)(nil)
	_ eventlog.Commits    = (*DB)(nil)
)

// endPatience bounds the end of a transaction, which no caller's context may interrupt.
const endPatience = 30 * time.Second

// InTx implements eventlog.Transactor. fn runs in the caller's goroutine. A context that ends rolls
// the transaction back, unless the commit has begun.
//
// A domain.Unavailable error says that the transaction was lost through no fault of fn:
// STORE_UNAVAILABLE when nothing of it was kept (a deadlock, a lost connection), OUTCOME_UNKNOWN when
// the connection was lost during the commit.
func (db *DB) InTx(ctx context.Context, fn func(ctx context.Context) error) error {
	return db.write(ctx, func(ctx context.Context, t *tx) error {
		return fn(context.WithValue(ctx, txKey{db}, t))
	})
}

// write runs fn in the transaction that ctx carries, under a savepoint, else in one of its own.
func (db *DB) write(ctx context.Context, fn func(ctx context.Context, t *tx) error) error {
	t, err := db.txOf(ctx)
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case t != nil && t.reading.Load():
		return errOpenRows
	case t != nil:
		return t.nested(func() error { return fn(ctx, t) })
	}
	if t, err = db.begin(ctx); err != nil {
		return doing("begin a transaction", err)
	}
	if err := db.run(ctx, t, fn); err != nil {
		return err
	}
	t.committed() // with the connection given back, so that they may use the store
	return nil
}

// run runs fn in a transaction that has begun, and ends it.
func (db *DB) run(ctx context.Context, t *tx, fn func(ctx context.Context, t *tx) error) error {
	committing := false
	defer func() {
		t.ended.Store(true)
		if !committing {
			t.rollback()
		}
		t.release()
	}()
	if err := fn(ctx, t); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	committing = true
	t.ended.Store(true)
	if err := t.commit(nil); err != nil {
		return err
	}
	db.committed(t)
	return nil
}

// begin opens a transaction on a connection of its own.
func (db *DB) begin(ctx context.Context) (*tx, error) {
	t, err := db.acquire(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := t.conn.Exec(ctx, "BEGIN"); err != nil {
		t.release()
		return nil, err
	}
	return t, nil
}

// acquire takes a connection for a transaction that the caller begins.
func (db *DB) acquire(ctx context.Context) (*tx, error) {
	if db.closed.Load() {
		return nil, ErrClosed
	}
	conn, err := db.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	return &tx{db: db, pooled: conn, conn: &session{conn: conn.Conn()}}, nil
}

// committed announces what a transaction changed.
func (db *DB) committed(ts ...*tx) {
	var topics []string
	for _, t := range ts {
		for _, topic := range t.touched {
			if !slices.Contains(topics, topic) {
				topics = append(topics, topic)
			}
		}
	}
	db.topics.announce(append(topics, TopicCommit)...)
	for _, topic := range topics {
		if topic != topicUnsequenced {
			db.notifier.tell(topic, "")
		}
	}
}

// Touch makes the commit of the transaction that ctx carries close the channels that Changed
// returned for the topic, in this process and, a little later, in others; without a transaction it
// closes them now.
func (db *DB) Touch(ctx context.Context, topic string) {
	t, err := db.txOf(ctx)
	switch {
	case err != nil:
	case t == nil:
		db.topics.announce(topic)
		db.notifier.tell(topic, "")
	default:
		t.touch(topic)
	}
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

// tx is one caller's transaction, or the caller's part of a shared one. One goroutine uses it at a time.
type tx struct {
	db      *DB
	pooled  *pgxpool.Conn // nil for a part of a shared one
	conn    *session
	shared  bool // with other callers: no context may interrupt its statements
	depth   int
	touched []string
	after   []func() // to be run after the commit
	ended   atomic.Bool
	reading atomic.Bool // there are open rows of SQL
}

func (t *tx) touch(topic string) {
	if !slices.Contains(t.touched, topic) {
		t.touched = append(t.touched, topic)
	}
}

// ctx returns the context for a statement.
func (t *tx) ctx(ctx context.Context) context.Context {
	if t.shared {
		return context.WithoutCancel(ctx)
	}
	return ctx
}

// commit ends the transaction; last, when there is one, holds statements that go before the COMMIT in the same
// round trip.
func (t *tx) commit(last *pgx.Batch) error {
	if t.conn.conn.IsClosed() {
		return doing("commit", errLost)
	}
	ctx, cancel := context.WithTimeout(context.Background(), endPatience)
	defer cancel()
	b := t.conn.taken()
	if last != nil {
		b.QueuedQueries = append(b.QueuedQueries, last.QueuedQueries...)
	}
	fault.Point("postgres.before-commit")
	var tag pgconn.CommandTag
	var err error
	if b.Len() == 0 {
		tag, err = t.conn.conn.Exec(ctx, "COMMIT")
	} else {
		b.Queue("COMMIT")
		results := t.conn.conn.SendBatch(ctx, b)
		fault.Point("postgres.in-commit")
		tag, err = lastOf(results, b.Len())
	}
	switch {
	case err == nil && tag.String() == "COMMIT":
		fault.Point("postgres.committed")
		return nil
	case err == nil:
		return doing("commit", errAborted)
	case sqlState(err) != "" && !t.conn.conn.IsClosed():
		t.rollback()
		return doing("commit", err)
	}
	return outcomeUnknown(err)
}

func (t *tx) rollback() {
	if t.conn.conn.IsClosed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), endPatience)
	defer cancel()
	t.conn.drop()
	_, _ = t.conn.Exec(ctx, "ROLLBACK") // one that fails leaves a connection that the pool throws away
}

// release gives the connection back.
func (t *tx) release() { t.pooled.Release() }

// committed runs what was to run after the commit.
func (t *tx) committed() {
	for _, fn := range t.after {
		fn()
	}
}

// nested runs fn under a savepoint, which is rolled back when fn fails, panics or ends the goroutine.
func (t *tx) nested(fn func() error) error {
	ctx := context.Background() // statements of a moment; the server's timeout bounds them
	name := "leat" + strconv.Itoa(t.depth)
	if _, err := t.conn.Exec(ctx, "SAVEPOINT "+name); err != nil {
		return doing("set a savepoint", err)
	}
	t.depth++
	touched, after, kept := len(t.touched), len(t.after), false
	defer func() {
		t.depth--
		if !kept {
			t.touched, t.after = t.touched[:touched], t.after[:after]
			t.conn.forget()
			if !t.conn.conn.IsClosed() {
				// Should it fail, the transaction stays aborted and its COMMIT rolls back.
				_, _ = t.conn.Exec(ctx, "ROLLBACK TO SAVEPOINT "+name+"; RELEASE SAVEPOINT "+name)
			}
		}
	}()
	if err := fn(); err != nil {
		return err
	}
	if err := t.conn.end(ctx, "RELEASE SAVEPOINT "+name); err != nil {
		return doing("release a savepoint", err)
	}
	kept = true
	return nil
}
