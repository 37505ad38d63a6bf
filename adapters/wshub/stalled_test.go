package wshub_test

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/wshub"
)

// clientsVariable is how many clients there are in TestStalledClients, of which a tenth is stalled; then the
// machine should have nothing else to do. Without it there are 100, and what they take is hardly judged.
const clientsVariable = "LEAT_TEST_CLIENTS"

// One in ten clients takes nothing. The others are as quick as without them; the stalled are closed as
// too slow and cost a bounded queue, and whoever of them reads on later, and resumes, misses nothing.
func TestStalledClients(t *testing.T) { //nolint:paralleltest // it measures
	clients, slack := 100, 2*time.Second // a feed that waits for the stalled waits for ever
	if text := os.Getenv(clientsVariable); text != "" {
		var err error
		clients, err = strconv.Atoi(text)
		require.NoError(t, err)
		slack = 5 * time.Millisecond // two processors have all the clients to serve too
	}
	// Rounds with and without them take turns, and the best of each counts: what else the machine does is
	// not what is measured.
	const rounds = 2
	var without, with []crowdFigures
	for i := range rounds {
		t.Run(fmt.Sprintf("without %d", i), func(t *testing.T) { without = append(without, watch(t, clients-clients/10, 0)) })
		t.Run(fmt.Sprintf("with %d", i), func(t *testing.T) { with = append(with, watch(t, clients-clients/10, clients/10)) })
	}
	require.False(t, t.Failed())
	best := func(all []crowdFigures) crowdFigures {
		return slices.MinFunc(all, func(a, b crowdFigures) int { return int(a.p99 - b.p99) })
	}
	a, b := best(without), best(with)
	t.Logf("%d quick clients: p99 %v, heap at most %.1f MB", clients-clients/10, a.p99, a.heap)
	t.Logf("and %d stalled ones: p99 %v, heap at most %.1f MB", clients/10, b.p99, b.heap)
	require.LessOrEqual(t, b.p99, max(a.p99*3/2, a.p99+slack), "p99 of the quick ones; without the stalled ones %v", a.p99)
	// Frames are shared, so this is a bound as if each client had its own.
	most := float64(clients/10) * stalledQueue * stalledSize / (1 << 20)
	require.LessOrEqual(t, b.heap, a.heap*1.5+most, "heap in MB; without the stalled ones %.1f", a.heap)
}

const (
	stalledQueue  = 128
	stalledSize   = 4 << 10 // bytes of an event
	stalledAhead  = 64      // events that the slowest quick client may be behind, on however slow a machine
	stalledEvents = 300
)

// crowdFigures are what a round took.
type crowdFigures struct {
	p99  time.Duration // from the push to the quick clients
	heap float64       // MB, at most
}

// watch pushes events to quick clients and to some that take nothing.
func watch(t *testing.T, quick, stalled int) crowdFigures {
	t.Helper()
	// About 20,000 frames in a second are what two processors can write and read; beyond that every client
	// waits for every other, and one more of them, stalled or not, is felt by all.
	pace := max(time.Second*time.Duration(quick)/15_000, time.Millisecond)
	// Nobody is cut because a write takes long: that is TestClientThatNeverReadsIsCut.
	b := setup(t, wshub.Config{Queue: stalledQueue, WriteTimeout: time.Minute})
	join := func() *client {
		c := dial(t, b, "acme")
		c.say(`{"op":"subscribe"}`)
		c.want("hello 0", "position 0")
		return c
	}
	var pushed [stalledEvents + 1]atomic.Int64
	took := make([][]time.Duration, quick)
	var reading sync.WaitGroup
	var read [stalledEvents + 1]sync.WaitGroup // by all quick clients, or given up
	for i := range quick {
		c := join()
		for n := 1; n <= stalledEvents; n++ {
			read[n].Add(1)
		}
		reading.Go(func() {
			n := 1
			defer func() {
				for ; n <= stalledEvents; n++ {
					read[n].Done()
				}
			}()
			for ; n <= stalledEvents; n++ {
				_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
				_, text, err := c.ReadMessage()
				if err != nil || !strings.HasPrefix(string(text), fmt.Sprintf(`{"op":"event","position":%d,`, n)) {
					t.Errorf("quick client %d, at event %d: %v %.60s", i, n, err, text)
					return
				}
				took[i] = append(took[i], time.Duration(time.Now().UnixNano()-pushed[n].Load()))
				read[n].Done()
			}
		})
	}
	idle := make([]*client, stalled)
	for i := range idle {
		idle[i] = join()
	}
	tick := time.NewTicker(pace)
	defer tick.Stop()
	text := strings.Repeat("x", stalledSize)
	heap := uint64(0)
	for n := 1; n <= stalledEvents; n++ {
		<-tick.C
		read[max(0, n-stalledAhead)].Wait()
		e := numbered(n)
		e.Data = []byte(`{"text":"` + text + `"}`)
		events := b.feed.append(e)
		pushed[n].Store(time.Now().UnixNano())
		require.NoError(t, b.hub.Push(t.Context(), events[0]))
		if n%20 == 0 {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			heap = max(heap, m.HeapInuse)
		}
	}
	reading.Wait()
	_, dropped, _ := b.counts.get()
	require.Equal(t, stalled, dropped, "clients closed as too slow")
	require.False(t, t.Failed())
	// What they still read was sent long ago. To read it is the clients' work, which the quick ones must not
	// be measured beside: that is on other machines.
	for i := 0; i < stalled; i += 2 {
		resume(t, b, readLate(t, idle[i]))
		require.False(t, t.Failed())
	}
	all := slices.Sorted(slices.Values(slices.Concat(took...)))
	require.Len(t, all, quick*stalledEvents)
	return crowdFigures{p99: all[len(all)*99/100], heap: float64(heap) / (1 << 20)}
}

// readLate reads what a stalled client was sent, up to the close frame: everything once and in order. It
// returns how far that was.
func readLate(t *testing.T, c *client) (told int64) {
	t.Helper()
	for {
		got, err := c.next()
		if err != nil {
			if !websocket.IsCloseError(err, wshub.CloseTooSlow) {
				t.Errorf("a stalled client that reads on, after event %d: got %v, want close code %d", told, err, wshub.CloseTooSlow)
			}
			return told
		}
		told++
		if want := fmt.Sprintf("event %d e%d", told, told); got.short() != want {
			t.Errorf("a stalled client that reads on: got %s, want %s", got.short(), want)
			return told
		}
	}
}

// resume lets a client go on where it was told to be: nothing is missing, and what is no longer kept is told of.
func resume(t *testing.T, b *bundle, told int64) {
	t.Helper()
	require.Less(t, told, int64(stalledEvents))
	again := dial(t, b, "acme")
	defer again.Close()
	again.say(fmt.Sprintf(`{"op":"subscribe","after":%d}`, told))
	again.want(fmt.Sprintf("hello %d", stalledEvents))
	for n := told + 1; n <= stalledEvents; n++ {
		again.want(fmt.Sprintf("event %d e%d", n, n))
	}
	again.want(fmt.Sprintf("position %d", stalledEvents))
	// Half of what it missed is pruned while it is away.
	kept := (told + stalledEvents) / 2
	b.feed.set(func() { b.feed.first = kept })
	defer b.feed.set(func() { b.feed.first = 0 })
	again.say(fmt.Sprintf(`{"op":"subscribe","after":%d}`, told))
	again.want(fmt.Sprintf("gap %d-%d", told+1, kept-1), fmt.Sprintf("event %d e%d", kept, kept))
}
