package wshub

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/gorilla/websocket"
)

// job is what a writer does next.
type job int

const (
	endTurn     job = iota // there is nothing, so there is no writer any more
	sayGoodbye             // the connection is over
	sayHello               // the first frame
	mindDue                // what is due at times
	sendPage               // of the log
	sendAnswer             // the position that is owed to a subscribe
	obeyCommand            // the client's last frame
	sendEvent              // from the queue
)

// begin is wake for those who do not hold mu.
func (c *client) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wake()
}

// wake sees to it that there is a writer, for whoever brings it something to do. Called with mu held, after
// that has been brought: a writer that is there has then still to ask what is next.
func (c *client) wake() {
	if !c.writing {
		c.writing = true
		c.writers.Go(c.write)
	}
}

// next alone decides whether somebody writes: it says what comes next and hands over the frame if that is
// an event. With endTurn the writer has ended in the eyes of wake, and may touch nothing any more.
func (c *client) next() (job, *frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	command := len(c.commands) > 0
	switch {
	case c.ended:
		return sayGoodbye, nil
	case !c.greeted:
		return sayHello, nil
	case c.due:
		c.due = false
		return mindDue, nil
	case c.state == catching && !command:
		return sendPage, nil
	case c.answer && c.state != catching && c.state != waiting:
		return sendAnswer, nil
	case command && (!c.obeyed || c.queue.len() == 0): // commands and events take turns
		c.obeyed = true
		return obeyCommand, nil
	case c.queue.len() > 0:
		c.obeyed = false
		return sendEvent, c.queue.pop()
	}
	c.queue.trim()
	c.writing = false
	return endTurn, nil
}

// writeWith is the writer: it does what there is to do, and when the connection is over it says goodbye.
func (c *client) writeWith(ctx context.Context) {
	var err error
	for err == nil {
		next, f := c.next()
		switch next {
		case endTurn:
			return
		case sayGoodbye:
			err = errOver
		case sayHello:
			err = c.greet()
		case mindDue:
			err = c.mind()
		case obeyCommand:
			err = c.obey(ctx, <-c.commands)
		case sendPage:
			err = c.catchUp(ctx)
		case sendAnswer:
			err = c.report(c.at)
		case sendEvent:
			err = c.sendPushed(f)
			c.settle()
		}
	}
	if !errors.Is(err, errOver) {
		c.end(0, "") // the line is broken
	}
	c.goodbye()
}

func (c *client) goodbye() {
	c.mu.Lock()
	code, reason := c.code, c.reason
	c.mu.Unlock()
	if code == 0 {
		_ = c.conn.NetConn().Close()
		return
	}
	_ = c.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), deadline(c.hub.cfg.WriteTimeout))
	_ = c.conn.SetReadDeadline(deadline(goodbye)) // the reader waits for the answer no longer than that
}

func (c *client) greet() error {
	c.greeted, c.told = true, c.at
	return c.send(positionFrame{Op: "hello", Position: c.at})
}

// deadline is a time for the network, which knows nothing of injected clocks.
func deadline(d time.Duration) time.Time { return time.Now().Add(d) }

// settle makes a client that has emptied its queue after reading the log a live one.
func (c *client) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == joining && c.queue.len() == 0 {
		c.state = live
	}
}

// ready is asked before each frame: it does what is due and stops a connection that is over.
func (c *client) ready() error {
	c.mu.Lock()
	over, due := c.ended, c.due
	c.due = false
	c.mu.Unlock()
	switch {
	case over:
		return errOver
	case due:
		return c.keepAlive(c.hub.clock.Now())
	}
	return nil
}

func (c *client) send(f any) error {
	text, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return c.sendText(text)
}

func (c *client) sendText(text []byte) error {
	if err := c.ready(); err != nil {
		return err
	}
	_ = c.conn.SetWriteDeadline(deadline(c.hub.cfg.WriteTimeout))
	return c.conn.WriteMessage(websocket.TextMessage, text)
}

func (c *client) sendPushed(f *frame) error {
	if err := c.ready(); err != nil {
		return err
	}
	prepared, err := f.encode()
	if err != nil {
		return err
	}
	_ = c.conn.SetWriteDeadline(deadline(c.hub.cfg.WriteTimeout))
	if err := c.conn.WritePreparedMessage(prepared); err != nil {
		return err
	}
	if f.event.Position > 0 {
		c.at, c.told = f.event.Position, f.event.Position
	}
	return nil
}

// report tells the client how far it is.
func (c *client) report(position int64) error {
	now := c.hub.clock.Now() // before the client can have it
	if err := c.send(positionFrame{Op: "position", Position: position}); err != nil {
		return err
	}
	c.told, c.answer, c.reported = position, false, now
	return nil
}

// obey does what a frame of the client asks for.
func (c *client) obey(ctx context.Context, cmd command) error {
	switch {
	case cmd.refused != nil:
		return c.refuse(cmd.refused)
	case cmd.subscribe.after == nil:
		return c.subscribeNow(cmd.subscribe)
	default:
		return c.subscribeAfter(ctx, cmd.subscribe)
	}
}

func (c *client) refuse(r *refusal) error {
	return c.send(errorFrame{Op: "error", Code: r.code, Message: r.message})
}

// subscribeNow makes the client live from here on. What was queued for the subscription before is
// still sent: it happened before.
func (c *client) subscribeNow(s *subscription) error {
	h := c.hub
	var before []*frame
	h.mu.Lock() // between two pushes
	c.mu.Lock()
	if !c.ended {
		c.sub, c.state = s, live
	}
	for c.queue.len() > 0 {
		before = append(before, c.queue.pop())
	}
	at := max(h.head.Load(), c.from)
	c.mu.Unlock()
	h.mu.Unlock()
	for _, f := range before {
		if err := c.sendPushed(f); err != nil {
			return err
		}
	}
	c.at = at
	return c.report(at)
}

// subscribeAfter lets the client begin in the past: it turns to the log.
func (c *client) subscribeAfter(ctx context.Context, s *subscription) error {
	first, last, err := c.hub.feed.Bounds(ctx)
	if err != nil {
		return c.giveUp(err)
	}
	if last = max(last, c.hub.head.Load()); first > 0 && *s.after > last {
		return c.refuse(refuse("POSITION_AHEAD", "after is %d, but the log ends at %d: subscribe without it, or from 0", *s.after, last))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return errOver
	}
	c.sub, c.state = s, catching
	c.dropQueue()
	c.caught.clear() // the client asks for them again
	c.at, c.told, c.answer = *s.after, *s.after, true
	return nil
}

// giveUp ends a client for whom the log cannot be read. It can come back and resume.
func (c *client) giveUp(err error) error {
	if c.end(websocket.CloseTryAgainLater, "the event log cannot be read now") {
		c.hub.logger.Error("read the log for a client of the live feed", "tenant", c.origin.Tenant, "error", err)
	}
	return errOver
}
