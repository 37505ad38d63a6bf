package wshub_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/wshub"
	"github.com/leat-dev/leat/app/event"
)

func numbered(n int) event.Envelope { return ev("e"+strconv.Itoa(n), "build.started", "b1") }

func TestResume(t *testing.T) {
	t.Parallel()
	b := setup(t, wshub.Config{})
	for n := 1; n <= 5; n++ {
		b.feed.append(numbered(n))
	}
	c := dial(t, b, "acme")
	c.say(`{"op":"subscribe","after":3}`)
	c.want("hello 5", "event 4 e4", "event 5 e5", "position 5")
	b.push(t, numbered(6))
	c.want("event 6 e6")
	c.say(`{"op":"subscribe","after":6}`)
	c.want("position 6")
	c.say(`{"op":"subscribe","after":0,"types":["project.*"]}`)
	c.want("position 6")
	b.push(t, numbered(7), ev("p", "project.created", "p1"))
	c.want("event 8 p")
}

// What is pushed and what the log holds may differ either way while a client resumes.
func TestResumeAheadOfThePushes(t *testing.T) {
	t.Parallel()
	b := setup(t, wshub.Config{})
	b.push(t, numbered(1))
	b.feed.append(numbered(2), numbered(3))
	c := dial(t, b, "acme")
	c.say(`{"op":"subscribe","after":0}`)
	c.want("hello 1", "event 1 e1", "event 2 e2", "event 3 e3", "position 3")
	for _, e := range b.feed.events[1:] {
		require.NoError(t, b.hub.Push(t.Context(), e))
	}
	b.push(t, numbered(4))
	c.want("event 4 e4")
}

func TestResumeWaitsForALogThatIsBehindThePushes(t *testing.T) {
	t.Parallel()
	b := setup(t, wshub.Config{})
	b.push(t, numbered(1))
	ahead := numbered(2)
	ahead.Position = 2
	require.NoError(t, b.hub.Push(t.Context(), ahead))
	c := dial(t, b, "acme")
	c.want("hello 2")
	read := make(chan struct{}, 100)
	b.feed.set(func() { b.feed.onRead = func() { read <- struct{}{} } })
	c.say(`{"op":"subscribe","after":0}`)
	c.want("event 1 e1")
	for range 2 { // there is nothing at 2 yet
		select {
		case <-read:
		case <-time.After(20 * time.Second):
			t.Fatal("the client took what it had read for everything")
		}
	}
	b.feed.append(ahead)
	require.NoError(t, b.clock.BlockUntilContext(t.Context(), 1))
	b.clock.Advance(wshubTick)
	c.want("event 2 e2", "position 2")
}

func TestResumeBeyondTheEnd(t *testing.T) {
	t.Parallel()
	b := setup(t, wshub.Config{})
	b.push(t, numbered(1))
	c := dial(t, b, "acme")
	c.say(`{"op":"subscribe","after":2}`)
	c.want("hello 1", "error POSITION_AHEAD")
	c.say(`{"op":"subscribe","after":1}`)
	c.want("position 1")
}

func TestResumeOnAnEmptyLog(t *testing.T) {
	t.Parallel()
	b := setup(t, wshub.Config{})
	c := dial(t, b, "acme")
	c.say(`{"op":"subscribe","after":50}`)
	c.want("hello 0", "position 0")
	b.push(t, numbered(1))
	c.want("event 1 e1")
}

func TestGap(t *testing.T) {
	t.Parallel()
	b := setup(t, wshub.Config{})
	for n := 1; n <= 10; n++ {
		b.push(t, numbered(n))
	}
	b.feed.set(func() { b.feed.first = 8 })
	c := dial(t, b, "acme")
	c.say(`{"op":"subscribe","after":3}`)
	c.want("hello 10", "gap 4-7", "event 8 e8", "event 9 e9", "event 10 e10", "position 10")
	c.say(`{"op":"subscribe","after":7}`)
	c.want("event 8 e8", "event 9 e9", "event 10 e10", "position 10")
	c.say(`{"op":"subscribe","after":6}`)
	c.want("gap 7-7", "event 8 e8", "event 9 e9", "event 10 e10", "position 10")
	b.feed.set(func() { b.feed.first = 11 }) // nothing is left
	c.say(`{"op":"subscribe","after":6}`)
	c.want("gap 7-10", "position 10")
	b.push(t, numbered(11))
	c.want("event 11 e11")
}

