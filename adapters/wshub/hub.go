package wshub

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/gorilla/websocket"
	"github.com/jonboulle/clockwork"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/handlers/broadcast"
)

var _ broadcast.Pusher = (*Hub)(nil)

const (
	recentPushes = 16384 // events that the hub remembers, to tell late fast frames from new ones
	readers      = 8     // clients that may read the log at the same time
)

// Hub holds the clients that are connected to this process. Make it with New.
type Hub struct {
	cfg      Config
	feed     eventlog.Reader
	clock    clockwork.Clock
	logger   *slog.Logger
	observer Observer
	upgrader websocket.Upgrader
	reading  chan struct{} // holds a token for each read of the log
	wheel    *wheel

	// head is the last position pushed. It is stored after the event has reached every queue, so
	// that a client with an empty queue that sees it has been sent everything up to it.
	head atomic.Int64

	mu        sync.Mutex                      // held over each push; taken before a client's
	clients   map[string]map[*client]struct{} // by tenant
	connected int                             // clients in that map
	count     int                             // clients, and requests that are about to become some
	recent    recent
	closed    bool
	ended     chan struct{} // closed when closed and count is 0
}

// New returns a hub that reads what clients missed from feed. observer may be nil.
func New(cfg Config, feed eventlog.Reader, clock clockwork.Clock, logger *slog.Logger, observer Observer) *Hub {
	if observer == nil {
		observer = nobody{}
	}
	h := &Hub{
		cfg: cfg.withDefaults(), feed: feed, clock: clock, logger: logger, observer: observer,
		reading: make(chan struct{}, readers), clients: map[string]map[*client]struct{}{},
		recent: recent{limit: recentPushes}, ended: make(chan struct{}),
	}
	h.upgrader = h.newUpgrader()
	h.wheel = newWheel(clock, min(h.cfg.PositionInterval, h.cfg.PingInterval))
	return h
}

// Push hands an event to the clients of its tenant that want it. It never waits for one of them.
//
// An event without a position comes by the fast path; its later repeats are told by tenant, source
// and id. One that is not recorded is sent as such, and counts as sent should the log take it after all.
// Events with positions must come in the order of the log: one at or below the last is
// taken for a repeat and goes nowhere, as the order could not be kept.
func (h *Hub) Push(_ context.Context, e event.Envelope) error {
	start := h.clock.Now()
	defer func() { h.observer.Broadcast(h.clock.Since(start)) }()

	slow, err := h.offer(e)
	for _, c := range slow {
		h.observer.Dropped()
		h.logger.Warn("a client of the live feed is too slow and is closed", "tenant", e.Tenant, "actor", c.origin.Actor, "remote", c.remote)
	}
	return err
}

// offer puts the event into the queues of those that want it and returns who had no room.
func (h *Hub) offer(e event.Envelope) (slow []*client, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	position := e.Position
	if h.closed || position > 0 && position <= h.head.Load() {
		return nil, nil
	}
	if isNew := h.recent.add(keyOf(e)); position == 0 && !isNew {
		return nil, nil
	}
	clients := h.clients[e.Tenant]
	if len(clients) > 0 { // a frame costs something even when nobody gets it
		if slow, err = offerTo(clients, newFrame(e)); err != nil {
			return slow, err
		}
	}
	if position > 0 {
		h.head.Store(position)
	}
	return slow, nil
}

func offerTo(clients map[*client]struct{}, f *frame) (slow []*client, err error) {
	for c := range clients {
		tooSlow, err := c.offer(f)
		if err != nil {
			return slow, err // encoding failed: the next client could not have it either
		}
		if tooSlow {
			slow = append(slow, c)
		}
	}
	return slow, nil
}

// Revoke closes the clients that match, with code 4401, and returns how many they were: for a
// credential that is no longer valid.
func (h *Hub) Revoke(match func(event.Origin) bool) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, clients := range h.clients {
		for c := range clients {
			if match(c.origin) && c.end(CloseNotAllowed, "no longer allowed") {
				n++
			}
		}
	}
	return n
}

// Close lets nobody in any more, closes every client with code 1001 and waits until their
// goroutines have ended. When ctx ends first it cuts the connections and returns ctx's error.
func (h *Hub) Close(ctx context.Context) error {
	h.mu.Lock()
	if !h.closed {
		h.closed = true
		if h.count == 0 {
			close(h.ended)
		}
	}
	h.each(func(c *client) { c.end(websocket.CloseGoingAway, "shutting down") })
	h.mu.Unlock()
	select {
	case <-h.ended:
		return nil
	case <-ctx.Done():
	}
	h.mu.Lock()
	h.each(func(c *client) { c.cut() })
	h.mu.Unlock()
	return ctx.Err()
}

func (h *Hub) each(fn func(*client)) {
	for _, clients := range h.clients {
		for c := range clients {
			fn(c)
		}
	}
}

// reserve counts a client that is about to connect; every success is followed by release, or by leave.
func (h *Hub) reserve() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return errClosed
	case h.count >= h.cfg.MaxClients:
		return errFull
	}
	h.count++
	return nil
}

func (h *Hub) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.count--
	if h.closed && h.count == 0 {
		close(h.ended)
	}
}

// enter makes the client known to Push. From here on it may be ended by others.
func (h *Hub) enter(c *client) {
	h.wheel.add(c)
	h.mu.Lock()
	defer h.mu.Unlock()
	tenant := c.origin.Tenant
	if h.clients[tenant] == nil {
		h.clients[tenant] = map[*client]struct{}{}
	}
	h.clients[tenant][c] = struct{}{}
	h.connected++
	h.observer.Clients(h.connected)
	if h.closed {
		c.end(websocket.CloseGoingAway, "shutting down")
	}
}

// leave forgets a client that has gone.
func (h *Hub) leave(c *client) {
	h.wheel.remove(c)
	defer h.release()
	h.mu.Lock()
	defer h.mu.Unlock()
	tenant := c.origin.Tenant
	delete(h.clients[tenant], c)
	if len(h.clients[tenant]) == 0 {
		delete(h.clients, tenant)
	}
	h.connected--
	h.observer.Clients(h.connected)
}
