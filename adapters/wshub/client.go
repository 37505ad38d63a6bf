package wshub

import (
	"context"
	"errors"
	"io"
	"runtime/debug"
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
	waiting               // from the log, at the next beat: it does not show yet what has been pushed
	joining               // from the queue, for the first time since it read the log; when the queue overflows, back to the log
	live                  // from the queue; when it overflows the client is too slow
)

// client is one connection. Its reader passes commands to its writer, Push puts frames into its
// queue. There is a writer only while there is something for it to do: see wake and next.
type client struct {
	hub    *Hub
	conn   *websocket.Conn
	origin event.Origin
	remote string
	cancel context.CancelFunc
	write  func() // the writer

	commands chan command   // holds one; the writer takes it
	writers  sync.WaitGroup // counts the writer
	heard    atomic.Int64   // when the client last sent anything, in nanoseconds since 1970
	bad      int            // frames in a row that were refused; the reader's
	part     int            // of the hub's wheel

	mu      sync.Mutex
	writing bool // there is a writer; it stays so after the goodbye, when there can be none any more
	due     bool // a beat has come by that the writer has not minded yet
	queue   queue
	sub     *subscription
	state   state
	from    int64  // pushes at or below this position are not for the queue
	fast    recent // sent by the fast path, position still to come
	lost    recent // sent by the fast path, not recorded; a position may come all the same
	caught  recent // sent from the log of late; a fast frame may come after it
	ended   bool
	code    int // of the close frame; 0: none
	reason  string

	// What follows belongs to the writer, and under mu to anybody while there is none.
	greeted  bool
	obeyed   bool  // it obeyed a command and has sent no event since
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

var errOver = errors.New("the connection is over")

// newClient returns a client whose writer reads the log with ctx, which cancel ends.
func newClient(ctx context.Context, h *Hub, conn *websocket.Conn, origin event.Origin, remote string, position int64, cancel context.CancelFunc) *client {
	now := h.clock.Now()
	c := &client{
		hub: h, conn: conn, origin: origin, remote: remote, cancel: cancel, commands: make(chan command, 1),
		from: position, at: position, fast: recent{limit: recentFast}, lost: recent{limit: recentLost}, caught: recent{limit: pageSize}, pinged: now, reported: now,
	}
	c.write = func() { c.writeWith(ctx) }
	c.heard.Store(now.UnixNano())
	return c
}

// serve reads until the connection is over, and returns when nobody writes any more and the hub has
// forgotten the client. Here and in read the goroutine of an idle client waits. It is not that of the request,
// which has all that net/http and the entrance need on its stack, and these two take as little of it as they
// can: what a frame made the stack grow by is given back only if less than a quarter is in use.
func (c *client) serve(ctx context.Context) {
	c.begin() // says hello
	c.listen()
	c.read(ctx)
	c.end(0, "")
	_ = c.conn.Close()
	c.writers.Wait()
	c.hub.leave(c)
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
	c.cancel()
	c.wake() // to say goodbye
	return true
}

// cut breaks the connection without a word.
func (c *client) cut() {
	c.end(0, "")
	_ = c.conn.NetConn().Close()
}

// read passes on what the client says until the connection is over.
func (c *client) read(ctx context.Context) {
	defer c.rescue()
	for {
		kind, r, err := c.conn.NextReader()
		if err == nil {
			err = c.take(ctx, kind, r)
		}
		if err != nil {
			c.endReading(err)
			return
		}
	}
}

// rescue makes a panic over what a client said the end of that client alone.
func (c *client) rescue() {
	if p := recover(); p != nil {
		c.hub.logger.Error("a frame of a client of the live feed led to a panic", "tenant", c.origin.Tenant, "remote", c.remote,
			"panic", p, "stack", string(debug.Stack()))
	}
}

func (c *client) listen() {
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
}

// take passes a frame of the client to the writer.
func (c *client) take(ctx context.Context, kind int, r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	c.hear()
	var cmd command
	if kind == websocket.TextMessage {
		cmd.subscribe, cmd.refused = parse(text)
	} else {
		cmd.refused = refuse("INVALID_JSON", "the frame is not text")
	}
	c.bad++
	if cmd.refused == nil {
		c.bad = 0
	}
	if c.bad > maxBadFrames {
		c.end(websocket.ClosePolicyViolation, "too many bad frames")
	}
	select {
	case c.commands <- cmd: // waits: a client that sends faster than it reads stops itself
		c.begin()
		return nil
	case <-ctx.Done():
		return errOver
	}
}

// endReading lets the client have the close frame.
func (c *client) endReading(err error) {
	switch {
	case errors.Is(err, errOver):
		c.discard()
	case errors.Is(err, websocket.ErrReadLimit):
		c.end(websocket.CloseMessageTooBig, "frame too large") // the library has sent the close frame already
		_ = c.conn.SetReadDeadline(deadline(goodbye))
		_, _ = io.Copy(io.Discard, c.conn.NetConn())
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
	if c.queue.len() < c.hub.cfg.Queue {
		c.queue.push(f)
		c.wake()
		return false, nil
	}
	if c.state == joining {
		c.sent(f.key)
		c.dropQueue()
		c.state = catching
		c.wake()
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
	for c.queue.len() > 0 {
		if f := c.queue.pop(); f.event.Position == 0 {
			c.sent(f.key)
		}
	}
}