func TestGapThatOpensWhileReading(t *testing.T) {
	t.Parallel()
	b := setup(t, wshub.Config{})
	for n := 1; n <= 6; n++ {
		b.feed.append(numbered(n))
	}
	var once sync.Once
	b.feed.set(func() {
		b.feed.onRead = func() { once.Do(func() { b.feed.set(func() { b.feed.first = 5 }) }) }
	})
	c := dial(t, b, "acme")
	c.say(`{"op":"subscribe","after":1}`)
	c.want("hello 6", "gap 2-4", "event 5 e5", "event 6 e6", "position 6")
}

func TestNarrowResumeTellsHowFarItIs(t *testing.T) {
	t.Parallel()
	b := setup(t, wshub.Config{})
	for n := 1; n <= 1000; n++ {
		b.feed.append(numbered(n))
	}
	b.feed.set(func() { b.feed.onRead = func() { b.clock.Advance(wshubTick) } })
	c := dial(t, b, "acme")
	c.say(`{"op":"subscribe","after":0,"types":["project.*"]}`)
	c.want("hello 1000", "position 256", "position 512", "position 768", "position 1000")
}

func TestLogThatCannotBeRead(t *testing.T) {
	t.Parallel()
	b := setup(t, wshub.Config{})
	c := dial(t, b, "acme")
	c.say(`{"op":"subscribe"}`)
	c.want("hello 0", "position 0")
	b.feed.set(func() { b.feed.fail = errors.New("disk on fire") })
	require.NoError(t, b.hub.Push(t.Context(), ev("unrecorded", "build.progressed", "b1")))
	c.want("event 0 unrecorded")
	_, response, err := tryDial(b, "acme")
	require.ErrorIs(t, err, websocket.ErrBadHandshake)
	wantError(t, response, 503, "LOG_UNAVAILABLE")
	c.say(`{"op":"subscribe","after":0}`)
	c.wantClose(websocket.CloseTryAgainLater)
}

// Clients that come, go and resume while events are pushed from the log see every event of theirs
// once and in order.
func TestResumeUnderConcurrentPushes(t *testing.T) {
	t.Parallel()
	const events, clients = 3000, 6
	b := setup(t, wshub.Config{Queue: 16}) // small, so that joining fails now and then
	var pushing sync.WaitGroup
	start := make(chan struct{})
	pushing.Go(func() {
		<-start
		for n := 1; n <= events; n++ {
			e := numbered(n)
			if n%3 == 0 {
				e.Tenant = "globex"
			}
			if n%10 == 1 { // by the fast path first
				if err := b.hub.Push(t.Context(), e); err != nil {
					t.Error(err)
				}
			}
			for _, e := range b.feed.append(e) {
				if err := b.hub.Push(t.Context(), e); err != nil {
					t.Error(err)
				}
			}
		}
	})
	var reading sync.WaitGroup
	for i := range clients {
		tenant := []string{"acme", "globex"}[i%2]
		random := rand.New(rand.NewPCG(7, uint64(i)))
		reading.Go(func() {
			if err := follow(t, b, tenant, events, random, i < 2); err != nil {
				t.Errorf("client %d of %s: %v", i, tenant, err)
			}
		})
	}
	close(start)
	pushing.Wait()
	reading.Wait()
}

