package sqlite_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/sqlite"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/settle"
)

// laneOf registers a set, appends n events of one key, and returns them with a lease.
func laneOf(t *testing.T, db *sqlite.DB, n int) (settle.Lease, []event.Envelope) {
	t.Helper()
	ctx := context.Background()
	require.NoError(t, db.TakeYourTime(ctx))
	require.NoError(t, db.Register(ctx, settle.Registration{Set: "s", FromStart: true}))
	lease, _, err := db.Acquire(ctx, settle.Claim{Set: "s", Lanes: 1, Owner: "a", TTL: time.Hour})
	require.NoError(t, err)
	for i := range n {
		e := envelope(string(rune('a' + i)))
		e.PartitionKey = "k"
		_, err := db.Append(ctx, []event.Envelope{e})
		require.NoError(t, err)
	}
	events, _, err := db.Read(ctx, 0, 0, n+1)
	require.NoError(t, err)
	require.Len(t, events, n)
	return lease, events
}

func waits(t *testing.T, db *sqlite.DB, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return db.Queued() >= n }, 30*time.Second, time.Millisecond)
}

// A lane that is told that its work is applied gets the next one into the same transaction.
func TestRoundsShareACommit(t *testing.T) {
	t.Parallel()
	db, ctx := open(t, clockwork.NewRealClock()), context.Background()
	lease, events := laneOf(t, db, 2)
	release := busy(t, db)
	applied, first, second := make(chan struct{}), make(chan error, 1), make(chan error, 1)
	go func() {
		first <- db.Settle(ctx, settle.Work{
			Lease: lease, Run: 1, Event: events[0], First: true, Applied: func() { close(applied) }, More: true,
		})
	}()
	waits(t, db, 1)
	other := make(chan error, 1)
	go func() {
		other <- db.InTx(ctx, func(context.Context) error {
			<-applied
			go func() {
				second <- db.Settle(ctx, settle.Work{Lease: lease, Run: 1, Event: events[1], First: true, Effect: func(context.Context) error {
					if len(first) > 0 {
						t.Error("the first was told before the second had run")
					}
					return nil
				}})
			}()
			for db.Queued() == 0 {
				runtime.Gosched()
			}
			return nil
		})
	}()
	waits(t, db, 2)
	require.NoError(t, release())
	require.NoError(t, <-other)
	require.NoError(t, <-first)
	require.NoError(t, <-second)
	require.Equal(t, events[1].Position, cursor(t, db, events[0].Slot))
}

// When a commit fails, nothing that the lane sent on the strength of it gets ahead.
func TestVoided(t *testing.T) {
	t.Parallel()
	db, ctx := open(t, clockwork.NewRealClock()), context.Background()
	lease, events := laneOf(t, db, 2)
	release := busy(t, db)
	applied, first, culprit := make(chan struct{}), make(chan error, 1), make(chan error, 1)
	go func() {
		first <- db.Settle(ctx, settle.Work{
			Lease: lease, Run: 1, Event: events[0], First: true, Applied: func() { close(applied) },
		})
	}()
	waits(t, db, 1)
	go func() {
		culprit <- db.InTx(ctx, func(ctx context.Context) error {
			_, err := db.SQL(ctx).Exec(ctx, "ROLLBACK")
			return err
		})
	}()
	waits(t, db, 2)
	requireLost(t, release())
	requireLost(t, <-culprit)
	requireLost(t, <-first)
	<-applied
	require.Zero(t, cursor(t, db, events[0].Slot))

	work := func(run int, e event.Envelope) settle.Work {
		return settle.Work{Lease: lease, Run: run, Event: e, First: true}
	}
	require.ErrorIs(t, db.Settle(ctx, work(1, events[1])), settle.ErrVoided)
	parks := work(1, events[1])
	parks.Park = &settle.Parked{Position: events[1].Position, Slot: events[1].Slot, Key: events[1].Key(), State: settle.Failed}
	require.ErrorIs(t, db.Settle(ctx, parks), settle.ErrVoided)
	require.Zero(t, cursor(t, db, events[0].Slot))
	require.NoError(t, db.Settle(ctx, work(2, events[0])))
	require.NoError(t, db.Settle(ctx, work(2, events[1])))
	require.Equal(t, events[1].Position, cursor(t, db, events[0].Slot))
}

// A new owner of the lane has nothing to do with what became of the old one's works.
func TestVoidedIsTheOwners(t *testing.T) {
	t.Parallel()
	clock := clockwork.NewFakeClock()
	db, ctx := open(t, clock), context.Background()
	lease, events := laneOf(t, db, 1)
	release := busy(t, db)
	first := make(chan error, 1)
	go func() {
		first <- db.Settle(ctx, settle.Work{Lease: lease, Run: 5, Event: events[0], First: true, Applied: func() {}})
	}()
	waits(t, db, 1)
	culprit := make(chan error, 1)
	go func() {
		culprit <- db.InTx(ctx, func(ctx context.Context) error {
			_, err := db.SQL(ctx).Exec(ctx, "ROLLBACK")
			return err
		})
	}()
	waits(t, db, 2)
	requireLost(t, release())
	requireLost(t, <-first)
	requireLost(t, <-culprit)
	clock.Advance(2 * time.Hour)
	lease, ok, err := db.Acquire(ctx, settle.Claim{Set: "s", Lanes: 1, Owner: "b", TTL: time.Hour})
	require.NoError(t, err)
	require.True(t, ok)
	require.NoError(t, db.Settle(ctx, settle.Work{Lease: lease, Run: 1, Event: events[0], First: true}))
}

func cursor(t *testing.T, db *sqlite.DB, slot int) int64 {
	t.Helper()
	all, err := db.Statuses(context.Background())
	require.NoError(t, err)
	return all["s"].Cursors[slot]
}

// Events in memory are the same as those in the file.
func TestRecentIsTheLog(t *testing.T) {
	t.Parallel()
	path, ctx := t.TempDir()+"/leat.db", context.Background()
	db := openAt(t, path, clockwork.NewRealClock())
	full := envelope("full")
	full.Severity, full.Subject, full.Actor, full.CorrelationID, full.CausationID, full.Depth, full.TraceParent = "high", "s", "a", "c", "d", 3, "tp"
	full.Time = time.Date(2024, 5, 17, 9, 30, 0, 123456789, time.FixedZone("x", 3600))
	bare := event.Envelope{ID: "bare"}
	_, err := db.Append(ctx, []event.Envelope{full, bare})
	require.NoError(t, err)
	full.Data[0] = 'x' // the caller's again
	fresh, through, err := db.Read(ctx, 0, 0, 10)
	require.NoError(t, err)
	require.EqualValues(t, 2, through)
	require.NoError(t, db.Close())
	db = openAt(t, path, clockwork.NewRealClock())
	stored, _, err := db.Read(ctx, 0, 0, 10)
	require.NoError(t, err)
	require.Equal(t, len(stored), len(fresh))
	for i := range stored {
		require.Equal(t, string(stored[i].Data), string(fresh[i].Data))
		stored[i].Data, fresh[i].Data = nil, nil
		require.Equal(t, stored[i], fresh[i])
	}
	// What was there before belongs to the file.
	require.NoError(t, add(ctx, db, "third"))
	require.Equal(t, []string{"full", "bare", "third"}, logged(t, db))
}
