package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/natsbus/natstest"
	"github.com/leat-dev/leat/adapters/postgres/postgrestest"
)

// failure is the answer to a call that did not succeed.
type failure struct{ ErrorCode, Message string }

// progress publishes a real-time event, directly.
func (p *process) progress(id string) (int, failure) {
	p.t.Helper()
	var f failure
	status := p.call("POST", "/v1/events", map[string]any{
		"eventType": "build.progressed", "source": "tests", "id": id, "subject": "b-1",
		"data": map[string]any{"buildId": "b-1", "projectId": "p-1", "image": "i", "percent": 50},
	}, &f)
	return status, f
}

// metric returns the sum of a metric's series whose line begins with the text.
func (p *process) metric(begins string) float64 {
	p.t.Helper()
	resp, err := http.Get("http://" + p.ops + "/metrics")
	require.NoError(p.t, err)
	defer resp.Body.Close()
	var sum float64
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), begins); ok {
			var v float64
			_, err := fmt.Sscan(rest[strings.LastIndex(rest, " ")+1:], &v)
			require.NoError(p.t, err)
			sum += v
		}
	}
	return sum
}

// watch collects the frames of a client in the background, so that a test can look for those that came too often.
type watch struct {
	t         *testing.T
	came      chan frame
	times     map[string]int   // how often each event came
	positions map[string]int64 // and with which position, 0 by the fast path
}

func (p *process) watch(t *testing.T, types ...string) *watch {
	t.Helper()
	f := p.feed(types...)
	f.next("position") // it is live
	w := &watch{t: t, came: make(chan frame, 10000), times: map[string]int{}, positions: map[string]int64{}}
	require.NoError(t, f.conn.SetReadDeadline(time.Time{}))
	go func() {
		for {
			var got frame
			if f.conn.ReadJSON(&got) != nil {
				return // the test is over, or the next wait says so
			}
			w.came <- got
		}
	}()
	return w
}

// event waits for the event with the id and returns its frame.
func (w *watch) event(id string) frame {
	w.t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case got := <-w.came:
			if got.Op != "event" {
				continue
			}
			w.times[got.Event.ID]++
			w.positions[got.Event.ID] = got.Position
			if got.Event.ID == id {
				return got
			}
		case <-deadline:
			require.FailNow(w.t, "the event did not come", id)
		}
	}
}

// once wants every event that has come to have come once. The last one, which is published after the
// others and is not real-time, shows that nothing of them is still on its way.
func (w *watch) once(last string) {
	w.t.Helper()
	w.event(last)
	for id, n := range w.times {
		require.Equal(w.t, 1, n, "event %s came %d times", id, n)
	}
}

// archive publishes an event that is not real-time.
func (p *process) archive(id string) (int, failure) {
	p.t.Helper()
	var f failure
	status := p.call("POST", "/v1/events", map[string]any{
		"eventType": "project.archived", "source": "tests", "id": id, "subject": "p-1", "data": map[string]any{"projectId": "p-1", "name": "n"},
	}, &f)
	return status, f
}

// When the broker goes, the fast path is down and a publish does not notice: the reliable path brings its
// event. When it is back, so is the fast path, and nothing comes twice.
func TestTheFastPathIsDown(t *testing.T) {
	t.Parallel()
	server := natstest.StartServer(t, natstest.Options{})
	where := []string{"store.url=" + postgrestest.Start(t), "bus.kind=nats", "nats.url=" + server.URL(), "nats.reconnect_wait=50ms"}
	front := serve(t, "leat", t.TempDir(), append([]string{"roles=api,sequencer"}, where...)...)
	live := serve(t, "leat", t.TempDir(), append([]string{"roles=broadcast"}, where...)...)
	client := live.watch(t, "build.*", "project.*")
	events := 0
	next := func() frame {
		t.Helper()
		events++
		id := fmt.Sprint("e", events)
		status, f := front.progress(id)
		require.Equal(t, http.StatusAccepted, status, f)
		return client.event(id)
	}
	isFast := func() bool { return next().Position == 0 }
	require.Eventually(t, isFast, patience, time.Millisecond, "the fast path works")

	server.Kill()
	require.Eventually(t, func() bool {
		got := next()
		require.False(t, got.Unrecorded)
		return got.Position > 0 && front.metric(`leat_live_missed_total{way="nats"}`) > 0
	}, patience, time.Millisecond, "the reliable path brings it")
	front.says("the fast path of the live feed fails")

	server.Start()
	require.Eventually(t, isFast, patience, time.Millisecond, "the fast path works again")
	status, _ := front.archive("last")
	require.Equal(t, http.StatusAccepted, status)
	client.once("last")
	front.stop()
	live.stop()
}