// follow connects and resumes until it has been told the last position, and checks what it gets.
func follow(t *testing.T, b *bundle, tenant string, last int64, random *rand.Rand, restless bool) error {
	var told int64
	seen := map[string]bool{}
	for told < last {
		conn, response, err := tryDial(b, tenant)
		if err != nil {
			return err
		}
		_ = response.Body.Close()
		c := &client{Conn: conn, t: t}
		fast := map[string]bool{}
		if err := conn.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{"op":"subscribe","after":%d}`, told)); err != nil {
			return err
		}
		for rounds := 0; told < last && (!restless || rounds < 200+random.IntN(300)); rounds++ {
			got, err := c.next()
			if err != nil {
				if websocket.IsCloseError(err, wshub.CloseTooSlow) || isCut(err) {
					break // resume is what it has for that
				}
				return err
			}
			switch got.Op {
			case "hello":
			case "position":
				if got.Position < told {
					return fmt.Errorf("position %d after %d", got.Position, told)
				}
				told = got.Position
			case "event":
				id := got.Event.ID
				if got.Event.Tenant != tenant {
					return fmt.Errorf("got %s, of tenant %s", id, got.Event.Tenant)
				}
				if got.Position == 0 {
					if fast[id] || seen[id] {
						return fmt.Errorf("%s came again by the fast path", id)
					}
					fast[id] = true
					continue
				}
				if id != "e"+strconv.FormatInt(got.Position, 10) || got.Position <= told {
					return fmt.Errorf("got %s at %d after %d", id, got.Position, told)
				}
				if seen[id] || fast[id] {
					return fmt.Errorf("%s came twice", id)
				}
				seen[id] = true
				told = got.Position
			default:
				return fmt.Errorf("unexpected frame %s", got.text)
			}
		}
		for id := range fast {
			// An event of the fast path beyond what was told comes again on the next connection.
			if n, _ := strconv.ParseInt(id[1:], 10, 64); n <= told {
				seen[id] = true
			}
		}
		if err := conn.Close(); err != nil {
			return err
		}
	}
	for n := int64(1); n <= last; n++ {
		if id := "e" + strconv.FormatInt(n, 10); (n%3 == 0) == (tenant == "globex") && !seen[id] {
			return fmt.Errorf("%s is missing", id)
		}
	}
	return nil
}

func big(e event.Envelope) event.Envelope {
	e.Data = []byte(`{"text":"` + strings.Repeat("x", 64<<10) + `"}`)
	return e
}

// A client that is still taking what it missed is not too slow: what overtakes it comes from the log.
func TestQueueThatOverflowsWhileJoining(t *testing.T) {
	t.Parallel()
	b := setup(t, wshub.Config{Queue: 4})
	const missed, pushed = 40, 20
	for n := 1; n <= missed; n++ {
		b.feed.append(big(numbered(n)))
	}
	c := dial(t, b, "acme")
	c.say(`{"op":"subscribe","after":0}`)
	c.want("hello 40", "event 1 e1") // so it has joined, and now it reads no more
	fast := numbered(missed + 2)
	require.NoError(t, b.hub.Push(t.Context(), fast), "lies in the queue that overflows")
	for n := missed + 1; n <= missed+pushed; n++ {
		b.push(t, numbered(n))
	}
	for n := 2; n <= missed+pushed; n++ {
		c.want(fmt.Sprintf("event %d e%d", n, n))
	}
	c.want("position 60")
	b.push(t, numbered(61))
	c.want("event 61 e61")
	_, dropped, _ := b.counts.get()
	require.Zero(t, dropped)
}

func TestWhatWasQueuedIsSentBeforeTheNextSubscription(t *testing.T) {
	t.Parallel()
	b := setup(t, wshub.Config{Queue: 64})
	c := dial(t, b, "acme")
	c.say(`{"op":"subscribe"}`)
	c.want("hello 0", "position 0")
	for n := 1; n <= 40; n++ {
		b.push(t, big(numbered(n)))
	}
	c.say(`{"op":"subscribe","types":["project.*"]}`)
	for n := 1; n <= 40; n++ {
		c.want(fmt.Sprintf("event %d e%d", n, n))
	}
	c.want("position 40")
	b.push(t, numbered(41), ev("p", "project.created", "p1"))
	c.want("event 42 p")
}

func TestSubscribeWhileCatchingUp(t *testing.T) {
	t.Parallel()
	b := setup(t, wshub.Config{})
	for n := 1; n <= 1000; n++ {
		b.feed.append(numbered(n))
	}
	reading, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	b.feed.set(func() { b.feed.onRead = func() { once.Do(func() { close(reading); <-goOn }) } })
	c := dial(t, b, "acme")
	c.say(`{"op":"subscribe","after":0,"types":["project.*"]}`)
	<-reading
	c.say(`{"op":"subscribe","after":990}`)
	close(goOn)
	c.want("hello 1000")
	got, err := c.next()
	require.NoError(t, err)
	if got.short() == "position 1000" { // the first was quicker
		got, err = c.next()
		require.NoError(t, err)
	}
	require.Equal(t, "event 991 e991", got.short())
	for n := 992; n <= 1000; n++ {
		c.want(fmt.Sprintf("event %d e%d", n, n))
	}
	c.want("position 1000")
}
