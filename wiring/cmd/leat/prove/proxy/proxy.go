package proxy

import (
	"context"
	"net"
	"sync"
	"time"
)

// Condition is what a network does to what passes. The zero value lets it pass.
type Condition struct {
	// Refuse resets new connections as soon as they are made.
	Refuse bool
	// Silent lets nothing pass in either direction, and tells nobody: what was sent arrives when the
	// condition ends.
	Silent bool
	// Delay is how long each piece that was read takes longer, in each direction.
	Delay time.Duration
	// Trickle lets one byte pass each second.
	Trickle bool
}

// Trap waits for a moment to take an answer away. Empty fields match everything.
type Trap struct {
	Request string // what the client must have sent on the connection since the last answer
	Answer  string // what the answer must hold
}

// Proxy passes connections on to a server. It is safe for concurrent use.
type Proxy struct {
	target   string
	listener net.Listener
	ended    sync.WaitGroup

	mu        sync.Mutex
	condition Condition
	changed   chan struct{} // closed when the condition changes
	trap      Trap
	armed     int // how many answers the trap still takes
	sprung    int
	pairs     map[*pair]struct{}
	closed    bool
}

// Start listens at a free port of this machine, and passes on to the target, host:port.
func Start(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{target: target, listener: l, changed: make(chan struct{}), pairs: map[*pair]struct{}{}}
	p.ended.Go(p.accept)
	return p, nil
}

// Address is where clients connect to, host:port.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Close ends the proxy and all connections.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	_ = p.listener.Close()
	p.Cut()
	p.ended.Wait()
}

// Set changes what happens to all connections, those that are there and those to come.
func (p *Proxy) Set(c Condition) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.condition = c
	close(p.changed)
	p.changed = make(chan struct{})
}

// Cut resets all connections that are there, for both ends.
func (p *Proxy) Cut() {
	for _, c := range p.all() {
		c.end()
	}
}

// Orphan lets the server lose all connections that are there, and tells the clients nothing: to them
// they look open, and stay silent for ever.
func (p *Proxy) Orphan() {
	for _, c := range p.all() {
		c.orphan()
	}
}

// Arm sets the trap for the next n answers that match: each is thrown away, and its connection reset.
func (p *Proxy) Arm(n int, t Trap) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trap, p.armed = t, n
}

// Sprung is how many answers traps have taken.
func (p *Proxy) Sprung() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sprung
}

func (p *Proxy) all() []*pair {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []*pair
	for c := range p.pairs {
		all = append(all, c)
	}
	return all
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.ended.Go(func() { p.serve(client) })
	}
}

// serve passes one connection on until it ends.
func (p *Proxy) serve(client net.Conn) {
	c := &pair{proxy: p, client: client}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	p.mu.Lock()
	refused := p.condition.Refuse || p.closed
	if !refused {
		p.pairs[c] = struct{}{}
	}
	p.mu.Unlock()
	if refused {
		reset(client)
		return
	}
	defer func() {
		p.mu.Lock()
		delete(p.pairs, c)
		p.mu.Unlock()
	}()
	server, err := net.DialTimeout("tcp", p.target, 5*time.Second)
	if err != nil {
		c.end()
		return
	}
	c.work(server)
}

// takes tells whether the trap takes an answer, and counts it.
func (p *Proxy) takes(request, answer []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.armed == 0 || !matches(p.trap.Request, request) || !matches(p.trap.Answer, answer) {
		return false
	}
	p.armed--
	p.sprung++
	return true
}

// watches tells whether there is a trap.
func (p *Proxy) watches() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.armed > 0
}

// now returns the condition, and what is closed when it is over.
func (p *Proxy) now() (Condition, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.condition, p.changed
}
