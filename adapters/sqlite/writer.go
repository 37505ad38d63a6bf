package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"

	driver "modernc.org/sqlite"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/fault"
)

// writer is the one connection that writes. Only the committer's goroutine uses it.
type writer struct {
	conn     *sql.Conn
	stmts    map[string]*sql.Stmt
	inserter inserter
	// theirs holds statements of services, which say the same over and over.
	theirs map[string]*sql.Stmt
	// fences holds the live fence of lanes, read once. It is right because nobody else writes: who
	// changes a lease takes the entry out, and a rollback empties the map.
	fences map[laneKey]int64
	// cursors holds where cursors stand, in the same way: so that a lane's work need not ask.
	cursors map[cursorKey]int64
	// appended holds what the transaction has put into the log, with their positions.
	appended []event.Envelope

	open       bool // between BEGIN and its end
	committing bool // COMMIT comes from the committer
	gone       bool // SQLite rolled the transaction back by itself
}

// newWriter takes the connection over; log is the name of the table. Two hooks guard its transactions: SQLite rolls back by
// itself on some errors, after which the statements that follow would commit one by one, and a
// statement of a caller could be COMMIT. Nothing commits but what the committer commits.
func newWriter(conn *sql.Conn, log string) (*writer, error) {
	w := &writer{
		conn: conn, stmts: map[string]*sql.Stmt{}, theirs: map[string]*sql.Stmt{},
		inserter: newInserter(log), fences: map[laneKey]int64{}, cursors: map[cursorKey]int64{},
	}
	err := w.hooks(
		func() int32 {
			if w.open && !w.committing {
				return 1 // turns the commit into a rollback
			}
			fault.Point("sqlite.in-commit")
			return 0
		},
		func() {
			if w.open {
				w.gone = true
			}
		},
	)
	return w, err
}

func (w *writer) hooks(commit driver.CommitHookFn, rollback driver.RollbackHookFn) error {
	return w.conn.Raw(func(c any) error {
		h, ok := c.(driver.HookRegisterer)
		if !ok {
			return fmt.Errorf("the SQLite driver has no commit hooks")
		}
		h.RegisterCommitHook(commit)
		h.RegisterRollbackHook(rollback)
		return nil
	})
}

func (w *writer) close() error {
	for _, s := range w.stmts {
		_ = s.Close()
	}
	for _, s := range w.theirs {
		_ = s.Close()
	}
	w.inserter.close()
	_ = w.hooks(nil, nil)
	return w.conn.Close()
}

// prepared returns the statement for a query of this package; there are few of them, so they are kept.
func (w *writer) prepared(query string) (*sql.Stmt, error) {
	if s, ok := w.stmts[query]; ok {
		return s, nil
	}
	s, err := w.conn.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	w.stmts[query] = s
	return s, nil
}

// maxTheirs is how many statements of services are kept; who makes up more of them has each prepared anew.
const maxTheirs = 256

// kept returns the statement for a query of a service, nil when it is better run as it is: it may
// be several, or wrong.
func (w *writer) kept(query string) *sql.Stmt {
	if s, ok := w.theirs[query]; ok {
		return s
	}
	if len(w.theirs) == maxTheirs || strings.Contains(query, ";") {
		return nil
	}
	s, err := w.conn.PrepareContext(context.Background(), query)
	if err != nil {
		return nil
	}
	w.theirs[query] = s
	return s
}

func (w *writer) exec(query string, args ...any) (sql.Result, error) {
	if w.gone {
		return nil, errLost
	}
	s, err := w.prepared(query)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(context.Background(), args...)
}

// row reads one row into dest; sql.ErrNoRows when there is none.
func (w *writer) row(query string, args []any, dest ...any) error {
	if w.gone {
		return errLost
	}
	s, err := w.prepared(query)
	if err != nil {
		return err
	}
	return s.QueryRowContext(context.Background(), args...).Scan(dest...)
}

// forget drops what the writer knows of lanes: it may be undone, or is about to change.
func (w *writer) forget() {
	clear(w.fences)
	clear(w.cursors)
}

func noRow(err error) bool { return errors.Is(err, sql.ErrNoRows) }

// maxAppended is for how many events room is kept from one transaction to the next.
const maxAppended = 1024

func (w *writer) begin() error {
	w.gone = false
	if clear(w.appended); cap(w.appended) > maxAppended {
		w.appended = nil
	}
	w.appended = w.appended[:0]
	if _, err := w.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	w.open = true
	return nil
}

func (w *writer) commit() error {
	if w.gone {
		w.open = false
		return errLost
	}
	w.committing = true
	_, err := w.exec("COMMIT")
	w.committing = false
	if err != nil {
		w.rollback()
	}
	w.open = false
	return err
}

func (w *writer) rollback() {
	w.open, w.gone = false, false
	w.forget()
	_, _ = w.exec("ROLLBACK") // an error means that there is nothing to roll back
}

// Savepoints are named by their depth, so that there are few statements to keep.
func (w *writer) savepoint(depth int) error {
	_, err := w.exec("SAVEPOINT leat" + strconv.Itoa(depth))
	return err
}

func (w *writer) release(depth int) error {
	_, err := w.exec("RELEASE leat" + strconv.Itoa(depth))
	return err
}

func (w *writer) undo(depth int) {
	w.forget()
	if w.gone {
		return
	}
	n := strconv.Itoa(depth)
	if _, err := w.exec("ROLLBACK TO leat" + n); err != nil {
		w.gone = true // the work cannot be taken out of the transaction, so none of it may be kept
		return
	}
	if _, err := w.exec("RELEASE leat" + n); err != nil {
		w.gone = true
	}
}
