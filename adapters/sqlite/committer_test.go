package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/sqlite"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/settle"
	"github.com/leat-dev/leat/domain"
)

var errTest = errors.New("the test wants it so")

// busy keeps the committer in a function until the returned one is called, so that what comes
// meanwhile shares a transaction.
func busy(t *testing.T, db *sqlite.DB) (release func() error) {
	t.Helper()
	began, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- db.InTx(context.Background(), func(context.Context) error {
			close(began)
			<-goOn
			return nil
		})
	}()
	<-began
	return sync.OnceValue(func() error {
		close(goOn)
		return <-ended
	})
}

func add(ctx context.Context, db *sqlite.DB, id string) error {
	_, err := db.Append(ctx, []event.Envelope{envelope(id)})
	return err
}

func logged(t *testing.T, db *sqlite.DB) []string {
	t.Helper()
	events, _, err := db.Read(context.Background(), 0, 0, 10_000)
	require.NoError(t, err)
	ids := []string{}
	for _, e := range events {
		ids = append(ids, e.ID)
	}
	return ids
}

func TestQueuedCallerWhoseContextEnds(t *testing.T) {
	t.Parallel()
	db := open(t, clockwork.NewRealClock())
	release := busy(t, db)
	ctx, cancel := context.WithCancel(context.Background())
	got := make(chan error, 1)
	go func() { got <- add(ctx, db, "never") }()
	deadline, cancelDeadline := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancelDeadline()
	require.ErrorIs(t, add(deadline, db, "never either"), context.DeadlineExceeded)
	cancel()
	require.ErrorIs(t, <-got, context.Canceled, "it does not wait for the one that is running")
	require.NoError(t, release())
	require.NoError(t, add(context.Background(), db, "a"))
	require.Equal(t, []string{"a"}, logged(t, db))
}

func TestContextEndsInTheMiddle(t *testing.T) {
	t.Parallel()
	db := open(t, clockwork.NewRealClock())
	release := busy(t, db)
	var wg sync.WaitGroup
	errs := make([]error, 12)
	for i := range errs {
		wg.Add(1)
		go func() {
			defer wg.Done()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			errs[i] = db.InTx(ctx, func(ctx context.Context) error {
				if err := add(ctx, db, fmt.Sprint(i)); err != nil {
					return err
				}
				if i%3 == 0 {
					cancel()
				}
				_, err := db.SQL(ctx).Exec(ctx, "UPDATE leat_log_state SET pruned_through = pruned_through")
				if i%3 == 0 {
					var n int
					return errors.Join(err, db.SQL(ctx).QueryRow(ctx, "SELECT 1").Scan(&n))
				}
				return err
			})
		}()
	}
	require.NoError(t, release())
	wg.Wait()
	for i, err := range errs {
		if i%3 == 0 {
			require.ErrorIs(t, err, context.Canceled)
		} else {
			require.NoError(t, err, "somebody else's context ended, not this one's")
		}
	}
	require.Len(t, logged(t, db), 8)
}

// TestLostTransaction makes SQLite roll back by itself in the middle of a batch.
func TestLostTransaction(t *testing.T) {
	t.Parallel()
	for name, statement := range map[string]string{
		"rollback by a constraint": "INSERT OR ROLLBACK INTO leat_log_state (one, pruned_through) VALUES (1, 1)",
		"a caller's rollback":      "ROLLBACK",
		"a caller's commit":        "COMMIT",
		"a caller's release":       "RELEASE leat0",
	} {
		for _, swallowed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, swallowed %v", name, swallowed), func(t *testing.T) {
				t.Parallel()
				db := open(t, clockwork.NewRealClock())
				ctx := context.Background()
				var first, culprit error
				var wg sync.WaitGroup
				wg.Add(1)
				firstRan := make(chan struct{})
				go func() {
					defer wg.Done()
					first = db.InTx(ctx, func(ctx context.Context) error {
						err := add(ctx, db, "innocent")
						wg.Add(1)
						go func() {
							defer wg.Done()
							culprit = db.InTx(context.Background(), func(ctx context.Context) error {
								_, err := db.SQL(ctx).Exec(ctx, statement)
								if !swallowed {
									return err
								}
								return errors.Join(add(ctx, db, "after the end"), db.InTx(ctx, func(ctx context.Context) error { return nil }))
							})
						}()
						close(firstRan)
						return err
					})
				}()
				<-firstRan
				wg.Wait()
				requireLost(t, culprit)
				// The innocent one shared the transaction, unless it was committed before the culprit came.
				if first != nil {
					requireLost(t, first)
					require.Empty(t, logged(t, db))
				} else {
					require.Equal(t, []string{"innocent"}, logged(t, db))
				}
				require.NoError(t, add(ctx, db, "next"))
				require.Contains(t, logged(t, db), "next")
			})
		}
	}
}

