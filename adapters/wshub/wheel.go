package wshub

import (
	"sync"
	"time"

	"github.com/jonboulle/clockwork"
)

// wheelParts is into how many parts a wheel divides its clients.
const wheelParts = 20

// wheel gives each client a beat once in an interval. A crowd that came at once does not write at once:
// the wheel goes on part by part, and each has its share of the clients. Its goroutine runs while there
// are any.
type wheel struct {
	clock clockwork.Clock
	step  time.Duration // from one part to the next

	mu      sync.Mutex // taken before a client's
	parts   [wheelParts]map[*client]struct{}
	clients int
	turning *turning
}

// turning is the goroutine of a wheel.
type turning struct{ stop, stopped chan struct{} }

func newWheel(clock clockwork.Clock, interval time.Duration) *wheel {
	w := &wheel{clock: clock, step: max(interval/wheelParts, time.Millisecond)}
	for i := range w.parts {
		w.parts[i] = map[*client]struct{}{}
	}
	return w
}

// add puts the client where the fewest are.
func (w *wheel) add(c *client) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c.part = 0
	for i, part := range w.parts {
		if len(part) < len(w.parts[c.part]) {
			c.part = i
		}
	}
	w.parts[c.part][c] = struct{}{}
	w.clients++
	if w.clients == 1 {
		w.turning = &turning{stop: make(chan struct{}), stopped: make(chan struct{})}
		go w.turn(w.turning, w.clock.Now(), w.clock.NewTicker(w.step))
	}
}

// remove takes the client away. With the last one the goroutine ends, and has ended when remove returns.
func (w *wheel) remove(c *client) {
	w.mu.Lock()
	delete(w.parts[c.part], c)
	w.clients--
	last, t := w.clients == 0, w.turning
	w.mu.Unlock()
	if last {
		close(t.stop)
		<-t.stopped
	}
}

func (w *wheel) turn(t *turning, at time.Time, ticker clockwork.Ticker) {
	defer close(t.stopped)
	defer ticker.Stop()
	for next := 0; ; {
		select {
		case <-t.stop:
			return
		case <-ticker.Chan():
		}
		// Ticks get lost when the machine is busy: the time says how far to go.
		now := w.clock.Now()
		passed := now.Sub(at)
		at = at.Add(passed.Truncate(w.step))
		for range min(passed/w.step, wheelParts) {
			w.beat(next, now)
			next = (next + 1) % wheelParts
		}
	}
}

func (w *wheel) beat(part int, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.parts[part] {
		c.beat(now)
	}
}
