package main

import (
	"database/sql"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkFailover kills (kill -9) the process that gives the positions and works half of the
// lanes, and measures from then: when the next event has a position, and when the transactional set
// has settled a new event of every key. Each round is one kill: -benchtime 20x.
func BenchmarkFailover(b *testing.B) {
	for _, name := range []string{"sql", "nats"} {
		b.Run(name, func(b *testing.B) {
			const keys = 64
			_, where := sharedHouses(b)[name](b)
			front := serve(b, "ledger", b.TempDir(), append([]string{"roles=api"}, where...)...)
			worker := func() *process {
				return serve(b, "ledger", b.TempDir(), append([]string{"roles=sequencer,audit,ledger"}, where...)...)
			}
			workers := []*process{worker(), worker()}
			db, err := sql.Open("pgx", strings.TrimPrefix(where[len(where)-1], "store.url="))
			require.NoError(b, err)
			defer db.Close()
			number := func(query string, args ...any) (n int64) {
				require.NoError(b, db.QueryRow(query, args...).Scan(&n))
				return n
			}

			var sent atomic.Int64
			var sending sync.WaitGroup
			ended := make(chan struct{})
			for c := range 4 {
				sending.Go(func() {
					tick := time.NewTicker(10 * time.Millisecond)
					defer tick.Stop()
					for n := c; ; n += 4 {
						select {
						case <-ended:
							return
						case <-tick.C:
						}
						for !publish(front.api, n%keys, n) {
							time.Sleep(5 * time.Millisecond)
						}
						sent.Store(max(sent.Load(), int64(n)))
					}
				})
			}
			flowing := func(since int64) func() bool {
				return func() bool {
					return number("SELECT count(DISTINCT key) FROM leat_ledger WHERE number > $1", since) == keys
				}
			}
			require.Eventually(b, flowing(0), patience, 5*time.Millisecond)
			require.Eventually(b, func() bool { return shared(b, db) }, patience, 50*time.Millisecond, "both workers have lanes")

			var positions, lanes []time.Duration
			b.ResetTimer()
			for range b.N {
				victim := slices.IndexFunc(workers, func(p *process) bool {
					return strings.Count(p.output(), "gives the positions now") > strings.Count(p.output(), "does not give the positions any more")
				})
				require.GreaterOrEqual(b, victim, 0, "nobody gives the positions")
				workers[victim].kill()
				died, before := time.Now(), sent.Load()+4 // those under way
				require.Eventually(b, func() bool {
					return number("SELECT count(*) FROM (SELECT 1 FROM leat_positions p JOIN leat_log l ON l.seq = p.seq WHERE l.recorded > $1 LIMIT 1) n", died.UnixMicro()) > 0
				}, patience, time.Millisecond, "positions")
				positions = append(positions, time.Since(died))
				require.Eventually(b, flowing(before), patience, 5*time.Millisecond, "every key goes on")
				lanes = append(lanes, time.Since(died))
				b.StopTimer()
				workers[victim] = worker()
				require.Eventually(b, func() bool { return shared(b, db) }, patience, 50*time.Millisecond, "both workers have lanes")
				b.StartTimer()
			}
			b.StopTimer()
			close(ended)
			sending.Wait()
			done(b, front, "audit", "ledger") // nobody works the other sets
			for _, took := range []struct {
				what string
				of   []time.Duration
			}{{"positions", positions}, {"lanes", lanes}} {
				report(b, took.of, took.what)
				b.ReportMetric(float64(slices.Max(took.of).Milliseconds()), took.what+"-worst-ms")
			}
			for _, p := range append(workers, front) {
				p.stop()
			}
		})
	}
}

// done waits until the sets have nothing before them.
func done(b *testing.B, p *process, sets ...string) {
	b.Helper()
	require.Eventually(b, func() bool {
		var answer struct {
			Handlers []struct {
				Name    string
				Backlog int
			}
		}
		p.must("GET", "/v1/handlers", nil, &answer)
		left := 0
		for _, h := range answer.Handlers {
			if slices.Contains(sets, h.Name) {
				left += h.Backlog
			}
		}
		return left == 0
	}, patience, 100*time.Millisecond, "the sets have handled everything")
}

// shared tells whether two processes have lanes of every set that both work.
func shared(b *testing.B, db *sql.DB) bool {
	b.Helper()
	var sets int
	require.NoError(b, db.QueryRow(`SELECT count(*) FROM (SELECT set_name FROM leat_lanes
		WHERE NOT released AND expires > extract(epoch FROM clock_timestamp()) * 1000000
		GROUP BY set_name HAVING count(DISTINCT owner) = 2) s`).Scan(&sets))
	return sets == 2
}
