package sqlite_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/leat-dev/leat/adapters/sqlite"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
)

func envelopes(ids ...string) []event.Envelope {
	events := make([]event.Envelope, len(ids))
	for i, id := range ids {
		events[i] = envelope(id)
	}
	return events
}

// batch returns n ids that begin with a prefix.
func batch(prefix string, n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprint(prefix, i)
	}
	return ids
}

// outcome is what became of one append.
type outcome struct {
	receipts []eventlog.Receipt
	err      error
}

// together appends the batches in one commit, in their order.
func together(t *testing.T, db *sqlite.DB, batches ...[]string) []outcome {
	t.Helper()
	require.NoError(t, db.TakeYourTime(context.Background()))
	release := busy(t, db)
	got := make([]chan outcome, len(batches))
	for i, ids := range batches {
		got[i] = make(chan outcome, 1)
		go func() {
			receipts, err := db.Append(context.Background(), envelopes(ids...))
			got[i] <- outcome{receipts, err}
		}()
		waits(t, db, i+1)
	}
	require.NoError(t, release())
	outcomes := make([]outcome, len(batches))
	for i := range got {
		outcomes[i] = <-got[i]
	}
	return outcomes
}

// news tells which of the events were new.
func (o outcome) news() []string {
	ids := []string{}
	for _, r := range o.receipts {
		if !r.Duplicate {
			ids = append(ids, r.EventID)
		}
	}
	return ids
}

// sameAsStored wants what readers get from memory to be what is in the file, and returns the ids.
func sameAsStored(t *testing.T, db *sqlite.DB) []string {
	t.Helper()
	ctx := context.Background()
	fresh, _, err := db.Read(ctx, 0, 0, 10_000)
	require.NoError(t, err)
	ids := []string{}
	for i, e := range fresh {
		stored, err := db.At(ctx, e.Position)
		require.NoError(t, err)
		require.Len(t, stored, 1, "position %d", e.Position)
		require.Equal(t, stored[0], e)
		if i > 0 {
			require.Greater(t, e.Position, fresh[i-1].Position)
		}
		ids = append(ids, e.ID)
	}
	var n int
	require.NoError(t, db.SQL(ctx).QueryRow(ctx, "SELECT count(*) FROM leat_log").Scan(&n))
	require.Len(t, fresh, n)
	return ids
}

// In one batch stand events that are new, that the log knows, and the same one twice.
func TestMixedBatch(t *testing.T) {
	t.Parallel()
	for _, fill := range []int{0, 1, 5, 60, 61, 200} {
		t.Run(fmt.Sprint(fill), func(t *testing.T) {
			t.Parallel()
			clock := clockwork.NewFakeClock()
			db, ctx := open(t, clock), context.Background()
			first, err := db.Append(ctx, envelopes("a", "b"))
			require.NoError(t, err)
			clock.Advance(time.Minute)
			ids := slices.Concat([]string{"c", "a", "d", "c", "b"}, batch("x", fill), []string{"d", "e", "a"})
			receipts, err := db.Append(ctx, envelopes(ids...))
			require.NoError(t, err)
			want := slices.Concat([]string{"c", "d"}, batch("x", fill), []string{"e"})
			require.Equal(t, want, outcome{receipts: receipts}.news())
			for i, r := range receipts {
				require.Equal(t, ids[i], r.EventID)
				switch r.EventID {
				case "a":
					first[0].Duplicate = true
					require.Equal(t, first[0], r)
				case "b":
					first[1].Duplicate = true
					require.Equal(t, first[1], r)
				default:
					require.Equal(t, clock.Now().UnixMicro(), r.Recorded.UnixMicro())
				}
			}
			require.Equal(t, append([]string{"a", "b"}, want...), sameAsStored(t, db))
		})
	}
}

// Who shares a commit with others learns of their events as of those of commits before.
func TestAppendsThatShareACommit(t *testing.T) {
	t.Parallel()
	db := open(t, clockwork.NewRealClock())
	got := together(t, db, []string{"a"}, []string{"b", "a", "c"}, []string{"a"}, []string{"c", "d", "d"}, batch("x", 130), []string{"x129", "e"})
	want := [][]string{{"a"}, {"b", "c"}, {}, {"d"}, batch("x", 130), {"e"}}
	for i, o := range got {
		require.NoError(t, o.err)
		require.Equal(t, want[i], o.news(), "append %d", i)
	}
	require.Equal(t, slices.Concat(want...), sameAsStored(t, db))
}

// Batches larger than a statement keep their order.
func TestLargeBatch(t *testing.T) {
	t.Parallel()
	db := open(t, clockwork.NewRealClock())
	var want []string
	for _, n := range []int{1, 2, 3, 63, 64, 65, 127, 128, 129, 1000} {
		ids := batch(fmt.Sprint(n, "-"), n)
		receipts, err := db.Append(context.Background(), envelopes(ids...))
		require.NoError(t, err)
		require.Equal(t, ids, outcome{receipts: receipts}.news())
		want = append(want, ids...)
	}
	require.Equal(t, want, sameAsStored(t, db))
}

// refuse makes the log refuse the event with the id "bad".
func refuse(t *testing.T, db *sqlite.DB) {
	t.Helper()
	require.NoError(t, db.InTx(context.Background(), func(ctx context.Context) error {
		_, err := db.SQL(ctx).Exec(ctx, `CREATE TRIGGER refuse BEFORE INSERT ON leat_log WHEN new.id = 'bad' BEGIN SELECT RAISE(ABORT, 'it is bad'); END`)
		return err
	}))
}

