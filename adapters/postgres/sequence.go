package postgres

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/leat-dev/leat/app/fault"
	"github.com/leat-dev/leat/app/sequence"
)

var (
	_ sequence.Leader  = (*DB)(nil)
	_ sequence.Counter = (*DB)(nil)
)

const (
	assignPage     = 2000            // how many events get their positions in one transaction
	assignPatience = 5 * time.Second // for one such transaction; then the connection is given up
	lockWait       = 5 * time.Second // how long a standby waits for the lock before it asks again
)

// Unsequenced implements sequence.Leader.
func (db *DB) Unsequenced() <-chan struct{} { return db.Changed(topicUnsequenced) }

// CountUnsequenced implements sequence.Counter.
func (db *DB) CountUnsequenced(ctx context.Context) (n int, err error) {
	ctx, q, err := db.reader(ctx)
	if err == nil {
		err = q.QueryRow(ctx, db.q.countUnsequenced, sequence.MostCounted).Scan(&n)
	}
	return n, doing("count events without a position", err)
}

// Lead implements sequence.Leader. The lock belongs to the session of a connection that this call makes:
// when the process dies or the connection is lost, the server ends the session within two seconds
// and gives the lock to the next who waits.
//
// # Why the events of one aggregate keep their order
//
// Whoever saves an aggregate locks the row of its state before the append, so its next events get
// their numbers after the commit of the ones before: a snapshot that shows the later ones shows the
// earlier ones too, under lower numbers. Each assignment is one statement, with one snapshot, that
// takes everything it can see in the order of the numbers, so no event is ever given a position
// after one that it precedes in this sense. What is not committed is not seen and not waited for; its
// numbers come later, if ever, and then behind what was committed before them.
func (db *DB) Lead(ctx context.Context, lead func(ctx context.Context, assign sequence.Assign) error) error {
	if db.closed.Load() {
		return ErrClosed
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(db.ctx, func() { cancel(ErrClosed) })()
	conn, err := db.lock(ctx)
	if err != nil {
		if cause := context.Cause(ctx); errors.Is(cause, ErrClosed) {
			return ErrClosed
		}
		return doing("wait for the lock of the sequencer", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	}()
	fault.Point("postgres.leading")
	a, err := newAssigner(ctx, db, conn)
	if err != nil {
		return doing("look at the end of the log", err)
	}
	return lead(ctx, func(ctx context.Context) (int, error) {
		n, err := db.assign(ctx, a)
		if conn.IsClosed() {
			cancel(err)
		}
		return n, doing("give positions", err)
	})
}

// lock waits for the lock on a connection of its own.
func (db *DB) lock(ctx context.Context) (*pgx.Conn, error) {
	greeting, cancel := context.WithTimeout(ctx, greetPatience)
	defer cancel()
	conn, err := pgx.ConnectConfig(greeting, db.notifier.conf.Copy())
	if err != nil {
		return nil, err
	}
	// The keepalives let the server notice in two seconds that the machine of the active sequencer is gone.
	_, err = conn.Exec(greeting, "SET synchronous_commit = on; SET statement_timeout = 0; SET lock_timeout = "+
		strconv.FormatInt(lockWait.Milliseconds(), 10)+"; SET tcp_keepalives_idle = 1;"+
		" SET tcp_keepalives_interval = 1; SET tcp_keepalives_count = 1; SET tcp_user_timeout = 1500; SET idle_session_timeout = 0")
	if err == nil {
		// Not every platform has this: it ends the session of a dead process that waits for the lock.
		if _, err = conn.Exec(greeting, "SET client_connection_check_interval = 1000"); sqlState(err) != "" {
			err = nil
		}
	}
	if err == nil {
		err = db.stand(ctx, conn)
	}
	if err == nil {
		greeting, cancel := context.WithTimeout(ctx, greetPatience)
		defer cancel()
		_, err = conn.Exec(greeting, "SET lock_timeout = 0; SET statement_timeout = "+strconv.FormatInt(assignPatience.Milliseconds(), 10))
	}
	if err != nil {
		end, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = conn.Close(end)
		return nil, err
	}
	return conn, nil
}

// stand waits for the lock in short turns: one that hears nothing for ever could not tell a lock that
// is held from a server that is gone.
func (db *DB) stand(ctx context.Context, conn *pgx.Conn) error {
	for {
		turn, cancel := context.WithTimeout(ctx, lockWait+greetPatience)
		_, err := conn.Exec(turn, "SELECT pg_advisory_lock("+strconv.FormatInt(lockKey("sequencer "+db.prefix), 10)+")")
		cancel()
		if sqlState(err) != lockNotAvailable {
			return err
		}
	}
}

// assign gives positions to what is committed, over the connection that holds the lock: when the
// lock is lost, so is the connection, and the write fails.
func (db *DB) assign(ctx context.Context, a *assigner) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	// A caller's context does not cut a commit in the middle: the connection would be lost with it.
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), assignPatience+time.Second)
	defer cancel()
	fault.Point("postgres.giving-positions")
	n, head, err := a.assign(patience)
	if err != nil {
		var said *pgconn.PgError
		if errors.As(err, &said) && said.Severity != "FATAL" {
			return 0, err
		}
		_ = a.conn.Close(patience)
		return 0, err
	}
	if n > 0 {
		fault.Point("postgres.positions-given")
		db.topics.saw(head)
		db.notifier.tell(TopicLog, strconv.FormatInt(head, 10))
	}
	return n, nil
}
