package wshub

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/gorilla/websocket"
)

// write is the writer: until the connection is over it alone sends frames, then it says goodbye.
func (c *client) write(ctx context.Context) {
	defer close(c.written)
	ticker := c.hub.clock.NewTicker(min(c.hub.cfg.PositionInterval, c.hub.cfg.PingInterval))
	defer ticker.Stop()
	c.ticker = ticker

	err := c.send(positionFrame{Op: "hello", Position: c.at})
	c.told = c.at
	for err == nil {
		if c.is(catching) {
			err = c.catchUp(ctx)
			continue
		}
		if c.answer {
			err = c.report(c.at)
			continue
		}
		select {
		case <-c.over:
			err = errOver
		case cmd := <-c.commands:
			err = c.obey(ctx, cmd)
		case f := <-c.queue:
			err = c.sendPushed(f)
			c.settle()
		case <-ticker.Chan():
			err = c.onTick()
		}
	}
	if !errors.Is(err, errOver) {
		c.end(0, "") // the line is broken
	}
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

// deadline is a time for the network, which knows nothing of injected clocks.
func deadline(d time.Duration) time.Time { return time.Now().Add(d) }

func (c *client) is(s state) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state == s
}

// settle makes a client that has emptied its queue after reading the log a live one.
func (c *client) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == joining && len(c.queue) == 0 {
		c.state = live
	}
}

// ready is asked before each frame: it does what is due and stops a connection that is over.
func (c *client) ready() error {
	select {
	case <-c.over:
		return errOver
	case <-c.ticker.Chan():
		return c.keepAlive()
	default:
		return nil
	}
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
	if err := c.send(positionFrame{Op: "position", Position: position}); err != nil {
		return err
	}
	c.told, c.answer, c.reported = position, false, c.hub.clock.Now()
	return nil
}

// onTick is what a client that has nothing to send does at times.
func (c *client) onTick() error {
	if err := c.keepAlive(); err != nil {
		return err
	}
	head := c.hub.head.Load() // before looking at the queue: everything up to it is there or has been sent
	if c.is(live) && len(c.queue) == 0 && max(head, c.at) > c.told && c.dueToReport() {
		return c.report(max(head, c.at))
	}
	return nil
}

func (c *client) dueToReport() bool {
	return c.hub.clock.Since(c.reported) >= c.hub.cfg.PositionInterval
}

// keepAlive pings the client, and cuts one that has been silent for too long.
func (c *client) keepAlive() error {
	now := c.hub.clock.Now()
	if silent := now.Sub(time.Unix(0, c.heard.Load())); silent >= c.hub.cfg.PongTimeout {
		c.hub.logger.Debug("a client of the live feed answers no ping and is cut", "tenant", c.origin.Tenant, "remote", c.remote, "silent", silent)
		c.cut()
		return errOver
	}
	if now.Sub(c.pinged) < c.hub.cfg.PingInterval {
		return nil
	}
	c.pinged = now
	return c.conn.WriteControl(websocket.PingMessage, nil, deadline(c.hub.cfg.WriteTimeout))
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
	for len(c.queue) > 0 {
		before = append(before, <-c.queue)
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