// A row that is refused takes its batch along, and nobody else's.
func TestRowIsRefused(t *testing.T) {
	t.Parallel()
	db := open(t, clockwork.NewRealClock())
	refuse(t, db)
	bad := slices.Concat(batch("y", 70), []string{"bad"}, batch("z", 40))
	got := together(t, db, []string{"a"}, []string{"b", "bad", "c"}, []string{"c", "b", "d"}, []string{"bad"}, bad, []string{"y0", "e"})
	for i, want := range [][]string{{"a"}, nil, {"c", "b", "d"}, nil, nil, {"y0", "e"}} {
		if want == nil {
			require.ErrorContains(t, got[i].err, "event bad: ")
			require.ErrorContains(t, got[i].err, "it is bad")
			require.Nil(t, got[i].receipts)
			continue
		}
		require.NoError(t, got[i].err)
		require.Equal(t, want, got[i].news(), "append %d: what was undone was never there", i)
	}
	require.Equal(t, strings.Fields("a c b d y0 e"), sameAsStored(t, db))
	receipts, err := db.Append(context.Background(), envelopes("y1", "e"))
	require.NoError(t, err)
	require.Equal(t, []string{"y1"}, outcome{receipts: receipts}.news())
	require.Equal(t, strings.Fields("a c b d y0 e y1"), sameAsStored(t, db))
}

// In a transaction, a batch that is refused leaves nothing, and the transaction goes on.
func TestRowIsRefusedInATransaction(t *testing.T) {
	t.Parallel()
	db, ctx := open(t, clockwork.NewRealClock()), context.Background()
	refuse(t, db)
	require.NoError(t, db.InTx(ctx, func(ctx context.Context) error {
		if err := add(ctx, db, "a"); err != nil {
			return err
		}
		for _, ids := range [][]string{{"b", "bad", "c"}, {"bad"}, slices.Concat(batch("y", 80), []string{"bad"})} {
			if _, err := db.Append(ctx, envelopes(ids...)); err == nil || !strings.Contains(err.Error(), "event bad: ") {
				return fmt.Errorf("%v: got %w", ids, err)
			}
		}
		receipts, err := db.Append(ctx, envelopes("c", "a", "d"))
		if got := (outcome{receipts: receipts}).news(); !slices.Equal(got, []string{"c", "d"}) {
			return fmt.Errorf("new were %v, error %w", got, err)
		}
		return nil
	}))
	require.Equal(t, []string{"a", "c", "d"}, sameAsStored(t, db))
}

// What comes after an append in the same commit finds its events, and what comes before does not.
func TestAppendKeepsItsPlace(t *testing.T) {
	t.Parallel()
	db, ctx := open(t, clockwork.NewRealClock()), context.Background()
	require.NoError(t, db.TakeYourTime(ctx))
	release := busy(t, db)
	seen := make([]string, 4)
	look := func(i int) func(ctx context.Context) error {
		return func(ctx context.Context) error {
			events, _, err := db.Read(ctx, 0, 0, 100)
			for _, e := range events {
				seen[i] += e.ID
			}
			return err
		}
	}
	ended := make(chan error, 7)
	for i, work := range []func() error{
		func() error { return db.InTx(ctx, look(0)) },
		func() error { return add(ctx, db, "a") },
		func() error { return db.InTx(ctx, look(1)) },
		func() error { return add(ctx, db, "b") },
		func() error { return add(ctx, db, "c") },
		func() error { return db.InTx(ctx, look(2)) },
		func() error {
			return db.InTx(ctx, func(ctx context.Context) error {
				if err := add(ctx, db, "d"); err != nil {
					return err
				}
				return look(3)(ctx)
			})
		},
	} {
		go func() { ended <- work() }()
		waits(t, db, i+1)
	}
	require.NoError(t, release())
	for range cap(ended) {
		require.NoError(t, <-ended)
	}
	require.Equal(t, []string{"", "a", "abc", "abcd"}, seen)
	require.Equal(t, []string{"a", "b", "c", "d"}, sameAsStored(t, db))
}

// Appends of all sizes, alone and together, are as a model of one after the other.
func TestAppendsAsAModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		db := open(t, clockwork.NewRealClock())
		defer func() { require.NoError(rt, db.Close()) }() // and not all at the end
		refuse(t, db)
		known := map[string]bool{}
		var want []string
		id := rapid.Map(rapid.IntRange(0, 150), func(n int) string {
			if n == 150 {
				return "bad"
			}
			return fmt.Sprint(n)
		})
		commits := rapid.SliceOfN(rapid.SliceOfN(rapid.SliceOfN(id, 1, 90), 1, 6), 1, 4).Draw(rt, "commits")
		for _, batches := range commits {
			for i, o := range together(t, db, batches...) {
				if slices.Contains(batches[i], "bad") {
					require.ErrorContains(rt, o.err, "event bad: ")
					continue
				}
				require.NoError(rt, o.err)
				news := []string{}
				for _, id := range batches[i] {
					if !known[id] {
						known[id] = true
						news = append(news, id)
					}
				}
				require.Equal(rt, news, o.news())
				want = append(want, news...)
			}
		}
		require.Equal(rt, want, append([]string(nil), sameAsStored(t, db)...))
	})
}