func requireLost(t *testing.T, err error) {
	t.Helper()
	var e *domain.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, domain.Unavailable, e.Kind)
	require.Equal(t, "STORE_UNAVAILABLE", e.Code)
}

// TestLostBatch puts the culprit among others that certainly share its transaction.
func TestLostBatch(t *testing.T) {
	t.Parallel()
	db := open(t, clockwork.NewRealClock())
	ctx := context.Background()
	require.NoError(t, db.Register(ctx, settle.Registration{Set: "s"}))
	lease, _, err := db.Acquire(ctx, settle.Claim{Set: "s", Lanes: 2, Owner: "a", TTL: time.Hour})
	require.NoError(t, err)
	err = db.InTx(ctx, func(ctx context.Context) error {
		if err := add(ctx, db, "a"); err != nil {
			return err
		}
		e := envelope("a")
		e.Position = 1
		if err := db.Settle(ctx, settle.Work{Lease: lease, Event: e, First: true}); err != nil {
			return err
		}
		err := db.InTx(ctx, func(ctx context.Context) error {
			_, err := db.SQL(ctx).Exec(ctx, "INSERT OR ROLLBACK INTO leat_log_state (one, pruned_through) VALUES (1, 1)")
			return err
		})
		if err == nil {
			return errors.New("the constraint held nothing up")
		}
		if err := add(ctx, db, "b"); err == nil {
			return errors.New("a write after the transaction was lost went through")
		}
		return nil
	})
	requireLost(t, err)
	require.Empty(t, logged(t, db))
	require.NoError(t, add(ctx, db, "c"))
	require.Equal(t, []string{"c"}, logged(t, db))
	e := envelope("a")
	e.Position = 1
	require.NoError(t, db.Settle(ctx, settle.Work{Lease: lease, Event: e, First: true}))
}

