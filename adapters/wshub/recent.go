package wshub

import "github.com/leat-dev/leat/app/event"

// eventKey is what an event is known by before it has a position.
type eventKey struct{ tenant, source, id string }

func keyOf(e event.Envelope) eventKey { return eventKey{e.Tenant, e.Source, e.ID} }

// recentKept is for how many events an empty recent keeps the room.
const recentKept = 64

// recent remembers the last events, at most limit of them. The zero value with a limit is ready.
type recent struct {
	limit int
	known map[eventKey]struct{}
	order []eventKey // a ring once it is full
	next  int
}

// add remembers the event and tells whether it was new.
func (r *recent) add(k eventKey) bool {
	if _, ok := r.known[k]; ok {
		return false
	}
	if r.known == nil {
		r.known = map[eventKey]struct{}{}
	}
	r.known[k] = struct{}{}
	if len(r.order) < r.limit {
		r.order = append(r.order, k)
		return true
	}
	delete(r.known, r.order[r.next])
	r.order[r.next] = k
	r.next = (r.next + 1) % r.limit
	return true
}

// full tells whether the next one might push out one that is still known.
func (r *recent) full() bool { return len(r.known) >= r.limit }

func (r *recent) has(k eventKey) bool {
	_, ok := r.known[k]
	return ok
}

// take forgets the event and tells whether it was known.
func (r *recent) take(k eventKey) bool {
	if !r.has(k) {
		return false
	}
	delete(r.known, k)
	if len(r.known) > 0 {
		return true
	}
	// The usual end: what came by the fast path has got its position. A map never shrinks, and a client may be
	// idle for days after a burst.
	if cap(r.order) > recentKept {
		r.clear()
	} else {
		r.order, r.next = r.order[:0], 0
	}
	return true
}

func (r *recent) clear() { r.known, r.order, r.next = nil, nil, 0 }
