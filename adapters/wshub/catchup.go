package wshub

import (
	"context"

	"github.com/leat-dev/leat/app/event"
)

// catchUp sends the client one page of the log. When the log had no more than that, pushes go into
// the queue from then on: the client joins before it sends the page, so nothing falls between.
func (c *client) catchUp(ctx context.Context) error {
	events, through, first, err := c.readPage(ctx)
	switch {
	case err != nil:
		return c.giveUp(err)
	case first > c.at+1:
		// What was read may have lost its beginning while it was read; read again from where the log
		// begins now.
		return c.tellGap(first - 1)
	}
	joined := len(events) < pageSize && c.join(through)
	progress := through > c.at
	for _, e := range events {
		if !c.wants(&e) {
			continue
		}
		text, err := encodeEvent(e)
		if err != nil {
			return c.giveUp(err)
		}
		if err := c.sendText(text); err != nil {
			return err
		}
		c.told = e.Position
	}
	c.at = through
	switch {
	case joined:
		c.settle()
		return nil
	case !progress:
		c.waitForLog()
	case c.at > c.told && c.dueToReport(c.hub.clock.Now()):
		answer := c.answer
		err := c.report(c.at)
		c.answer = answer // that comes when the client is live
		return err
	}
	return nil
}

// readPage reads on from where the client is. first is the first position of the log after the
// reading, 0 when it is empty.
func (c *client) readPage(ctx context.Context) (events []event.Envelope, through, first int64, err error) {
	select {
	case c.hub.reading <- struct{}{}:
		defer func() { <-c.hub.reading }()
	case <-ctx.Done():
		return nil, 0, 0, ctx.Err()
	}
	head := c.hub.head.Load()
	if events, through, err = c.hub.feed.Read(ctx, c.at, 0, pageSize); err != nil {
		return nil, 0, 0, err
	}
	first, last, err := c.hub.feed.Bounds(ctx)
	if last > 0 || err != nil {
		return events, max(through, c.at), first, err
	}
	// An empty log does not say where it ends. What had been pushed by then is no longer kept; if
	// nothing had been, it may be a new log, whatever the client remembers of another one.
	if head > c.at {
		first = head + 1
	}
	return nil, head, first, nil
}

func (c *client) tellGap(to int64) error {
	if err := c.send(gapFrame{Op: "gap", From: c.at + 1, To: to}); err != nil {
		return err
	}
	c.at, c.told = to, to
	return nil
}

// join lets pushes into the client's queue if none has gone by that the log, read to its end at the
// position, did not have.
func (c *client) join(through int64) bool {
	c.hub.mu.Lock() // between two pushes
	defer c.hub.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != catching || c.hub.head.Load() > through {
		return false
	}
	c.state, c.from = joining, through
	return true
}

// wants tells whether an event from the log is to be sent.
func (c *client) wants(e *event.Envelope) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sub == nil || e.Tenant != c.origin.Tenant {
		return false
	}
	key := keyOf(*e)
	if c.sent(key) || !c.sub.matches(e) {
		return false
	}
	c.caught.add(key)
	return true
}

// waitForLog leaves the client alone until the next beat: the log may show then what has been pushed
// already.
func (c *client) waitForLog() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == catching {
		c.state = waiting
	}
}
