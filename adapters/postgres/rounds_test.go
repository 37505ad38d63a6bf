package postgres_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/postgres"
	"github.com/leat-dev/leat/adapters/postgres/postgrestest"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/settle"
)

// crew is a set with a lane for each of some works.
type crew struct {
	*postgres.DB
	leases []settle.Lease
	next   int64
}

func crewOf(t *testing.T, db *postgres.DB, lanes int) *crew {
	t.Helper()
	ctx := ctxOf(t)
	postgres.TakeYourTime(db)
	c := &crew{DB: db}
	require.NoError(t, db.Register(ctx, settle.Registration{Set: "s", FromStart: true}))
	for lane := range lanes {
		l, ok, err := db.Acquire(ctx, settle.Claim{Set: "s", Lane: lane, Lanes: lanes, Owner: "me", TTL: time.Minute})
		require.NoError(t, err)
		require.True(t, ok)
		c.leases = append(c.leases, l)
	}
	return c
}

// work is the next one of a lane.
func (c *crew) work(lane int) settle.Work {
	c.next++
	e := envelope(fmt.Sprintf("e%d", c.next))
	e.Position, e.Slot = c.next, lane
	return settle.Work{Lease: c.leases[lane], Run: 1, Event: e, First: true}
}

// together settles works of different lanes in one transaction, in order, and returns their errors.
func (c *crew) together(t *testing.T, works ...settle.Work) []error {
	t.Helper()
	began, goOn, first := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	hold := c.work(len(c.leases) - 1)
	hold.Effect = func(context.Context) error {
		close(began)
		<-goOn
		return nil
	}
	go func() { first <- c.Settle(ctxOf(t), hold) }()
	<-began
	errs := make([]error, len(works))
	var wg sync.WaitGroup
	for i, w := range works {
		wg.Go(func() { errs[i] = c.Settle(ctxOf(t), w) })
		require.Eventually(t, func() bool { return postgres.Pending(c.DB, "s") == i+1 }, 10*time.Second, time.Millisecond)
	}
	close(goOn)
	wg.Wait()
	require.NoError(t, <-first)
	return errs
}

// noting is an effect that notes its transaction.
func (c *crew) noting(xids *[]string) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		var xid string
		err := c.SQL(ctx).QueryRow(ctx, "SELECT pg_current_xact_id()::text").Scan(&xid)
		*xids = append(*xids, xid)
		return err
	}
}

func (c *crew) cursor(t *testing.T, slot int) int64 {
	t.Helper()
	all, err := c.Statuses(ctxOf(t))
	require.NoError(t, err)
	return all["s"].Cursors[slot]
}

