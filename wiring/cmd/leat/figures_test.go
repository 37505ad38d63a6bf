package main

import (
	"bufio"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

// BenchmarkStart measures a process from its start to ready, and its memory when it has nothing to do.
func BenchmarkStart(b *testing.B) {
	dir := b.TempDir()
	serve(b, "leat", dir).stop() // the tables are there from now on, as with every start but the first
	var took []time.Duration
	var resident float64
	for b.Loop() {
		start := time.Now()
		p := serve(b, "leat", dir)
		took = append(took, time.Since(start))
		resident = p.resident()
		p.stop()
	}
	report(b, took, "start")
	b.ReportMetric(resident, "idle-MB")
}

// resident is the process's memory in megabytes.
func (p *process) resident() float64 {
	p.t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", p.ID()))
	if err != nil {
		return 0 // not Linux
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "VmRSS:"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			require.NoError(p.t, err)
			return kb / 1024
		}
	}
	return 0
}

// BenchmarkLatency publishes 200 events a second over HTTP and measures, from just before the
// request, when the audit entry can be read and when the frame has come over the WebSocket.
func BenchmarkLatency(b *testing.B) {
	const rate = 200
	for _, bus := range []string{"sql", "gochannel"} {
		b.Run(bus, func(b *testing.B) {
			dir := b.TempDir()
			p := serve(b, "ledger", dir, "bus.kind="+bus)
			db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "leat.db")+"?mode=ro")
			require.NoError(b, err)
			defer db.Close()
			live := p.feed("entry.*")

			var mu sync.Mutex
			sent := map[string]time.Time{}
			var answered, audited, framed []time.Duration
			since := func(id string) time.Duration {
				mu.Lock()
				defer mu.Unlock()
				return time.Since(sent[id])
			}
			var watching sync.WaitGroup
			watching.Add(2)
			go func() {
				defer watching.Done()
				for range b.N {
					var f struct {
						Op    string
						Event struct{ ID string }
					}
					for f.Op != "event" {
						if err := live.conn.ReadJSON(&f); err != nil {
							b.Errorf("read the live feed: %v", err)
							return
						}
					}
					framed = append(framed, since(f.Event.ID))
				}
			}()
			go func() {
				defer watching.Done()
				newest, seen := int64(0), map[string]bool{}
				for len(audited) < b.N && !b.Failed() {
					// Keys are worked side by side, so an entry may come after later ones.
					rows, err := db.Query("SELECT position, event_id FROM leat_audit WHERE position > ?", newest-1000)
					if err != nil {
						b.Errorf("read the audit log: %v", err)
						return
					}
					for rows.Next() {
						var position int64
						var id string
						if err := rows.Scan(&position, &id); err != nil {
							b.Errorf("read the audit log: %v", err)
						}
						newest = max(newest, position)
						if !seen[id] {
							seen[id] = true
							audited = append(audited, since(id))
						}
					}
					if err := errors.Join(rows.Err(), rows.Close()); err != nil {
						b.Errorf("read the audit log: %v", err)
					}
					time.Sleep(200 * time.Microsecond)
				}
			}()
			tick := time.NewTicker(time.Second / rate)
			defer tick.Stop()
			b.ResetTimer()
			for n := range b.N {
				<-tick.C
				mu.Lock()
				sent[fmt.Sprintf("e-%d", n)] = time.Now()
				mu.Unlock()
				if !publish(p.api, n%100, n) {
					b.Fatal("not accepted")
				}
				answered = append(answered, since(fmt.Sprintf("e-%d", n)))
			}
			watching.Wait()
			b.StopTimer()
			report(b, answered, "answer")
			report(b, audited, "audit")
			report(b, framed, "frame")
			_ = live.conn.WriteMessage(websocket.CloseMessage, nil)
			p.stop()
		})
	}
}

// report prints the median and the 99th percentile, in milliseconds.
func report(b *testing.B, took []time.Duration, what string) {
	b.Helper()
	if len(took) == 0 {
		return
	}
	slices.Sort(took)
	ms := func(q float64) float64 {
		return float64(took[min(len(took)-1, int(q*float64(len(took))))].Microseconds()) / 1000
	}
	b.ReportMetric(ms(0.50), what+"-p50-ms")
	b.ReportMetric(ms(0.99), what+"-p99-ms")
}