// While the log is down a publish fails, and says so. With publish.on_failure=continue a real-time event
// that is published by itself reaches the clients all the same, marked, and its publisher is told.
func TestTheLogIsDown(t *testing.T) {
	t.Parallel()
	for name, split := range map[string]bool{"one process": false, "two processes": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := postgrestest.StartServer(t)
			where := []string{"store.url=" + db.URL(), "publish.on_failure=continue"}
			var front, live *process
			if split {
				server := natstest.StartServer(t, natstest.Options{})
				where = append(where, "bus.kind=nats", "nats.url="+server.URL())
				front = serve(t, "leat", t.TempDir(), append([]string{"roles=api,sequencer"}, where...)...)
				live = serve(t, "leat", t.TempDir(), append([]string{"roles=broadcast"}, where...)...)
			} else {
				front = serve(t, "leat", t.TempDir(), append([]string{"roles=api,sequencer,broadcast"}, where...)...)
				live = front
			}
			client := live.watch(t, "build.*", "project.*")
			var project, build named
			front.must("POST", "/v1/projects", map[string]any{"name": "Shop"}, &project)
			front.must("POST", "/v1/projects/"+project.ID+"/builds", map[string]any{"image": "i"}, &build)
			status, f := front.progress("before")
			require.Equal(t, http.StatusAccepted, status, f)
			require.False(t, client.event("before").Unrecorded)

			db.Kill()
			for _, id := range []string{"down1", "down2", "down1"} { // its publisher tries again
				status, f = front.progress(id)
				require.Equal(t, http.StatusServiceUnavailable, status, f)
				require.Equal(t, "PUBLISHED_UNRECORDED", f.ErrorCode, f.Message)
				require.Contains(t, f.Message, id)
			}
			for _, id := range []string{"down1", "down2"} {
				got := client.event(id)
				require.True(t, got.Unrecorded)
				require.Zero(t, got.Position)
			}
			front.says("real-time events go out to the live feed unrecorded")
			require.EqualValues(t, 3, front.metric(`leat_events_unrecorded_total{type="build.progressed"}`))
			require.GreaterOrEqual(t, front.metric(`messaging_events_failed_total{type="build.progressed"}`), 3.0)

			status, f = front.archive("not real-time")
			require.Equal(t, http.StatusServiceUnavailable, status, f)
			require.NotEqual(t, "PUBLISHED_UNRECORDED", f.ErrorCode)
			status = front.call("POST", "/v1/builds/"+build.ID+"/start", nil, &f)
			require.Equal(t, http.StatusServiceUnavailable, status, f)
			require.NotEqual(t, "PUBLISHED_UNRECORDED", f.ErrorCode)

			// The application has gone on, and does its work when the log is back.
			db.Start()
			front.eventually("the log is back", func() bool {
				status, f = front.progress("down1")
				return status == http.StatusAccepted
			})
			status, f = front.archive("last")
			require.Equal(t, http.StatusAccepted, status, f)
			client.once("last")
			require.NotContains(t, client.times, "not real-time")
			found := map[string]bool{}
			front.eventually("it is in the log", func() bool {
				for _, e := range front.events("") {
					found[e.Event.ID] = true
				}
				return found["last"]
			})
			require.True(t, found["down1"], "what was published again")
			require.False(t, found["down2"], "what went out unrecorded only")
			require.EqualValues(t, 3, front.metric(`leat_events_unrecorded_total{type="build.progressed"}`))
			front.stop()
			if split {
				live.stop()
			}
		})
	}
}

