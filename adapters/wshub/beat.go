package wshub

import (
	"time"

	"github.com/gorilla/websocket"
)

// beat comes by once in each interval. It wakes a client for what is due only.
func (c *client) beat(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writing || c.state == waiting || c.silent(now) >= c.hub.cfg.PongTimeout || c.dueToPing(now) || c.untold(now) > 0 {
		c.due = true
		c.wake()
	}
}

// mind does what is due at times when there is nothing to send.
func (c *client) mind() error {
	now := c.hub.clock.Now()
	if err := c.keepAlive(now); err != nil {
		return err
	}
	c.mu.Lock()
	if c.state == waiting {
		c.state = catching
	}
	position := c.untold(now)
	c.mu.Unlock()
	if position > 0 {
		return c.report(position)
	}
	return nil
}

// untold returns the position that a live client should be told since no event has told it; 0 when there is
// none, or it is too early. Called with mu held.
func (c *client) untold(now time.Time) int64 {
	head := c.hub.head.Load() // before looking at the queue: everything up to it is there or has been sent
	if c.state != live || c.queue.len() > 0 || !c.dueToReport(now) {
		return 0
	}
	if head = max(head, c.at); head > c.told {
		return head
	}
	return 0
}

func (c *client) dueToReport(now time.Time) bool {
	return now.Sub(c.reported) >= c.hub.cfg.PositionInterval
}

func (c *client) dueToPing(now time.Time) bool {
	return now.Sub(c.pinged) >= c.hub.cfg.PingInterval
}

// silent is for how long the client has sent nothing.
func (c *client) silent(now time.Time) time.Duration {
	return now.Sub(time.Unix(0, c.heard.Load()))
}

// keepAlive pings the client, and cuts one that has been silent for too long.
func (c *client) keepAlive(now time.Time) error {
	if silent := c.silent(now); silent >= c.hub.cfg.PongTimeout {
		c.hub.logger.Debug("a client of the live feed answers no ping and is cut", "tenant", c.origin.Tenant, "remote", c.remote, "silent", silent)
		c.cut()
		return errOver
	}
	if !c.dueToPing(now) {
		return nil
	}
	c.pinged = now
	return c.conn.WriteControl(websocket.PingMessage, nil, deadline(c.hub.cfg.WriteTimeout))
}