// However an effect fails, those before and after it in the same transaction are kept, and nothing of it is.
func TestWhatFailsLeavesItsNeighbours(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]struct {
		effect func(ctx context.Context, db *postgres.DB, insert string) error
		says   string
	}{
		"before any statement": {func(context.Context, *postgres.DB, string) error { return errTest }, errTest.Error()},
		"after a statement": {func(ctx context.Context, db *postgres.DB, insert string) error {
			if _, err := db.SQL(ctx).Exec(ctx, insert, 100, 1); err != nil {
				return err
			}
			return errTest
		}, errTest.Error()},
		"a constraint": {func(ctx context.Context, db *postgres.DB, insert string) error {
			_, err := db.SQL(ctx).Exec(ctx, insert, 0, 1)
			return err
		}, "23505"},
		"a number too large": {func(ctx context.Context, db *postgres.DB, insert string) error {
			_, err := db.SQL(ctx).Exec(ctx, insert, 100, int64(1)<<40)
			return err
		}, "greater than maximum"},
		"an unknown table": {func(ctx context.Context, db *postgres.DB, _ string) error {
			_, err := db.SQL(ctx).Exec(ctx, "INSERT INTO nowhere (n) VALUES (?)", 1)
			return err
		}, "42P01"},
		"an error that it swallows": {func(ctx context.Context, db *postgres.DB, _ string) error {
			_, _ = db.SQL(ctx).Exec(ctx, "INSERT INTO nowhere (n) VALUES (?)", 1)
			return nil
		}, "rolled the transaction back"},
		"a constraint that it swallows": {func(ctx context.Context, db *postgres.DB, insert string) error {
			_, _ = db.SQL(ctx).Exec(ctx, insert, 0, 1)
			return nil
		}, "rolled the transaction back"},
		"inside a nested transaction": {func(ctx context.Context, db *postgres.DB, insert string) error {
			_, err := db.SQL(ctx).Exec(ctx, insert, 100, 1)
			return fmt.Errorf("%w, %w", err, db.InTx(ctx, func(ctx context.Context) error {
				_, err := db.SQL(ctx).Exec(ctx, insert, 0, 1)
				return err
			}))
		}, "23505"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := postgrestest.Start(t)
			c := crewOf(t, openAt(t, server, clockwork.NewRealClock()), 8)
			_, err := connect(t, server).Exec(ctxOf(t), "CREATE TABLE effects (id integer PRIMARY KEY, number integer NOT NULL)")
			require.NoError(t, err)
			const insert = "INSERT INTO effects (id, number) VALUES (?, ?)"
			var works []settle.Work
			transactions := map[string]int{}
			for lane := range 6 {
				w := c.work(lane)
				w.Effect = func(ctx context.Context) error {
					_, err := c.SQL(ctx).Exec(ctx, insert, lane, 7)
					if lane == 0 || lane == 5 { // what reads does not go with the savepoints
						var xid string
						if err := c.SQL(ctx).QueryRow(ctx, "SELECT pg_current_xact_id()::text").Scan(&xid); err != nil {
							return err
						}
						transactions[xid]++
					}
					return err
				}
				if lane == 2 || lane == 3 {
					w.Effect = func(ctx context.Context) error { return fail.effect(ctx, c.DB, insert) }
				}
				works = append(works, w)
			}
			errs := c.together(t, works...)
			for lane, err := range errs {
				if lane == 2 || lane == 3 {
					require.ErrorContains(t, err, fail.says)
					require.Zero(t, c.cursor(t, lane))
					continue
				}
				require.NoError(t, err, "lane %d", lane)
				require.Equal(t, works[lane].Event.Position, c.cursor(t, lane))
			}
			require.Len(t, transactions, 1, "they shared it")
			rows, err := connect(t, server).Query(ctxOf(t), "SELECT id FROM effects ORDER BY id")
			require.NoError(t, err)
			var ids []int
			for rows.Next() {
				var id int
				require.NoError(t, rows.Scan(&id))
				ids = append(ids, id)
			}
			require.NoError(t, rows.Err())
			require.Equal(t, []int{0, 1, 4, 5}, ids)
		})
	}
}

// Whatever works share a transaction, in whatever order: what fails leaves nothing, though it or the one before
// it may have sent nothing to the server.
func TestSavepointsInAnyOrder(t *testing.T) {
	t.Parallel()
	server := postgrestest.Start(t)
	c := crewOf(t, openAt(t, server, clockwork.NewRealClock()), 4)
	conn := connect(t, server)
	_, err := conn.Exec(ctxOf(t), "CREATE TABLE effects (id bigint PRIMARY KEY)")
	require.NoError(t, err)
	write := func(ctx context.Context, id int64) error {
		_, err := c.SQL(ctx).Exec(ctx, "INSERT INTO effects (id) VALUES (?)", id)
		return err
	}
	type kind struct{ writes, fails, parks bool }
	kinds := []kind{{}, {writes: true}, {fails: true}, {writes: true, fails: true}, {parks: true}}
	of := func(lane int, k kind) settle.Work {
		w := c.work(lane)
		if k.parks {
			w.Park = &settle.Parked{Position: w.Event.Position, Slot: lane, Key: w.Event.Key(), State: settle.Failed}
			return w
		}
		w.Effect = func(ctx context.Context) error {
			if k.writes {
				if err := write(ctx, w.Event.Position); err != nil {
					return err
				}
			}
			if k.fails {
				return errTest
			}
			return nil
		}
		return w
	}
	var want, parked []int64
	for _, a := range kinds {
		for _, b := range kinds {
			for _, d := range kinds {
				var works []settle.Work
				all := []kind{a, b, d}
				for lane, k := range all {
					works = append(works, of(lane, k))
				}
				errs := c.together(t, works...)
				for lane, k := range all {
					at := works[lane].Event.Position
					if k.fails {
						require.ErrorIs(t, errs[lane], errTest)
						require.Less(t, c.cursor(t, lane), at)
						continue
					}
					require.NoError(t, errs[lane], "%+v", all)
					require.Equal(t, at, c.cursor(t, lane))
					if k.writes {
						want = append(want, at)
					}
					if k.parks {
						parked = append(parked, at)
					}
				}
			}
		}
	}
	rows, err := conn.Query(ctxOf(t), "SELECT id FROM effects ORDER BY id")
	require.NoError(t, err)
	got, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	require.NoError(t, err)
	require.ElementsMatch(t, want, got)
	waiting, err := c.Parked(ctxOf(t), "s", []int{0, 1, 2})
	require.NoError(t, err)
	require.Len(t, waiting, len(parked))
}

