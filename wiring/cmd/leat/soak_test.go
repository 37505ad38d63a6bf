//go:build soak

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

// What a process may have more of after the load than before it, both measured at rest.
const (
	moreGoroutines = 16
	moreHandles    = 16
	heapFactor     = 1.5 // of what survives a collection
	moreHeap       = 8   // MB on top
	residentFactor = 1.5
	moreResident   = 32 // MB on top
)

// soakRate is how many events are sent in a second, with single requests and batches together.
const soakRate = 120

// TestSoak puts a real process under a steady mixed load and fails when it holds more goroutines,
// memory or file handles afterwards than the tolerances above allow. LEAT_TEST_DURATION says for how
// long (default 10m), LEAT_TEST_HOUSE on which store and bus (default sqlite+sql).
func TestSoak(t *testing.T) {
	length := 10 * time.Minute
	if d := os.Getenv("LEAT_TEST_DURATION"); d != "" {
		var err error
		length, err = time.ParseDuration(d)
		require.NoError(t, err)
	}
	where := house{"sqlite", "sql"}
	if name := os.Getenv("LEAT_TEST_HOUSE"); name != "" {
		store, bus, ok := strings.Cut(name, "+")
		require.True(t, ok, "LEAT_TEST_HOUSE: %q is not store+bus", name)
		where = house{store, bus}
	}
	mail := startMailServer(t, nil)
	p := serve(t, "ledger", t.TempDir(), append(mail.settings(), where.settings(t)...)...)
	l := &soak{t: t, p: p, client: &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 16}}}

	t.Logf("%s, %v", where.name(), length)
	l.fill()
	l.load(max(20*time.Second, length/10), 0)
	before := l.rest("start")
	l.load(length, max(10*time.Second, length/10))
	after := l.rest("end")
	t.Logf("accepted %d events (%d in batches), %d clients of the live feed, %d dead letters retried, %d pauses",
		l.accepted.Load(), l.batched.Load(), l.clients.Load(), l.retried.Load(), l.pauses.Load())
	p.stop()

	require.LessOrEqual(t, after.goroutines, before.goroutines+moreGoroutines, "goroutines")
	require.LessOrEqual(t, after.handles, before.handles+moreHandles, "file handles")
	require.LessOrEqual(t, after.heap, before.heap*heapFactor+moreHeap, "heap, MB")
	require.LessOrEqual(t, after.resident, before.resident*residentFactor+moreResident, "resident memory, MB")
}

// soak is the load on one process.
type soak struct {
	t      *testing.T
	p      *process
	client *http.Client

	next                                        atomic.Int64 // number of the next event
	accepted, batched, clients, retried, pauses atomic.Int64
	noBatches                                   atomic.Bool
}

// fillEvents is how many events fill all that remembers a number of them, the largest of which is the
// live feed's memory of what it has pushed.
const fillEvents = 20_000

// fill lets caches and rings fill to their bounds, so that what they hold is no growth.
func (s *soak) fill() {
	var busy sync.WaitGroup
	const senders = 8
	for range senders {
		busy.Go(func() {
			for range fillEvents / senders {
				s.single()
			}
		})
	}
	busy.Wait()
}

// load keeps everybody busy for the time, and prints the figures at each interval that is not 0.
func (s *soak) load(length, interval time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()
	var busy sync.WaitGroup
	every := func(d time.Duration, do func()) {
		busy.Go(func() {
			tick := time.NewTicker(d)
			defer tick.Stop()
			for !s.t.Failed() {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
					do()
				}
			}
		})
	}
	const batch = 20
	every(2*time.Second/soakRate, s.single)
	every(2*batch*time.Second/soakRate, func() { s.batch(batch) })
	every(2*time.Second, s.retry)
	every(5*time.Second, func() { s.pause(ctx) })
	for i := range 6 {
		busy.Go(func() {
			for n := i; ctx.Err() == nil && !s.t.Failed(); n++ {
				s.visit(ctx, n)
			}
		})
	}
	if interval > 0 {
		every(interval, func() { s.figures("load").log(s.t) })
	}
	busy.Wait()
}

// event is the body of the next event: every 100th fails until it is retried, and every 4th leads to a mail.
func (s *soak) event() (id string, data string) {
	n := s.next.Add(1)
	number, email := n, ""
	if n%100 == 0 {
		number = -n
	}
	if n%4 == 0 {
		email = fmt.Sprintf("n%d@example.com", n)
	}
	return fmt.Sprintf("e-%d", n), fmt.Sprintf(`{"key":"key-%d","number":%d,"email":%q}`, n%100, number, email)
}

func (s *soak) post(path, contentType string, body []byte) int {
	response, err := s.client.Post("http://"+s.p.api+path, contentType, bytes.NewReader(body))
	if err != nil {
		s.t.Errorf("post %s: %v", path, err)
		return 0
	}
	var answer json.RawMessage
	_ = json.NewDecoder(response.Body).Decode(&answer)
	_ = response.Body.Close()
	if response.StatusCode >= 400 && response.StatusCode != http.StatusUnsupportedMediaType {
		s.t.Errorf("post %s: %s %s", path, response.Status, answer)
	}
	return response.StatusCode
}

func (s *soak) single() {
	id, data := s.event()
	body := fmt.Sprintf(`{"eventType":"entry.written","source":"soak","id":%q,"subject":"s","data":%s}`, id, data)
	if s.post("/v1/events", "application/json", []byte(body)) == http.StatusAccepted {
		s.accepted.Add(1)
	}
}

