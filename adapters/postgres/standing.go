package postgres

import (
	"slices"
	"sync"

	"github.com/leat-dev/leat/app/settle"
)

// standing is where the lanes of the works of one transaction stand.
type standing struct {
	fences  map[int]int64
	cursors map[int]int64  // of the slots of first deliveries
	parked  map[int64]bool // of the other events
}

func (at standing) admits(w settle.Work) error {
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

func (at standing) passed(w settle.Work) {
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
	sets map[string]map[int]mark // by slot
}

type mark struct {
	lane            int
	fence, position int64
}

// of returns the marks that are good for the first deliveries among the works, and the slots that have
// none.
func (m *marks) of(set string, batch []*settling) (known map[int]int64, unknown []int16) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known = make(map[int]int64, len(batch))
	for _, r := range batch {
		w := r.work
		if !w.First {
			continue
		}
		have, ok := m.sets[set][w.Event.Slot]
		if ok && have.lane == w.Lease.Lane && have.fence == w.Lease.Fence {
			known[w.Event.Slot] = have.position
		} else if slot := int16(w.Event.Slot); !slices.Contains(unknown, slot) {
			unknown = append(unknown, slot)
		}
	}
	return known, unknown
}

// set remembers where the first deliveries that were committed have moved their cursors.
func (m *marks) set(set string, joined []*settling) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sets[set] == nil {
		m.sets[set] = map[int]mark{}
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
	for _, slot := range slots {
		delete(m.sets[set], int(slot))
	}
}