// Attempts of parked events share a transaction that has begun, as first deliveries do; one of what is settled
// already does nothing.
func TestAttemptsJoinATransaction(t *testing.T) {
	t.Parallel()
	c := crewOf(t, openAt(t, postgrestest.Start(t), clockwork.NewRealClock()), 2)
	again := c.work(0)
	again.Park = &settle.Parked{Position: again.Event.Position, Slot: 0, Key: again.Event.Key(), State: settle.Failed}
	require.NoError(t, c.Settle(ctxOf(t), again))
	var xids []string
	effect := c.noting(&xids)
	again.First, again.Park, again.Effect = false, nil, effect
	settled := c.work(0)
	settled.First, settled.Effect = false, func(context.Context) error {
		t.Error("the effect was run again")
		return nil
	}
	first := c.work(1)
	first.Effect, first.More = effect, true
	told := make(chan error, 2)
	first.Applied = func() {
		for i, w := range []settle.Work{again, settled} {
			go func() { told <- c.Settle(ctxOf(t), w) }()
			for postgres.Pending(c.DB, "s") == i {
				runtime.Gosched()
			}
		}
	}
	require.NoError(t, c.Settle(ctxOf(t), first))
	require.ElementsMatch(t, []error{nil, settle.ErrSettled}, []error{<-told, <-told})
	require.Len(t, xids, 2)
	require.Equal(t, xids[0], xids[1])
}

// An effect that ends the transaction behind our back takes all down with it, and nobody is told that he is settled.
func TestEffectEndsTheTransaction(t *testing.T) {
	t.Parallel()
	for _, statement := range []string{"ROLLBACK", "ROLLBACK AND CHAIN"} {
		t.Run(statement, func(t *testing.T) {
			t.Parallel()
			c := crewOf(t, openAt(t, postgrestest.Start(t), clockwork.NewRealClock()), 4)
			innocent, culprit, after := c.work(0), c.work(1), c.work(2)
			culprit.Effect = func(ctx context.Context) error {
				_, err := c.SQL(ctx).Exec(ctx, statement)
				return err
			}
			for lane, err := range c.together(t, innocent, culprit, after) {
				if err == nil {
					require.EqualValues(t, lane+1, c.cursor(t, lane), "lane %d was told that it is kept", lane)
				} else {
					require.Zero(t, c.cursor(t, lane))
				}
			}
			require.NoError(t, c.Settle(ctxOf(t), c.work(1)))
		})
	}
}

// A lane that is told that its work is applied gets the next one into the same transaction.
func TestRoundsShareATransaction(t *testing.T) {
	t.Parallel()
	c := crewOf(t, openAt(t, postgrestest.Start(t), clockwork.NewRealClock()), 2)
	var xids []string
	effect := c.noting(&xids)
	first, second := c.work(0), c.work(0)
	first.Effect = effect
	second.Effect = effect
	first.More = true
	told, outcome := make(chan error, 1), make(chan error, 1)
	first.Applied = func() {
		go func() { outcome <- c.Settle(ctxOf(t), second) }()
		for postgres.Pending(c.DB, "s") == 0 {
			runtime.Gosched()
		}
	}
	go func() { told <- c.Settle(ctxOf(t), first) }()
	require.NoError(t, <-told)
	require.NoError(t, <-outcome)
	require.Len(t, xids, 2)
	require.Equal(t, xids[0], xids[1])
	require.Equal(t, second.Event.Position, c.cursor(t, 0))
}

