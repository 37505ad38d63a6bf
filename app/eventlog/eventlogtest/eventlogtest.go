// Package eventlogtest is the conformance suite of package eventlog: what every store of the event
// log must do. A store's test calls Run with one line. Stores that give positions some time after
// the commit pass as well: the suite waits for them.
package eventlogtest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/deadletter"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/app/settle"
)

// Store is what the suite needs: the log, and beside it what keeps events from being pruned.
type Store interface {
	eventlog.Log
	eventlog.Identified
	settle.Store
	deadletter.Store
}

// Run tests a store. open returns an empty one that takes the time from clock, and sees to its end.
func Run(t *testing.T, open func(t *testing.T, clock clockwork.Clock) Store) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, f *fixture)
	}{
		{"append keeps every attribute", appendKeepsAttributes},
		{"append of nothing", appendOfNothing},
		{"receipts", receipts},
		{"duplicates", duplicates},
		{"mixed batches", mixedBatches},
		{"a transaction keeps all or nothing", transactions},
		{"a nested transaction fails alone", nestedTransactions},
		{"a panic in a transaction reaches its caller", panicsInTransactions},
		{"after a commit", afterCommit},
		{"nothing follows a rollback", afterRollback},
		{"after the commit of nested transactions", afterNestedCommit},
		{"what follows a commit blocks nobody", afterCommitBlocksNobody},
		{"contexts that end", contextsThatEnd},
		{"concurrent callers", concurrentCallers},
		{"a reader misses nothing", readerMissesNothing},
		{"read by slots", readBySlots},
		{"read at positions", readAtPositions},
		{"appended", appended},
		{"bounds", bounds},
		{"search", search},
		{"search by pattern", searchByPattern},
		{"find", find},
		{"prune without sets", pruneWithoutSets},
		{"prune keeps what a set has before it", pruneKeepsUnsettled},
		{"prune keeps parked events and dead letters", pruneKeepsParkedAndDead},
		{"identity", identity},
		{"model", model},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			clock := clockwork.NewFakeClockAt(start)
			c.test(t, &fixture{Store: open(t, clock), clock: clock, open: open})
		})
	}
}

var start = time.Date(2024, 5, 17, 9, 30, 0, 123456000, time.UTC)

type fixture struct {
	Store
	clock *clockwork.FakeClock
	open  func(t *testing.T, clock clockwork.Clock) Store
}

const patience = 20 * time.Second

func ctxOf(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func envelope(id string) event.Envelope {
	return event.Envelope{
		ID: id, Type: "build.started", SchemaVersion: 1, Kind: event.Business, Source: "tests", Tenant: "acme",
		Subject: "build-" + id, PartitionKey: "build-" + id, Time: start, CorrelationID: "c", Data: []byte(`{}`),
		Slot: event.SlotOf("acme", "build-"+id),
	}
}

func (f *fixture) mustAppend(t testing.TB, events ...event.Envelope) []eventlog.Receipt {
	t.Helper()
	receipts, err := f.Append(ctxOf(t), events)
	require.NoError(t, err)
	require.Len(t, receipts, len(events))
	return receipts
}

func (f *fixture) mustAppendIDs(t testing.TB, ids ...string) {
	t.Helper()
	for _, id := range ids {
		f.mustAppend(t, envelope(id))
	}
}

// all waits until the log shows n events and returns them; it fails when there are more.
func (f *fixture) all(t testing.TB, n int) []event.Envelope {
	t.Helper()
	ctx := ctxOf(t)
	for {
		appended := f.Appended()
		events, through, err := f.Read(ctx, 0, 0, n+1)
		require.NoError(t, err)
		require.LessOrEqual(t, len(events), n, "the log holds more than it should: %v", ids(events))
		if len(events) == n {
			if n > 0 {
				require.GreaterOrEqual(t, through, events[n-1].Position)
			}
			return events
		}
		select {
		case <-appended:
		case <-ctx.Done():
			t.Fatalf("the log shows %d events, want %d", len(events), n)
		}
	}
}

func ids(events []event.Envelope) []string {
	out := make([]string, len(events))
	for i, e := range events {
		out[i] = e.ID
	}
	return out
}

func many(prefix string, n int) []event.Envelope {
	out := make([]event.Envelope, n)
	for i := range out {
		out[i] = envelope(fmt.Sprintf("%s%d", prefix, i))
	}
	return out
}
