package proxy

import (
	"bytes"
	"context"
	"net"
	"sync"
	"time"
)

// pair is a client's connection and the one to the server.
type pair struct {
	proxy  *Proxy
	client net.Conn
	ctx    context.Context // ends when the pair does
	cancel context.CancelFunc

	mu       sync.Mutex
	server   net.Conn
	orphaned bool
	request  []byte // sent since the last answer, while there is a trap
}

const mostRequest = 1 << 20 // of what is kept of a request

// reset ends a connection in the hard way.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// end resets both connections.
func (c *pair) end() {
	c.cancel()
	reset(c.client)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.server != nil {
		reset(c.server)
	}
}

// orphan takes the server away from the client.
func (c *pair) orphan() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.orphaned = true
	if c.server != nil {
		reset(c.server)
	}
}

func (c *pair) work(server net.Conn) {
	c.mu.Lock()
	c.server = server
	gone := c.orphaned || c.ctx.Err() != nil
	c.mu.Unlock()
	if gone {
		reset(server)
	}
	var both sync.WaitGroup
	both.Go(func() { c.pass(c.client, server, c.sent) })
	both.Go(func() { c.pass(server, c.client, c.answered) })
	both.Wait()
}

// pass moves what comes from one to the other, until one of them has ended; look says whether it may
// go on.
func (c *pair) pass(from, to net.Conn, look func([]byte) bool) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if !look(buffer[:n]) {
				c.end()
				return
			}
			if !c.write(to, buffer[:n]) {
				err = net.ErrClosed
			}
		}
		if err != nil {
			c.over(from)
			return
		}
	}
}

// over ends the pair with a clean close; a client that was orphaned is left in the dark until it gives
// up by itself.
func (c *pair) over(from net.Conn) {
	c.mu.Lock()
	orphaned, server := c.orphaned, c.server
	c.mu.Unlock()
	if orphaned && from == server {
		return
	}
	if orphaned && c.ctx.Err() == nil {
		// The client may still say something to the nothing; it ends when it closes, or all does.
		_, _ = readAll(c.client)
	}
	c.cancel()
	_ = c.client.Close()
	if server != nil {
		_ = server.Close()
	}
}

func readAll(c net.Conn) (n int, err error) {
	buffer := make([]byte, 4<<10)
	for err == nil {
		var m int
		m, err = c.Read(buffer)
		n += m
	}
	return n, err
}

// write sends what the condition lets pass; false when the pair has ended.
func (c *pair) write(to net.Conn, data []byte) bool {
	for len(data) > 0 {
		condition, changed := c.proxy.now()
		n := len(data)
		switch {
		case condition.Silent:
			n = 0
			select {
			case <-changed:
			case <-c.ctx.Done():
				return false
			}
		case condition.Trickle:
			n = 1
			if !c.wait(time.Second, changed) {
				return false
			}
		case condition.Delay > 0:
			if !c.wait(condition.Delay, changed) {
				return false
			}
		}
		if n == 0 {
			continue
		}
		if _, err := to.Write(data[:n]); err != nil {
			return false
		}
		data = data[n:]
	}
	return true
}

// wait returns early when the condition changes, and false when the pair has ended.
func (c *pair) wait(d time.Duration, changed <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-changed:
	case <-c.ctx.Done():
		return false
	}
	return true
}

func (c *pair) sent(data []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.proxy.watches() && len(c.request) < mostRequest {
		c.request = append(c.request, data...)
	}
	return true
}

func (c *pair) answered(data []byte) bool {
	c.mu.Lock()
	request := c.request
	c.request = nil
	c.mu.Unlock()
	return !c.proxy.takes(request, data)
}

func matches(want string, data []byte) bool { return want == "" || bytes.Contains(data, []byte(want)) }