// By default nothing goes out that is not recorded.
func TestTheLogIsDownAndNothingGoesOut(t *testing.T) {
	t.Parallel()
	db := postgrestest.StartServer(t)
	p := serve(t, "leat", t.TempDir(), "roles=api,sequencer,broadcast", "store.url="+db.URL())
	client := p.watch(t)
	db.Kill()
	status, f := p.progress("down")
	require.Equal(t, http.StatusServiceUnavailable, status, f)
	require.NotEqual(t, "PUBLISHED_UNRECORDED", f.ErrorCode)
	require.Zero(t, p.metric("leat_events_unrecorded_total"))
	db.Start()
	p.eventually("the log is back", func() bool {
		status, _ := p.archive("last")
		return status == http.StatusAccepted
	})
	client.once("last")
	require.NotContains(t, client.times, "down")
	p.stop()
}

// With both down nothing is pretended.
func TestTheLogAndTheFastPathAreDown(t *testing.T) {
	t.Parallel()
	db, server := postgrestest.StartServer(t), natstest.StartServer(t, natstest.Options{})
	where := []string{"store.url=" + db.URL(), "bus.kind=nats", "nats.url=" + server.URL(), "nats.reconnect_wait=50ms", "publish.on_failure=continue"}
	front := serve(t, "leat", t.TempDir(), append([]string{"roles=api,sequencer"}, where...)...)
	live := serve(t, "leat", t.TempDir(), append([]string{"roles=broadcast"}, where...)...)
	client := live.watch(t)
	server.Kill()
	db.Kill()
	status, f := front.progress("lost")
	require.Equal(t, http.StatusServiceUnavailable, status, f)
	require.NotEqual(t, "PUBLISHED_UNRECORDED", f.ErrorCode)
	require.Contains(t, f.Message, "neither the log nor the live feed took the event")
	require.Zero(t, front.metric("leat_events_unrecorded_total"))

	db.Start()
	server.Start()
	front.eventually("the log is back", func() bool {
		status, _ := front.progress("again")
		return status == http.StatusAccepted
	})
	status, f = front.archive("last")
	require.Equal(t, http.StatusAccepted, status, f)
	client.event("again")
	client.once("last")
	require.NotContains(t, client.times, "lost")
	front.stop()
	live.stop()
}

// A process says what it does not serve, and who does.
func TestFeedAndAPIApart(t *testing.T) {
	t.Parallel()
	store := "store.url=" + postgrestest.Start(t)
	front := serve(t, "leat", t.TempDir(), "roles=api,sequencer", store)
	live := serve(t, "leat", t.TempDir(), "roles=broadcast", store)
	var f failure
	require.Equal(t, http.StatusNotFound, front.call("GET", "/v1/ws", nil, &f))
	require.Equal(t, "NO_LIVE_FEED_HERE", f.ErrorCode)
	require.Equal(t, http.StatusNotFound, live.call("GET", "/v1/events", nil, &f))
	require.Equal(t, "NO_API_HERE", f.ErrorCode)
	header := http.Header{"Origin": {"http://elsewhere.example"}}
	_, resp, err := websocket.DefaultDialer.Dial("ws://"+live.api+"/v1/ws", header)
	require.Error(t, err)
	require.Equal(t, http.StatusForbidden, resp.StatusCode)
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()

	client := live.watch(t)
	status, _ := front.progress("e")
	require.Equal(t, http.StatusAccepted, status)
	require.Positive(t, client.event("e").Position, "without a broker the reliable path alone leads to other processes")
	front.stop()
	live.stop()
}
