package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/postgres"
	"github.com/leat-dev/leat/adapters/postgres/postgrestest"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/settle"
	"github.com/leat-dev/leat/handlers/audit"
)

func openBench(b *testing.B) *postgres.DB {
	db := openAt(b, postgrestest.Start(b), clockwork.NewRealClock())
	lead(b, db)
	return db
}

func benchEvent(b *testing.B, key int) event.Envelope {
	id, err := uuid.NewV7()
	if err != nil {
		b.Fatal(err)
	}
	e := event.Envelope{
		ID: id.String(), Type: "build.started", SchemaVersion: 1, Kind: event.Business, Source: "bench", Tenant: "tenant",
		Subject: "build-" + strconv.Itoa(key), PartitionKey: "build-" + strconv.Itoa(key), Time: time.Now(), CorrelationID: id.String(),
		Data: []byte(`{"build_id":"build-17","branch":"main","commit":"0123456789abcdef0123456789abcdef01234567","steps":12}`),
	}
	e.Slot = event.SlotOf(e.Tenant, e.PartitionKey)
	return e
}

// spread runs b.N calls of fn on n goroutines.
func spread(b *testing.B, n int, fn func(worker int) error) {
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	b.ResetTimer()
	for worker := range n {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := fn(worker); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

// BenchmarkAppend appends while positions are given.
func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 64} {
		b.Run(fmt.Sprintf("goroutines=%d", n), func(b *testing.B) {
			db := openBench(b)
			spread(b, n, func(worker int) error {
				_, err := db.Append(context.Background(), []event.Envelope{benchEvent(b, worker)})
				return err
			})
		})
	}
}

func BenchmarkSettle(b *testing.B) {
	for _, tx := range []bool{false, true} {
		b.Run(fmt.Sprintf("goroutines=32/effect=%v", tx), func(b *testing.B) {
			db, ctx := openBench(b), context.Background()
			require.NoError(b, db.Register(ctx, settle.Registration{Set: "bench", Types: []string{"build.started"}}))
			trail := postgres.NewAudit(db)
			var works [32]settle.Work
			for i := range works {
				lease, ok, err := db.Acquire(ctx, settle.Claim{Set: "bench", Lane: i, Lanes: 32, Types: []string{"build.started"}, Owner: "bench", TTL: time.Hour})
				require.True(b, ok, err)
				works[i] = settle.Work{Lease: lease, Event: benchEvent(b, i), First: true}
				works[i].Event.Slot, works[i].Event.Position = i, 1
			}
			spread(b, len(works), func(worker int) error {
				w := works[worker]
				works[worker].Event.Position++
				if tx {
					position := w.Event.Position*32 + int64(worker)
					w.Effect = func(ctx context.Context) error {
						return trail.Record(ctx, audit.Entry{ID: strconv.FormatInt(position, 10), Tenant: "t", Position: position, Type: "build.started"})
					}
				}
				return db.Settle(ctx, w)
			})
		})
	}
}

// BenchmarkRead reads a log of 10,000 events in pages of 256.
func BenchmarkRead(b *testing.B) {
	db, ctx := openBench(b), context.Background()
	for range 100 {
		batch := make([]event.Envelope, 100)
		for i := range batch {
			batch[i] = benchEvent(b, i)
		}
		_, err := db.Append(ctx, batch)
		require.NoError(b, err)
	}
	logged(b, db, 10_000)
	b.ResetTimer()
	for range b.N {
		var after int64
		for after < 10_000 {
			_, through, err := db.Read(ctx, after, 0, 256)
			if err != nil {
				b.Fatal(err)
			}
			after = through
		}
	}
	b.ReportMetric(10_000*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkPosition measures, when it is quiet, the time from the call of Append to its return, and
// from there to the position's being visible.
func BenchmarkPosition(b *testing.B) { positions(b, openBench(b)) }

// BenchmarkPositionBehindOpenTransaction does the same while a transaction stays open and PostgreSQL can clear
// nothing away of the 50,000 events that went through since.
func BenchmarkPositionBehindOpenTransaction(b *testing.B) {
	db, ctx := openBench(b), context.Background()
	goOn, began, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- db.InTx(ctx, func(ctx context.Context) error {
			if _, err := db.SQL(ctx).Exec(ctx, "SET LOCAL idle_in_transaction_session_timeout = 0"); err != nil {
				return err
			}
			_, err := db.SQL(ctx).Exec(ctx, "SELECT pg_current_xact_id()")
			close(began)
			<-goOn
			return err
		})
	}()
	<-began
	for range 250 {
		batch := make([]event.Envelope, 200)
		for i := range batch {
			batch[i] = benchEvent(b, i)
		}
		_, err := db.Append(ctx, batch)
		require.NoError(b, err)
	}
	logged(b, db, 50_000)
	b.ResetTimer()
	positions(b, db)
	b.StopTimer()
	close(goOn)
	require.NoError(b, <-ended)
}

func positions(b *testing.B, db *postgres.DB) {
	ctx := context.Background()
	var accepted, visible []time.Duration
	for range b.N {
		appended, began := db.Appended(), time.Now()
		if _, err := db.Append(ctx, []event.Envelope{benchEvent(b, 1)}); err != nil {
			b.Fatal(err)
		}
		accepted = append(accepted, time.Since(began))
		<-appended
		visible = append(visible, time.Since(began))
	}
	slices.Sort(accepted)
	slices.Sort(visible)
	b.ReportMetric(float64(accepted[len(accepted)/2].Microseconds()), "accepted-p50-µs")
	b.ReportMetric(float64(visible[len(visible)/2].Microseconds()), "visible-p50-µs")
	b.ReportMetric(float64(visible[len(visible)*99/100].Microseconds()), "visible-p99-µs")
}