// When a commit fails, nothing that the lane sent on the strength of it gets ahead.
func TestVoided(t *testing.T) {
	t.Parallel()
	server := postgrestest.Start(t)
	p := proxyTo(t, server)
	c := crewOf(t, openAt(t, p.url+"&default_query_exec_mode=exec", clockwork.NewRealClock()), 2)
	ctx := ctxOf(t)
	first, second := c.work(0), c.work(0)
	applied := make(chan struct{})
	first.Applied = func() { close(applied) }
	p.before.Store(true)
	requireUnknown(t, c.Settle(ctx, first))
	<-applied
	require.ErrorIs(t, c.Settle(ctx, second), settle.ErrVoided)
	parks := second
	parks.Park = &settle.Parked{Position: second.Event.Position, Slot: second.Event.Slot, Key: second.Event.Key(), State: settle.Failed}
	require.ErrorIs(t, c.Settle(ctx, parks), settle.ErrVoided)
	require.Zero(t, c.cursor(t, 0))
	first.Run, second.Run, first.Applied = 2, 2, nil
	require.NoError(t, c.Settle(ctx, first))
	require.NoError(t, c.Settle(ctx, second))
	require.Equal(t, second.Event.Position, c.cursor(t, 0))

	// A new owner has nothing to do with what became of the old one's works.
	third := c.work(0)
	third.Run, third.Applied = 9, func() {}
	p.before.Store(true)
	requireUnknown(t, c.Settle(ctx, third))
	lease, ok, err := c.Acquire(ctx, settle.Claim{Set: "s", Lane: 0, Lanes: 2, Owner: "me", TTL: time.Minute})
	require.NoError(t, err)
	require.True(t, ok)
	third.Lease, third.Run = lease, 1
	require.NoError(t, c.Settle(ctx, third))
}

// A panic or the end of the caller's goroutine in an effect undoes it, and no neighbour.
func TestEffectThatDoesNotReturn(t *testing.T) {
	t.Parallel()
	c := crewOf(t, openAt(t, postgrestest.Start(t), clockwork.NewRealClock()), 4)
	before, exits, after := c.work(0), c.work(1), c.work(2)
	exits.Effect = func(ctx context.Context) error {
		c.AfterCommit(ctx, func() { t.Error("it ran without a commit") })
		runtime.Goexit()
		return nil
	}
	errs := c.together(t, before, exits, after)
	require.NoError(t, errs[0])
	require.NoError(t, errs[2])
	require.Zero(t, c.cursor(t, 1))
	exits.Effect = func(context.Context) error { panic("boom") }
	require.PanicsWithValue(t, "boom", func() { _ = c.Settle(ctxOf(t), exits) })
	require.Zero(t, c.cursor(t, 1))
	exits.Effect = nil
	require.NoError(t, c.Settle(ctxOf(t), exits))
}

// Whatever came before: an append that waits for somebody else's transaction holds up others only a moment.
func TestAppendBesideOneThatWaits(t *testing.T) {
	t.Parallel()
	db, ctx := open(t, clockwork.NewRealClock()), ctxOf(t)
	waiting := make(chan error, 1)
	require.NoError(t, db.InTx(ctx, func(ctx context.Context) error {
		if err := add(ctx, db, "same"); err != nil {
			return err
		}
		outside := ctxOf(t)
		go func() { waiting <- add(outside, db, "same") }()
		for i := range 20 {
			if err := add(outside, db, fmt.Sprintf("other%d", i)); err != nil {
				return err
			}
		}
		return nil
	}))
	require.NoError(t, <-waiting)
	receipts, err := db.Append(ctx, []event.Envelope{envelope("same")})
	require.NoError(t, err)
	require.True(t, receipts[0].Duplicate)
}
