package sqlite_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/sqlite"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/settle"
)

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
		wg.Add(1)
		go func() {
			defer wg.Done()
			for left.Add(-1) >= 0 {
				if err := fn(worker); err != nil {
					b.Error(err)
					return
				}
			}
		}()
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

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
	b.Run("batch=100", func(b *testing.B) {
		db := openBench(b)
		spread(b, 1, func(int) error {
			batch := make([]event.Envelope, 100)
			for i := range batch {
				batch[i] = benchEvent(b, i)
			}
			_, err := db.Append(context.Background(), batch)
			return err
		})
		b.ReportMetric(100*float64(b.N)/b.Elapsed().Seconds(), "events/s")
	})
}

func BenchmarkSettle(b *testing.B) {
	effect := func(db *sqlite.DB) func(ctx context.Context) error {
		table := db.Table("bench")
		return func(ctx context.Context) error {
			_, err := db.SQL(ctx).Exec(ctx, "UPDATE "+table+" SET n = n + 1 WHERE one = 1")
			return err
		}
	}
	for _, tx := range []bool{false, true} {
		b.Run(fmt.Sprintf("goroutines=32/effect=%v", tx), func(b *testing.B) {
			db, ctx := openBench(b), context.Background()
			require.NoError(b, db.Register(ctx, settle.Registration{Set: "bench", Types: []string{"build.started"}}))
			require.NoError(b, db.InTx(ctx, func(ctx context.Context) error {
				_, err := db.SQL(ctx).Exec(ctx, "CREATE TABLE "+db.Table("bench")+" (one INTEGER PRIMARY KEY, n INTEGER); INSERT INTO "+db.Table("bench")+" VALUES (1, 0)")
				return err
			}))
			var works [32]settle.Work
			for i := range works {
				lease, ok, err := db.Acquire(ctx, settle.Claim{Set: "bench", Lane: i, Lanes: 32, Types: []string{"build.started"}, Owner: "bench", TTL: time.Hour})
				require.True(b, ok, err)
				works[i] = settle.Work{Lease: lease, Event: benchEvent(b, i), First: true}
				works[i].Event.Slot, works[i].Event.Position = i, 1
				if tx {
					works[i].Effect = effect(db)
				}
			}
			spread(b, len(works), func(worker int) error {
				w := works[worker]
				works[worker].Event.Position++
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
