package wshub_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/wshub"
)

// listen subscribes and gives what the client is told, each with the time at which it came, until the
// connection is over.
func listen(t *testing.T, conn *websocket.Conn, subscribe string) <-chan heard {
	t.Helper()
	all := make(chan heard, 10_000)
	go func() {
		defer close(all)
		for {
			var got received
			if err := conn.ReadJSON(&got); err != nil {
				return
			}
			all <- heard{got.short(), time.Now()}
		}
	}()
	require.NoError(t, conn.WriteMessage(websocket.TextMessage, []byte(subscribe)))
	return all
}

type heard struct {
	frame string
	at    time.Time
}

// drain returns what has come by now.
func drain(all <-chan heard) (frames []string) {
	for {
		select {
		case h, ok := <-all:
			if !ok {
				return frames
			}
			frames = append(frames, h.frame)
		default:
			return frames
		}
	}
}

// A client to which there is nothing to say has nobody who writes, and for all that gets its pings, its
// events, its positions and its close frame.
func TestIdleClientHasNoWriter(t *testing.T) {
	t.Parallel()
	bubble(t, wshub.Config{}, func(t *testing.T, hub *wshub.Hub, log *feed, network *pipes) {
		conn := network.dial(t)
		pings := 0
		answer := conn.PingHandler()
		conn.SetPingHandler(func(text string) error {
			pings++
			return answer(text)
		})
		all := listen(t, conn, `{"op":"subscribe","types":["build.*"]}`)
		synctest.Wait()
		require.Equal(t, []string{"hello 0", "position 0"}, drain(all))
		require.Zero(t, hub.Writers())
		for n := range 5 {
			for _, e := range log.append(numbered(2*n+1), ev("p", "project.created", "p1")) {
				require.NoError(t, hub.Push(t.Context(), e))
			}
			synctest.Wait()
			require.Equal(t, []string{fmt.Sprintf("event %d e%d", 2*n+1, 2*n+1)}, drain(all))
			require.Zero(t, hub.Writers())
			time.Sleep(2 * time.Second)
			synctest.Wait()
			require.Equal(t, []string{fmt.Sprintf("position %d", 2*n+2)}, drain(all))
			require.Zero(t, hub.Writers())
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Empty(t, drain(all))
		require.GreaterOrEqual(t, pings, 3600/21)
		require.LessOrEqual(t, pings, 3610/20)
		require.Zero(t, hub.Writers())
		require.NoError(t, hub.Close(t.Context()))
		_, open := <-all
		require.False(t, open)
	})
}

// The hub's goroutine ends with the last client and begins again with the next one.
func TestPingsAfterAllHaveLeft(t *testing.T) {
	t.Parallel()
	bubble(t, wshub.Config{}, func(t *testing.T, hub *wshub.Hub, log *feed, network *pipes) {
		for range 3 {
			conn := network.dial(t)
			pinged := make(chan time.Time, 10)
			answer := conn.PingHandler()
			conn.SetPingHandler(func(text string) error {
				pinged <- time.Now()
				return answer(text)
			})
			began := time.Now()
			all := listen(t, conn, `{"op":"subscribe"}`)
			after := (<-pinged).Sub(began)
			require.GreaterOrEqual(t, after, 20*time.Second)
			require.LessOrEqual(t, after, 21*time.Second)
			require.NoError(t, conn.Close())
			for range all {
			}
			synctest.Wait()
		}
	})
}

// A crowd that came at once is told how far the feed is by and by, each of them in time.
func TestACrowdIsNotToldAtOnce(t *testing.T) {
	t.Parallel()
	const crowd, parts = 40, 20
	bubble(t, wshub.Config{}, func(t *testing.T, hub *wshub.Hub, log *feed, network *pipes) {
		conns := make([]*websocket.Conn, crowd)
		all := make([]<-chan heard, crowd)
		for i := range conns {
			conns[i] = network.dial(t)
			all[i] = listen(t, conns[i], `{"op":"subscribe","types":["build.*"]}`)
			require.Equal(t, "hello 0", (<-all[i]).frame)
			require.Equal(t, "position 0", (<-all[i]).frame)
		}
		time.Sleep(5 * time.Second)
		pushed := time.Now()
		for _, e := range log.append(ev("p", "project.created", "p1")) {
			require.NoError(t, hub.Push(t.Context(), e))
		}
		told := map[time.Time]int{}
		for i := range all {
			got := <-all[i]
			require.Equal(t, "position 1", got.frame)
			require.LessOrEqual(t, got.at.Sub(pushed), time.Second)
			told[got.at]++
		}
		for at, n := range told {
			require.LessOrEqual(t, n, crowd/parts, "told %v after the push", at.Sub(pushed))
		}
		for i := range conns {
			require.NoError(t, conns[i].Close())
			for range all[i] {
			}
		}
	})
}

// What is brought to a client in the moment in which its writer ends is not left lying: neither an event nor
// a command.
func TestNothingIsLostAsAWriterEnds(t *testing.T) {
	t.Parallel()
	const events, ahead, commands = 20_000, 128, 200
	b := setup(t, wshub.Config{})
	c := dial(t, b, "acme")
	c.say(`{"op":"subscribe"}`)
	c.want("hello 0", "position 0")
	var read atomic.Int64
	var reading sync.WaitGroup
	reading.Go(func() {
		for answers := 0; read.Load() < events || answers < commands; {
			got, err := c.next()
			switch {
			case err == nil && got.Op == "position":
				answers++
			case err == nil && got.Position == read.Load()+1:
				read.Add(1)
			default:
				t.Errorf("got %q, %v, after event %d and %d answers", got.text, err, read.Load(), answers)
				read.Store(events) // so that nobody waits
				return
			}
		}
	})
	random := rand.New(rand.NewPCG(1, 2))
	for n := 1; n <= events && !t.Failed(); n++ {
		b.push(t, numbered(n))
		// Meanwhile the writer may end. That takes anything from a microsecond to a hundred; a timer is too coarse.
		for until := time.Now().Add(time.Duration(random.IntN(1 << (8 + random.IntN(9))))); time.Now().Before(until); {
		}
		require.False(t, b.hub.Stranded(), "event %d lies in the queue and nobody writes", n)
		if n%(events/commands) == 0 {
			c.say(`{"op":"subscribe"}`)
		}
		for int64(n)-read.Load() > ahead {
			runtime.Gosched()
		}
	}
	reading.Wait()
}

// A client that says more than it must is not cut off from its events by that, nor by its events from being
// answered.
func TestEventsAndCommandsTakeTurns(t *testing.T) {
	t.Parallel()
	bubble(t, wshub.Config{}, func(t *testing.T, hub *wshub.Hub, log *feed, network *pipes) {
		conn := network.dial(t)
		c := &client{Conn: conn, t: t}
		c.say(`{"op":"subscribe"}`)
		c.want("hello 0", "position 0")
		const events = 5
		for n := 1; n <= events; n++ {
			for _, e := range log.append(numbered(n)) {
				require.NoError(t, hub.Push(t.Context(), e))
			}
		}
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			for conn.WriteMessage(websocket.TextMessage, []byte(`{"op":"subscribe","after":9}`)) == nil {
			}
		}()
		for n := 1; n <= events; n++ {
			synctest.Wait() // the writer is held up by its frame, and the next command is there
			c.want(fmt.Sprintf("event %d e%d", n, n))
			synctest.Wait()
			c.want("error POSITION_AHEAD")
		}
		require.NoError(t, conn.Close())
		<-stopped
	})
}
