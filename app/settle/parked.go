package settle

import (
	"container/heap"
	"time"

	"github.com/leat-dev/leat/app/event"
)

// waiting is a lane's picture of its parked events: which keys are blocked, and what is due next.
// The store holds the truth; a lane reads it when it begins and when somebody else changed it.
type waiting struct {
	keys map[string]*line
	due  dueHeap
	// Events that have just failed are likely to be tried again soon: some are kept, so that each attempt need
	// not read the log.
	events map[int64]event.Envelope
	size   int // of their data, in bytes
}

// keptBytes bounds the data of the events that a lane keeps, and keptEvents how many there are.
const (
	keptBytes  = 256 << 10
	keptEvents = 256
)

// line is the parked events of one key in order. Only its head is ever tried.
type line struct {
	head Parked
	rest []int64 // positions
}

func newWaiting(parked []Parked) *waiting {
	w := &waiting{keys: map[string]*line{}, events: map[int64]event.Envelope{}}
	for _, p := range parked {
		w.add(p)
	}
	return w
}

// blocks tells whether events of the key must wait.
func (w *waiting) blocks(key string) bool { return w.keys[key] != nil }

// add puts an event at the end of its key's line; a redriven one stands apart.
func (w *waiting) add(p Parked) {
	if p.State == Redrive {
		heap.Push(&w.due, p)
		return
	}
	if l := w.keys[p.Key]; l != nil {
		l.rest = append(l.rest, p.Position)
		return
	}
	w.put(p)
}

// hold blocks the key of an event that has failed for the first time; put must follow.
func (w *waiting) hold(p Parked) { w.keys[p.Key] = &line{head: p} }

// next returns the event that is due first; ok is false when nothing is parked.
func (w *waiting) next() (p Parked, ok bool) {
	if len(w.due) == 0 {
		return Parked{}, false
	}
	return w.due[0], true
}

// take removes the event that is due first from the ones to try; put or done must follow.
func (w *waiting) take() Parked { return heap.Pop(&w.due).(Parked) } //nolint:forcetypeassert // it holds nothing else

// put makes an event that was taken or held one to try, at its time.
func (w *waiting) put(p Parked) {
	if l := w.keys[p.Key]; l != nil && p.State != Redrive {
		l.head = p
	} else if p.State != Redrive {
		w.hold(p)
	}
	heap.Push(&w.due, p)
}

// keep keeps an event that is parked, if there is room.
func (w *waiting) keep(e event.Envelope) {
	if _, kept := w.events[e.Position]; !kept && len(w.events) < keptEvents && w.size+len(e.Data) <= keptBytes {
		w.events[e.Position] = e
		w.size += len(e.Data)
	}
}

// kept returns an event that was kept.
func (w *waiting) kept(position int64) (event.Envelope, bool) {
	e, ok := w.events[position]
	return e, ok
}

// done removes a taken event; the next of its key is due at once.
func (w *waiting) done(p Parked) {
	w.size -= len(w.events[p.Position].Data)
	delete(w.events, p.Position)
	if p.State == Redrive {
		return
	}
	l := w.keys[p.Key]
	if len(l.rest) == 0 {
		delete(w.keys, p.Key)
		return
	}
	l.head = Parked{Position: l.rest[0], Slot: p.Slot, Key: p.Key, State: Behind, Due: time.Time{}}
	l.rest = l.rest[1:]
	heap.Push(&w.due, l.head)
}

// hasten makes everything that is due later than a time due then.
func (w *waiting) hasten(latest time.Time) {
	for i, p := range w.due {
		if !p.Due.After(latest) {
			continue
		}
		w.due[i].Due = latest
		if l := w.keys[p.Key]; l != nil && p.State != Redrive {
			l.head.Due = latest
		}
	}
	heap.Init(&w.due)
}

type dueHeap []Parked

func (h dueHeap) Len() int { return len(h) }
func (h dueHeap) Less(i, j int) bool {
	if h[i].Due.Equal(h[j].Due) {
		return h[i].Position < h[j].Position
	}
	return h[i].Due.Before(h[j].Due)
}
func (h dueHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *dueHeap) Push(x any)   { *h = append(*h, x.(Parked)) } //nolint:forcetypeassert // see waiting.take
func (h *dueHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
