package postgres

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// grace is how much longer than the server may work on a statement its answer may take.
	grace = 3 * time.Second
	// greetPatience bounds what is said on a connection of its own before it is used.
	greetPatience = 10 * time.Second
	// pingPatience bounds the question whether a connection that was idle is still there.
	pingPatience = 3 * time.Second
	// unasked is how long a connection may be idle and be used without that question.
	unasked = time.Second
)

// errSilent is what is read from a connection on which an answer is due and nothing comes.
var errSilent = errors.New("the server has fallen silent")

// dialer makes connections that notice when the server's machine, or the way to it, is gone: the
// server's own keepalives end its sessions, and these end ours.
var dialer = net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3}}

// dialPatiently returns what makes connections on which every answer is due within the patience; 0: there
// is no bound. silent is called when one was not kept.
func dialPatiently(patience time.Duration, silent func()) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		if err != nil || patience == 0 {
			return conn, err
		}
		return &patient{Conn: conn, patience: patience, silent: silent}, nil
	}
}

// patient is a connection on which nobody waits for ever. The server bounds its statements by itself, but
// a server that cannot be reached any more cannot say so; without a bound of our own whoever waits
// would wait for as long as the operating system does, a quarter of an hour and more. It is for
// connections that are read only while an answer is due.
type patient struct {
	net.Conn
	patience time.Duration
	silent   func()

	mu          sync.Mutex
	read, write bound
}

// bound is the earlier of two deadlines: the one that the connection's user sets, and our own.
type bound struct{ theirs, own time.Time }

func (b bound) earlier() (at time.Time, own bool) {
	if b.theirs.IsZero() || !b.own.IsZero() && b.own.Before(b.theirs) {
		return b.own, true
	}
	return b.theirs, false
}

// Read implements net.Conn.
func (p *patient) Read(b []byte) (int, error) {
	p.within(&p.read, p.Conn.SetReadDeadline)
	n, err := p.Conn.Read(b)
	return n, p.explain(&p.read, err)
}

// Write implements net.Conn.
func (p *patient) Write(b []byte) (int, error) {
	p.within(&p.write, p.Conn.SetWriteDeadline)
	n, err := p.Conn.Write(b)
	return n, p.explain(&p.write, err)
}

func (p *patient) within(b *bound, set func(time.Time) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b.own = time.Now().Add(p.patience)
	at, _ := b.earlier()
	_ = set(at) // a connection that is closed says so when it is used
}

// explain tells our own deadline from theirs. That it was ours is no timeout to the caller: the
// connection is of no use any more.
func (p *patient) explain(b *bound, err error) error {
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		return err
	}
	p.mu.Lock()
	_, own := b.earlier()
	p.mu.Unlock()
	if !own {
		return err
	}
	if p.silent != nil {
		p.silent()
	}
	return errSilent
}

// SetDeadline implements net.Conn.
func (p *patient) SetDeadline(t time.Time) error {
	return errors.Join(p.SetReadDeadline(t), p.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (p *patient) SetReadDeadline(t time.Time) error {
	return p.set(&p.read, t, p.Conn.SetReadDeadline)
}

// SetWriteDeadline implements net.Conn.
func (p *patient) SetWriteDeadline(t time.Time) error {
	return p.set(&p.write, t, p.Conn.SetWriteDeadline)
}

func (p *patient) set(b *bound, t time.Time, set func(time.Time) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	b.theirs = t
	at, _ := b.earlier()
	return set(at)
}

// statementPatience is how long an answer may take where the server bounds statements: by what the URL
// says, else by the configuration. 0: for ever.
func statementPatience(parameters map[string]string, configured time.Duration) time.Duration {
	bound := configured
	if text, set := parameters["statement_timeout"]; set {
		text = strings.TrimSuffix(strings.TrimSpace(text), "in") // PostgreSQL says min
		if n, err := strconv.Atoi(text); err == nil {
			bound = time.Duration(n) * time.Millisecond
		} else if d, err := time.ParseDuration(text); err == nil {
			bound = d
		}
	}
	if bound <= 0 {
		return 0
	}
	return bound + grace
}
