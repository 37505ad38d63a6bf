package wshub

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/leat-dev/leat/app/event"
)

const (
	maxBadFrames = 16              // refused frames in a row, after which the connection is closed
	recentFast   = 4096            // fast frames of a client that wait for their position
	recentLost   = 1024            // frames of a client that are not recorded
	pageSize     = 256             // events of one read of the log
	goodbye      = 1 * time.Second // how long a client may take to answer a close frame
)

// state is how a client gets its events.
type state int

const (
	idle     state = iota // not subscribed: not at all
	catching              // from the log; pushes pass it by
	joining               // from the queue, for the first time since it read the log; when the queue overflows, back to the log
	live                  // from the queue; when it overflows the client is too slow
)

// client is one connection. Its reader passes commands to its writer, Push puts frames into its
// queue.
type client struct {
	hub    *Hub
	conn   *websocket.Conn
	origin event.Origin
	remote string
	cancel context.CancelFunc

	commands chan command
	queue    chan *frame
	over     chan struct{} // closed by end
	written  chan struct{} // closed when the writer has ended
	heard    atomic.Int64  // when the client last sent anything, in nanoseconds since 1970

	mu     sync.Mutex
	sub    *subscription
	state  state
	from   int64  // pushes at or below this position are not for the queue
	fast   recent // sent by the fast path, position still to come
	lost   recent // sent by the fast path, not recorded; a position may come all the same
	caught recent // sent from the log of late; a fast frame may come after it
	ended  bool
	code   int // of the close frame; 0: none
	reason string

	// What follows belongs to the writer.
	ticker   tick
	at       int64 // the client has been sent everything up to here that it wanted
	told     int64 // the highest position it was told
	answer   bool  // a position frame is owed to the last subscribe
	pinged   time.Time
	reported time.Time // when the last position frame went out
}

// command is what the writer must do for the client's last frame: one of the two is set.
type command struct {
	subscribe *subscription
	refused   *refusal
}

// tick is a clock's ticker.
type tick interface{ Chan() <-chan time.Time }

var errOver = errors.New("the connection is over")

func newClient(h *Hub, conn *websocket.Conn, origin event.Origin, remote string, position int64, cancel context.CancelFunc) *client {
	now := h.clock.Now()
	c := &client{
		hub: h, conn: conn, origin: origin, remote: remote, cancel: cancel,
		commands: make(chan command), queue: make(chan *frame, h.cfg.Queue), over: make(chan struct{}), written: make(chan struct{}),
		from: position, at: position, fast: recent{limit: recentFast}, lost: recent{limit: recentLost}, caught: recent{limit: pageSize}, pinged: now, reported: now,
	}
	c.heard.Store(now.UnixNano())
	return c
}

// serve reads and writes until the connection is over.
func (c *client) serve(ctx context.Context) {
	go c.write(ctx)
	c.read()
	c.end(0, "")
	_ = c.conn.Close()
	<-c.written
}

// end stops the client; code 0 says nothing to it. It returns at once, and false when somebody
// else was first.
func (c *client) end(code int, reason string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.endLocked(code, reason)
}

func (c *client) endLocked(code int, reason string) bool {
	if c.ended {
		return false
	}
	c.ended, c.code, c.reason = true, code, reason
	c.state = idle
	close(c.over)
	c.cancel()
	return true
}

// cut breaks the connection without a word.
func (c *client) cut() {
	c.end(0, "")
	_ = c.conn.NetConn().Close()
}

func (c *client) read() {
	c.conn.SetReadLimit(c.hub.cfg.ReadLimit)
	c.conn.SetPongHandler(func(string) error {
		c.hear()
		return nil
	})
	pong := c.conn.PingHandler()
	c.conn.SetPingHandler(func(text string) error {
		c.hear()
		return pong(text)
	})
	for bad := 0; ; {
		kind, text, err := c.conn.ReadMessage()
		if errors.Is(err, websocket.ErrReadLimit) {
			c.end(websocket.CloseMessageTooBig, "frame too large") // the library has sent the close frame already
			_ = c.conn.SetReadDeadline(deadline(goodbye))
			_, _ = io.Copy(io.Discard, c.conn.NetConn())
		}
		if err != nil {
			return
		}
		c.hear()
		var cmd command
		if kind == websocket.TextMessage {
			cmd.subscribe, cmd.refused = parse(text)
		} else {
			cmd.refused = refuse("INVALID_JSON", "the frame is not text")
		}
		bad++
		if cmd.refused == nil {
			bad = 0
		}
		if bad > maxBadFrames {
			c.end(websocket.ClosePolicyViolation, "too many bad frames")
		}
		select {
		case c.commands <- cmd: // waits: a client that sends faster than it reads stops itself
		case <-c.over:
			c.discard()
			return
		}
	}
}

// discard reads on after the end until the writer's deadline: closing with bytes unread would make
// the system throw away what the client has yet to read, the close frame with it.
func (c *client) discard() {
	for {
		if _, _, err := c.conn.NextReader(); err != nil {
			return
		}
	}
}

func (c *client) hear() { c.heard.Store(c.hub.clock.Now().UnixNano()) }

// offer queues a pushed event if the client wants it. slow says that the client has just been
// ended because it does not take its frames.
func (c *client) offer(f *frame) (slow bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != joining && c.state != live {
		return false, nil
	}
	fast := f.event.Position == 0
	if !fast && (f.event.Position <= c.from || c.sent(f.key)) || !c.sub.matches(&f.event) {
		return false, nil
	}
	if _, err := f.encode(); err != nil {
		return false, err
	}
	if fast && !c.remember(f) {
		return false, nil
	}
	select {
	case c.queue <- f:
		return false, nil
	default:
	}
	if c.state == joining {
		c.sent(f.key)
		c.dropQueue()
		c.state = catching
		return false, nil
	}
	return c.endLocked(CloseTooSlow, "too slow"), nil
}

// sent tells whether the event went by the fast path, and forgets that: its position comes once. Called
// with mu held.
func (c *client) sent(k eventKey) bool {
	fast, lost := c.fast.take(k), c.lost.take(k)
	return fast || lost
}

// remember notes that an event goes by the fast path; false when it must not: the client has it, or so
// many wait for their positions that one would be forgotten and sent twice. Called with mu held.
func (c *client) remember(f *frame) bool {
	switch {
	case c.caught.has(f.key), c.lost.has(f.key), c.fast.has(f.key):
		return false
	case f.event.Unrecorded:
		return c.lost.add(f.key)
	case c.fast.full():
		return false
	}
	return c.fast.add(f.key)
}

// dropQueue empties the queue of what the log will bring again. Called with mu held.
func (c *client) dropQueue() {
	for {
		select {
		case f := <-c.queue:
			if f.event.Position == 0 {
				c.sent(f.key)
			}
		default:
			return
		}
	}
}
