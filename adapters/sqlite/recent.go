package sqlite

import (
	"bytes"
	"sort"
	"sync"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
)

const (
	recentEvents = 4096     // how many of the newest events are kept in memory; up to twice as many are
	recentBytes  = 16 << 20 // their data, in the same way
)

// recent is the newest part of the log as everybody who follows it reads it: the sequencer, and
// the lanes of every set. It can be trusted because nobody else writes the file, and events never
// change; when some are deleted, all are forgotten.
type recent struct {
	mu     sync.RWMutex
	base   int64 // everything after it is here
	events []event.Envelope
	bytes  int
}

// add puts events at the end that were just committed, ascending.
func (r *recent) add(events []event.Envelope) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.events); n > recentEvents && n+len(events) > 2*recentEvents {
		r.clear() // before there is no room
	}
	r.events = append(r.events, events...)
	for i := range events {
		r.bytes += len(events[i].Data)
	}
	if len(r.events) > 2*recentEvents || r.bytes > 2*recentBytes {
		r.clear()
	}
}

// clear keeps the newest.
func (r *recent) clear() {
	r.bytes = 0
	first := len(r.events)
	for first > 0 && len(r.events)-first < recentEvents && r.bytes+len(r.events[first-1].Data) <= recentBytes {
		first--
		r.bytes += len(r.events[first].Data)
	}
	r.base = r.events[first-1].Position
	n := copy(r.events, r.events[first:]) // whoever reads has copies
	clear(r.events[n:])
	r.events = r.events[:n]
}

// forget drops everything; what follows the position is kept from now on.
func (r *recent) forget(position int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.events); n > 0 {
		position = max(position, r.events[n-1].Position)
	}
	r.base, r.events, r.bytes = max(r.base, position), nil, 0
}

// read answers as eventlog.Reader's Read does, head being the log's. ok is false when memory does
// not reach back so far.
func (r *recent) read(after, head int64, slots eventlog.SlotSet, limit int) (found []event.Envelope, through int64, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if after < r.base {
		return nil, 0, false
	}
	first := sort.Search(len(r.events), func(i int) bool { return r.events[i].Position > after })
	if slots == 0 || slots == ^eventlog.SlotSet(0) {
		found = make([]event.Envelope, 0, min(limit, len(r.events)-first))
	}
	for i := first; i < len(r.events) && r.events[i].Position <= head; i++ {
		if e := &r.events[i]; slots.Has(e.Slot) {
			if found = append(found, *e); len(found) == limit {
				return found, e.Position, true
			}
		}
	}
	return found, head, true
}

// asRead is what a reader gets of an event that was just inserted.
func asRead(from entry, position, recorded int64) event.Envelope {
	e := *from.event
	e.Position, e.Slot = position, from.slot
	e.Time, e.Recorded = fromMicros(micros(e.Time)), fromMicros(recorded)
	e.Data = bytes.Clone(e.Data)
	return e
}
