package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/postgres"
	"github.com/leat-dev/leat/adapters/postgres/postgrestest"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/sequence"
	"github.com/leat-dev/leat/app/settle"
	"github.com/leat-dev/leat/domain"
)

func add(ctx context.Context, db *postgres.DB, ids ...string) error {
	var events []event.Envelope
	for _, id := range ids {
		events = append(events, envelope(id))
	}
	_, err := db.Append(ctx, events)
	return err
}

// logged waits until the log shows n events.
func logged(t testing.TB, db *postgres.DB, n int) []string {
	t.Helper()
	ctx := ctxOf(t)
	for {
		appended := db.Appended()
		events, _, err := db.Read(ctx, 0, 0, 100_000)
		require.NoError(t, err)
		require.LessOrEqual(t, len(events), n)
		if len(events) == n {
			ids := make([]string, n)
			for i, e := range events {
				ids[i] = e.ID
			}
			return ids
		}
		select {
		case <-appended:
		case <-time.After(20 * time.Millisecond): // another process may have given them, and its word be lost
		case <-ctx.Done():
			t.Fatalf("the log shows %d events, want %d", len(events), n)
		}
	}
}

// sequencerPID is the session that holds the sequencer's lock.
const sequencerPID = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"

func TestStandbyTakesOver(t *testing.T) {
	t.Parallel()
	url := postgrestest.Start(t)
	first, second := openAt(t, url, clockwork.NewRealClock()), openAt(t, url, clockwork.NewRealClock())
	lead(t, first)
	require.NoError(t, add(ctxOf(t), first, "0"))
	logged(t, second, 1)
	lead(t, second)

	// Whoever leads loses its connection, again and again, while both append.
	admin := connect(t, url)
	appended := 1
	for round := range 6 {
		for i, db := range []*postgres.DB{first, second} {
			require.NoError(t, add(ctxOf(t), db, fmt.Sprintf("%d-%d", round, i)))
			appended++
		}
		var pid int
		for {
			if err := admin.QueryRow(ctxOf(t), sequencerPID).Scan(&pid); err == nil {
				break
			}
		}
		var ended bool
		require.NoError(t, admin.QueryRow(ctxOf(t), "SELECT pg_terminate_backend($1, 5000)", pid).Scan(&ended))
		require.True(t, ended)
		began := time.Now()
		require.NoError(t, add(ctxOf(t), first, fmt.Sprintf("%d-after", round)))
		appended++
		ids := logged(t, second, appended)
		require.Less(t, time.Since(began), 2*time.Second)
		require.Equal(t, ids, logged(t, first, appended))
		require.Equal(t, fmt.Sprintf("%d-after", round), ids[len(ids)-1])
	}
}

func TestOneLeads(t *testing.T) {
	t.Parallel()
	url := postgrestest.Start(t)
	first, second := openAt(t, url, clockwork.NewRealClock()), openAt(t, url, clockwork.NewRealClock())
	ctx, cancel := context.WithCancel(ctxOf(t))
	defer cancel()
	leading, lost := make(chan sequence.Assign), make(chan error, 1)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		_ = first.Lead(ctx, func(ctx context.Context, assign sequence.Assign) error {
			leading <- assign
			<-ctx.Done()
			lost <- context.Cause(ctx)
			return nil
		})
	})
	assign := <-leading
	n, err := assign(ctx)
	require.NoError(t, err)
	require.Zero(t, n)

	second2 := make(chan struct{})
	standby, stop := context.WithCancel(ctx)
	wg.Go(func() {
		err := second.Lead(standby, func(ctx context.Context, assign sequence.Assign) error {
			close(second2)
			return errTest
		})
		if !errors.Is(err, errTest) {
			t.Errorf("Lead returned %v, want the error of lead", err)
		}
	})
	require.NoError(t, add(ctx, first, "a"))
	select {
	case <-second2:
		t.Fatal("two lead")
	default:
	}
	n, err = assign(ctx)
	require.NoError(t, err)
	require.Equal(t, 1, n)

	// The one that lost its connection cannot write any more and is told so.
	_, err = connect(t, url).Exec(ctx, "SELECT pg_terminate_backend(pid) FROM ("+sequencerPID+") s")
	require.NoError(t, err)
	<-second2
	stop()
	_, err = assign(ctx)
	require.Equal(t, domain.Unavailable, domain.KindOf(err), "%v", err)
	require.Error(t, <-lost)
}