// TestCommitThatFails makes SQLite refuse the commit itself: a foreign key that is looked at only then.
func TestCommitThatFails(t *testing.T) {
	t.Parallel()
	db := open(t, clockwork.NewRealClock())
	ctx := context.Background()
	require.NoError(t, db.InTx(ctx, func(ctx context.Context) error {
		for _, statement := range []string{
			"CREATE TABLE parents (id INTEGER PRIMARY KEY)",
			"CREATE TABLE children (parent INTEGER REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED)",
		} {
			if _, err := db.SQL(ctx).Exec(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	}))
	followed := false
	err := db.InTx(ctx, func(ctx context.Context) error {
		db.AfterCommit(ctx, func() { followed = true })
		if err := add(ctx, db, "a"); err != nil {
			return err
		}
		_, err := db.SQL(ctx).Exec(ctx, "INSERT INTO children (parent) VALUES (1)")
		return err
	})
	requireLost(t, err)
	require.False(t, followed, "nothing was committed")
	require.Empty(t, logged(t, db))
	require.NoError(t, add(ctx, db, "b"))
	require.Equal(t, []string{"b"}, logged(t, db))
}

func TestGoexitInTx(t *testing.T) {
	t.Parallel()
	db := open(t, clockwork.NewRealClock())
	for i := range 3 {
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			_ = db.InTx(context.Background(), func(ctx context.Context) error {
				if err := add(ctx, db, fmt.Sprint("undone", i)); err != nil {
					return err
				}
				runtime.Goexit() // as t.FailNow does
				return nil
			})
			t.Error("Goexit did not reach the caller")
		}()
		<-gone
		require.NoError(t, add(context.Background(), db, fmt.Sprint(i)))
	}
	require.Equal(t, []string{"0", "1", "2"}, logged(t, db))
}

func TestTransactionOutlivesItself(t *testing.T) {
	t.Parallel()
	db := open(t, clockwork.NewRealClock())
	var kept context.Context
	require.NoError(t, db.InTx(context.Background(), func(ctx context.Context) error {
		kept = ctx
		return nil
	}))
	require.ErrorContains(t, add(kept, db, "a"), "has ended")
	require.ErrorContains(t, db.InTx(kept, func(context.Context) error { return nil }), "has ended")
	_, err := db.SQL(kept).Exec(kept, "SELECT 1")
	require.ErrorContains(t, err, "has ended")
	var n int
	require.ErrorContains(t, db.SQL(kept).QueryRow(kept, "SELECT 1").Scan(&n), "has ended")
	require.Empty(t, logged(t, db))
}

func TestReadsOutsideTransactionsCannotWrite(t *testing.T) {
	t.Parallel()
	db, ctx := open(t, clockwork.NewRealClock()), context.Background()
	_, err := db.SQL(ctx).Exec(ctx, "DELETE FROM leat_log")
	require.ErrorContains(t, err, "InTx")
	var n int
	err = db.SQL(ctx).QueryRow(ctx, "INSERT INTO leat_log_state (one, pruned_through) VALUES (2, 1) RETURNING 1").Scan(&n)
	require.ErrorContains(t, err, "readonly")
}

func TestTransactionSeesItself(t *testing.T) {
	t.Parallel()
	db := open(t, clockwork.NewRealClock())
	require.NoError(t, db.InTx(context.Background(), func(ctx context.Context) error {
		if err := add(ctx, db, "a"); err != nil {
			return err
		}
		events, through, err := db.Read(ctx, 0, 0, 10)
		if err != nil || len(events) != 1 || through != 1 {
			return fmt.Errorf("in the transaction: %d events through %d, error %w", len(events), through, err)
		}
		if outside := logged(t, db); len(outside) != 0 {
			return fmt.Errorf("outside it: %v", outside)
		}
		return nil
	}))
}

func TestTouch(t *testing.T) {
	t.Parallel()
	db, ctx := open(t, clockwork.NewRealClock()), context.Background()
	closed := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	mine, others, commit := db.Changed("mine"), db.Changed("others"), db.Changed(sqlite.TopicCommit)
	require.ErrorIs(t, db.InTx(ctx, func(ctx context.Context) error {
		db.Touch(ctx, "mine")
		return errTest
	}), errTest)
	require.NoError(t, db.InTx(ctx, func(ctx context.Context) error {
		_ = db.InTx(ctx, func(ctx context.Context) error {
			db.Touch(ctx, "mine")
			return errTest
		})
		return nil
	}))
	require.False(t, closed(mine), "touched, but rolled back")
	require.True(t, closed(commit))
	require.NoError(t, db.InTx(ctx, func(ctx context.Context) error {
		db.Touch(ctx, "mine")
		if closed(mine) {
			return errors.New("closed before the commit")
		}
		return nil
	}))
	require.True(t, closed(mine))
	require.False(t, closed(others))
	mine = db.Changed("mine")
	db.Touch(ctx, "mine")
	require.True(t, closed(mine), "outside a transaction: at once")
}

func TestClosed(t *testing.T) {
	t.Parallel()
	db, ctx := open(t, clockwork.NewRealClock()), context.Background()
	release := busy(t, db)
	var wg sync.WaitGroup
	results := make(chan error, 50)
	for i := range cap(results) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			results <- add(ctx, db, fmt.Sprint(i))
		}()
	}
	closed := make(chan error, 1)
	go func() { closed <- db.Close() }()
	require.NoError(t, release())
	wg.Wait()
	require.NoError(t, <-closed)
	for range cap(results) {
		if err := <-results; err != nil {
			require.ErrorIs(t, err, sqlite.ErrClosed)
		}
	}
	require.ErrorIs(t, add(ctx, db, "late"), sqlite.ErrClosed)
	require.ErrorIs(t, db.InTx(ctx, func(context.Context) error { return nil }), sqlite.ErrClosed)
	_, _, err := db.Read(ctx, 0, 0, 1)
	require.ErrorIs(t, err, sqlite.ErrClosed)
	_, err = db.Statuses(ctx)
	require.ErrorIs(t, err, sqlite.ErrClosed)
}
