package postgres

import (
	"sync"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/settle"
)

// standing is where the lanes of the works of one transaction stand.
type standing struct {
	fences  map[int]int64
	cursors [event.Slots]int64 // unknown where nobody has looked
	parked  map[int64]bool     // of the events that are no first deliveries
}

const unknown = -1

func (at *standing) admits(w settle.Work) error {
	if fence := at.fences[w.Lease.Lane]; fence == 0 || fence != w.Lease.Fence {
		return settle.ErrFenced
	}
	if w.First && w.Event.Position <= at.cursors[w.Event.Slot] {
		return settle.ErrSettled
	}
	if !w.First && !at.parked[w.Event.Position] {
		return settle.ErrSettled
	}
	return nil
}

// knows tells whether admits can speak of a work that came after the transaction had begun; where it is no
// first delivery, once somebody has looked whether its event is parked.
func (at *standing) knows(w settle.Work) bool {
	_, held := at.fences[w.Lease.Lane]
	return held && (!w.First || at.cursors[w.Event.Slot] != unknown)
}

func (at *standing) passed(w settle.Work) {
	if w.First {
		at.cursors[w.Event.Slot] = w.Event.Position
	}
	at.parked[w.Event.Position] = w.Park != nil
}

// marks remembers where cursors stand, so that they need not be read for every commit. As long as a
// lease is good nobody but its owner moves the cursors of its slots: a mark is good under the fence
// under which it was made, which each transaction checks.
type marks struct {
	mu   sync.Mutex
	sets map[string]*marked
}

type marked [event.Slots]mark

type mark struct {
	lane            int
	fence, position int64 // no mark has the fence 0
}

// of returns the marks of a set, and whether they are enough for the first deliveries among the works.
func (m *marks) of(set string, batch []*settling) (all marked, enough bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sets[set] != nil {
		all = *m.sets[set]
	}
	for _, r := range batch {
		w := r.work
		have := &all[w.Event.Slot]
		if w.First && (have.fence == 0 || have.lane != w.Lease.Lane || have.fence != w.Lease.Fence) {
			return all, false
		}
	}
	return all, true
}

// under returns the cursors of the marks that are good under the fences.
func (all *marked) under(fences map[int]int64) (cursors [event.Slots]int64) {
	for slot := range all {
		cursors[slot] = unknown
		if have := &all[slot]; have.fence != 0 && have.fence == fences[have.lane] {
			cursors[slot] = have.position
		}
	}
	return cursors
}

// set remembers where the first deliveries that were committed have moved their cursors.
func (m *marks) set(set string, joined []*settling) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sets[set] == nil {
		m.sets[set] = &marked{}
	}
	for _, r := range joined {
		if w := r.work; w.First {
			m.sets[set][w.Event.Slot] = mark{lane: w.Lease.Lane, fence: w.Lease.Fence, position: w.Event.Position}
		}
	}
}

// drop forgets marks: their cursors were moved otherwise, or nobody knows.
func (m *marks) drop(set string, slots ...int16) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if all := m.sets[set]; all != nil {
		for _, slot := range slots {
			all[slot] = mark{}
		}
	}
}