var errTest = errors.New("the test wants it so")

func TestTransactionThatNeverCommits(t *testing.T) {
	t.Parallel()
	db := openAt(t, postgrestest.Start(t), clockwork.NewRealClock())
	lead(t, db)
	goOn, began, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- db.InTx(context.Background(), func(ctx context.Context) error {
			if err := add(ctx, db, "slow", "dup"); err != nil {
				return err
			}
			close(began)
			<-goOn
			return nil
		})
	}()
	<-began
	want := []string{}
	for i := range 20 {
		id := fmt.Sprint(i)
		require.NoError(t, add(ctxOf(t), db, id))
		want = append(want, id)
	}
	require.Equal(t, want, logged(t, db, 20), "what comes later waits for nobody")

	// Nor does who happens to share a commit with the same id.
	dup := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctxOf(t))
	go func() { dup <- add(ctx, db, "dup") }()
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if err := add(ctxOf(t), db, fmt.Sprint("more", i)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	logged(t, db, 40)
	cancel()
	require.ErrorIs(t, <-dup, context.Canceled)

	close(goOn)
	require.NoError(t, <-ended)
	ids := logged(t, db, 42)
	require.Equal(t, []string{"slow", "dup"}, ids[40:])
}

// TestLateCommits holds back more numbers than are looked for one by one, and fewer, over a change of
// the leader.
func TestLateCommits(t *testing.T) {
	t.Parallel()
	db := openAt(t, postgrestest.Start(t), clockwork.NewRealClock())
	stop := lead(t, db)
	// hold begins a transaction with n events and returns what commits it.
	hold := func(name string, n int) (commit func()) {
		goOn, began, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		release := sync.OnceFunc(func() { close(goOn) })
		t.Cleanup(release) // or the store could not be closed after a failure
		go func() {
			ended <- db.InTx(context.Background(), func(ctx context.Context) error {
				for i := range n {
					if err := add(ctx, db, fmt.Sprintf("%s%04d", name, i)); err != nil {
						return err
					}
				}
				close(began)
				<-goOn
				return nil
			})
		}()
		<-began
		return func() {
			release()
			require.NoError(t, <-ended)
		}
	}
	total := 0
	expect := func(ids ...string) {
		t.Helper()
		total += len(ids)
		require.Equal(t, ids, logged(t, db, total)[total-len(ids):])
	}
	few, many := hold("few", 2), hold("many", 1200)
	require.NoError(t, add(ctxOf(t), db, "a"))
	expect("a")
	require.Error(t, db.InTx(ctxOf(t), func(ctx context.Context) error { return errors.Join(add(ctx, db, "never"), errTest) }))
	require.NoError(t, add(ctxOf(t), db, "b"))
	expect("b")
	few()
	expect("few0000", "few0001")
	other := hold("other", 1)
	require.NoError(t, add(ctxOf(t), db, "c"))
	expect("c")
	stop()
	lead(t, db)
	require.NoError(t, add(ctxOf(t), db, "d"))
	expect("d")
	many()
	total += 1200
	logged(t, db, total)
	other()
	expect("other0000")
	require.NoError(t, add(ctxOf(t), db, "e", "f"))
	expect("e", "f")
}