func (s *soak) batch(n int) {
	if s.noBatches.Load() {
		for range n {
			s.single()
		}
		return
	}
	events := make([]string, n)
	for i := range events {
		id, data := s.event()
		events[i] = fmt.Sprintf(`{"specversion":"1.0","type":"entry.written","source":"soak","id":%q,"subject":"b","data":%s}`, id, data)
	}
	switch s.post("/v1/events", "application/cloudevents-batch+json", []byte("["+strings.Join(events, ",")+"]")) {
	case http.StatusAccepted:
		s.accepted.Add(int64(n))
		s.batched.Add(int64(n))
	case http.StatusUnsupportedMediaType:
		s.t.Log("this program takes no batches; single requests are sent in their place")
		s.noBatches.Store(true)
	}
}

func (s *soak) retry() {
	var decided struct{ Count int64 }
	s.p.must("POST", "/v1/dead-letters/retry", map[string]string{"set": "ledger"}, &decided)
	s.retried.Add(decided.Count)
}

func (s *soak) pause(ctx context.Context) {
	s.p.must("POST", "/v1/handlers/ledger/pause", nil, nil)
	select {
	case <-ctx.Done():
	case <-time.After(time.Second):
	}
	s.p.must("POST", "/v1/handlers/ledger/resume", nil, nil)
	s.pauses.Add(1)
}

// visit is one client of the live feed: it comes, reads for some time or not at all, and leaves
// with or without a word.
func (s *soak) visit(ctx context.Context, n int) {
	dialer := websocket.Dialer{Subprotocols: []string{"leat.v1"}, HandshakeTimeout: patience}
	conn, response, err := dialer.Dial("ws://"+s.p.api+"/v1/ws", nil)
	if err != nil {
		s.t.Errorf("connect to the live feed: %v", err)
		return
	}
	defer conn.Close()
	_ = response.Body.Close()
	s.clients.Add(1)
	subscribe := map[string]any{"op": "subscribe", "types": []string{"entry.*"}}
	if n%3 == 0 {
		subscribe["after"] = 0
	}
	if err := conn.WriteJSON(subscribe); err != nil {
		s.t.Errorf("subscribe to the live feed: %v", err)
		return
	}
	stay := time.Duration(200+n%7*300) * time.Millisecond
	if n%5 == 0 {
		select { // a client that does not read
		case <-ctx.Done():
		case <-time.After(stay):
		}
		return
	}
	_ = conn.SetReadDeadline(time.Now().Add(stay))
	for err == nil && ctx.Err() == nil {
		_, _, err = conn.ReadMessage()
	}
	if n%2 == 0 {
		_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second))
	}
}

// rest waits until nothing is left to do, and returns the figures then.
func (s *soak) rest(label string) figures {
	s.t.Helper()
	require.False(s.t, s.t.Failed())
	s.p.eventually("the dead letters are done", func() bool {
		s.retry()
		var handlers struct {
			Handlers []struct{ Backlog, DeadLetters int }
		}
		s.p.must("GET", "/v1/handlers", nil, &handlers)
		left := 0
		for _, h := range handlers.Handlers {
			left += h.Backlog + h.DeadLetters
		}
		return left == 0
	})
	settled(s.t, s.p)
	s.client.CloseIdleConnections()
	http.DefaultClient.CloseIdleConnections()
	// The clients' connections end a moment after they do, and memory goes back to the system little by
	// little. What is alive is known after a collection that began at rest: the answers with the figures are
	// garbage enough to bring one about, and the next one.
	best := s.figures(label)
	for first := best; ; {
		time.Sleep(10 * time.Millisecond)
		http.DefaultClient.CloseIdleConnections()
		f := s.figures(label)
		best.goroutines, best.handles = min(best.goroutines, f.goroutines), min(best.handles, f.handles)
		best.heap, best.resident = min(best.heap, f.heap), min(best.resident, f.resident)
		if f.at.Sub(first.at) > 10*time.Second && f.collections >= first.collections+2 {
			break
		}
		require.Less(s.t, f.at.Sub(first.at), 2*time.Minute, "no memory is collected")
	}
	best.log(s.t)
	return best
}

// figures are what a process holds.
type figures struct {
	label               string
	goroutines, handles float64
	heap, resident      float64 // MB
	collections         float64
	at                  time.Time
}

// figures reads them from the process's own metrics.
func (s *soak) figures(label string) figures {
	response, err := http.Get("http://" + s.p.ops + "/metrics")
	if err != nil {
		s.t.Errorf("read the metrics: %v", err)
		return figures{}
	}
	defer response.Body.Close()
	values := map[string]float64{}
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), " "); ok && name != "#" {
			values[name], _ = strconv.ParseFloat(value, 64)
		}
	}
	gauge := func(name string) float64 {
		if _, ok := values[name]; !ok {
			s.t.Errorf("the metrics lack %s", name)
		}
		return values[name]
	}
	return figures{
		label: label, at: time.Now(), collections: gauge("go_gc_duration_seconds_count"), goroutines: gauge("go_goroutines"), handles: gauge("process_open_fds"),
		// The next collection is due at twice what the last one left.
		heap: gauge("go_memstats_next_gc_bytes") / 2 / (1 << 20), resident: gauge("process_resident_memory_bytes") / (1 << 20),
	}
}

func (f figures) log(t *testing.T) {
	t.Logf("%-5s %s  goroutines %4.0f  handles %3.0f  live heap %6.1f MB  resident %6.1f MB",
		f.label, time.Now().Format(time.TimeOnly), f.goroutines, f.handles, f.heap, f.resident)
}
