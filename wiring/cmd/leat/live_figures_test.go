package main

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/natsbus/natstest"
	"github.com/leat-dev/leat/adapters/postgres/postgrestest"
)

// BenchmarkLive publishes 200 events a second over HTTP, every other one real-time, and measures from just
// before the request when the frame has come over the WebSocket: by the fast path, and by the reliable
// one. "two" has the API and the client in different processes.
func BenchmarkLive(b *testing.B) {
	for _, name := range []string{"one/sqlite+sql", "one/postgres+sql", "two/postgres+nats"} {
		b.Run(name, func(b *testing.B) {
			var settings []string
			if strings.Contains(name, "postgres") {
				settings = append(settings, "store.url="+postgrestest.Start(b))
			}
			var front, live *process
			if strings.HasPrefix(name, "two") {
				settings = append(settings, "bus.kind=nats", "nats.url="+natstest.StartServer(b, natstest.Options{}).URL())
				front = serve(b, "leat", b.TempDir(), append([]string{"roles=api,sequencer"}, settings...)...)
				live = serve(b, "leat", b.TempDir(), append([]string{"roles=broadcast"}, settings...)...)
				defer live.stop()
			} else {
				front = serve(b, "leat", b.TempDir(), append([]string{"roles=api,sequencer,broadcast"}, settings...)...)
				live = front
			}
			defer front.stop()
			client := live.feed("build.*")
			client.next("position")

			var mu sync.Mutex
			sent := map[string]time.Time{}
			var fast, reliable, answered []time.Duration
			watched := make(chan struct{})
			go func() {
				defer close(watched)
				for range b.N {
					var f frame
					for f.Op != "event" {
						f = frame{}
						if err := client.conn.ReadJSON(&f); err != nil {
							b.Errorf("read the live feed: %v", err)
							return
						}
					}
					mu.Lock()
					took := time.Since(sent[f.Event.ID])
					mu.Unlock()
					if f.Position == 0 {
						fast = append(fast, took)
					} else {
						reliable = append(reliable, took)
					}
				}
			}()
			require.NoError(b, client.conn.SetReadDeadline(time.Time{}))
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			b.ResetTimer()
			for n := range b.N {
				<-tick.C
				id, typ := fmt.Sprint("e", n), []string{"build.progressed", "build.queued"}[n%2]
				mu.Lock()
				sent[id] = time.Now()
				mu.Unlock()
				data := map[string]any{"buildId": fmt.Sprint("b", n%100), "projectId": "p", "image": "i"}
				if typ == "build.progressed" {
					data["percent"] = n % 101
				}
				status := front.call("POST", "/v1/events", map[string]any{
					"eventType": typ, "source": "clients", "id": id, "subject": fmt.Sprint("b", n%100), "data": data,
				}, nil)
				if status != http.StatusAccepted {
					b.Fatalf("got %d, want 202", status)
				}
				answered = append(answered, time.Since(sent[id]))
			}
			<-watched
			b.StopTimer()
			report(b, answered, "answer")
			report(b, fast, "fast")
			report(b, reliable, "reliable")
			b.ReportMetric(float64(len(fast)), "fast")
		})
	}
}