// TestAggregatesKeepTheirOrder lets many save few aggregates, each locking its row before it appends.
func TestAggregatesKeepTheirOrder(t *testing.T) {
	t.Parallel()
	const savers, each, aggregates = 8, 20, 3
	db := openAt(t, postgrestest.Start(t), clockwork.NewRealClock())
	lead(t, db)
	require.NoError(t, db.InTx(ctxOf(t), func(ctx context.Context) error {
		if _, err := db.SQL(ctx).Exec(ctx, "CREATE TABLE aggregates (id BIGINT PRIMARY KEY, version BIGINT NOT NULL)"); err != nil {
			return err
		}
		_, err := db.SQL(ctx).Exec(ctx, "INSERT INTO aggregates SELECT n, 0 FROM generate_series(0, ?) n", aggregates-1)
		return err
	}))
	var wg sync.WaitGroup
	for s := range savers {
		wg.Go(func() {
			for i := range each {
				id := (s + i) % aggregates
				err := db.InTx(ctxOf(t), func(ctx context.Context) error {
					var version int
					if err := db.SQL(ctx).QueryRow(ctx, "UPDATE aggregates SET version = version + 1 WHERE id = ? RETURNING version", id).Scan(&version); err != nil {
						return err
					}
					return add(ctx, db, fmt.Sprintf("%d/%04d", id, version))
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	last := map[byte]string{}
	for _, id := range logged(t, db, savers*each) {
		require.Greater(t, id, last[id[0]])
		last[id[0]] = id
	}
}

func TestStaleOwnerCannotSettle(t *testing.T) {
	t.Parallel()
	db := openAt(t, postgrestest.Start(t), clockwork.NewRealClock())
	lead(t, db)
	ctx := ctxOf(t)
	require.NoError(t, db.Register(ctx, settle.Registration{Set: "s", Types: []string{"build.started"}}))
	require.NoError(t, add(ctx, db, "a"))
	logged(t, db, 1)
	events, _, err := db.Read(ctx, 0, 0, 1)
	require.NoError(t, err)

	// The lease runs out by the clock of the database while the owner's effect is under way. The other one waits
	// for the commit, and finds the cursor moved.
	old, ok, err := db.Acquire(ctx, settle.Claim{Set: "s", Lanes: 2, Types: []string{"build.started"}, Owner: "old", TTL: time.Millisecond})
	require.NoError(t, err)
	require.True(t, ok)
	inEffect, goOn, settled := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		settled <- db.Settle(ctx, settle.Work{Lease: old, Event: events[0], First: true, Effect: func(ctx context.Context) error {
			close(inEffect)
			<-goOn
			return add(ctx, db, "effect")
		}})
	}()
	<-inEffect
	type acquired struct {
		lease settle.Lease
		ok    bool
		err   error
	}
	got := make(chan acquired, 1)
	go func() {
		l, ok, err := db.Acquire(ctx, settle.Claim{Set: "s", Lanes: 2, Types: []string{"build.started"}, Owner: "new", TTL: time.Minute})
		got <- acquired{l, ok, err}
	}()
	select {
	case <-got:
		t.Fatal("the lane was taken in the middle of a commit")
	case <-time.After(50 * time.Millisecond): // the time in which it could have gone wrong
	}
	close(goOn)
	require.NoError(t, <-settled)
	now := <-got
	require.NoError(t, now.err)
	require.True(t, now.ok)
	require.True(t, now.lease.TakenOver)
	statuses, err := db.Statuses(ctx)
	require.NoError(t, err)
	require.Equal(t, events[0].Position, statuses["s"].Cursors[events[0].Slot])

	require.ErrorIs(t, db.Settle(ctx, settle.Work{Lease: old, Event: events[0], Effect: func(context.Context) error {
		t.Error("the effect of a stale owner ran")
		return nil
	}}), settle.ErrFenced)
	logged(t, db, 2)
}

func TestChangesReachOtherProcesses(t *testing.T) {
	t.Parallel()
	url := postgrestest.Start(t)
	first, second := openAt(t, url, clockwork.NewRealClock()), openAt(t, url, clockwork.NewRealClock())
	lead(t, first)
	ctx := ctxOf(t)
	require.NoError(t, first.Register(ctx, settle.Registration{Set: "s"}))
	parked, appended, own := second.ParkedChanged(), second.Appended(), second.Changed("own topic")
	require.NoError(t, first.SetPaused(ctx, "s", true))
	require.NoError(t, add(ctx, first, "a"))
	first.Touch(ctx, "own topic")
	for _, c := range []<-chan struct{}{parked, appended, own} {
		select {
		case <-c:
		case <-ctx.Done():
			t.Fatal("the other process was not told")
		}
	}
}
