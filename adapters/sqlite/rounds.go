package sqlite

import (
	"github.com/leat-dev/leat/app/settle"
)

// lanes is what the committer knows of the lanes whose works it runs. A lane that is told that its work
// is applied goes on to the next one, which may then share the commit: so even one lane fills a
// batch, in rounds.
type lanes struct {
	going   map[laneKey]struct{} // said that they would go on, and are not back yet
	slow    map[laneKey]int      // did not come back in time, and are not waited for so many times
	cursors map[cursorKey]int64  // of the batch, yet to be written
	voided  map[laneKey]voided   // works of these runs are refused
}

type cursorKey struct {
	set  string
	slot int
}

type voided struct {
	fence int64
	run   int
}

func newLanes() lanes {
	return lanes{
		going: map[laneKey]struct{}{}, slow: map[laneKey]int{}, cursors: map[cursorKey]int64{}, voided: map[laneKey]voided{},
	}
}

// forgiven is how many works of a slow lane go by before it is waited for again.
const forgiven = 64

func keyOf(w *settle.Work) laneKey { return laneKey{w.Lease.Set, w.Lease.Lane} }

// arrive notes that a lane is here. A work that follows one whose commit failed is refused.
func (l *lanes) arrive(w *settle.Work) error {
	key := keyOf(w)
	delete(l.going, key)
	if v, ok := l.voided[key]; ok {
		if v.fence == w.Lease.Fence && w.Run <= v.run {
			return settle.ErrVoided
		}
		delete(l.voided, key)
	}
	return nil
}

// apply notes a work that has joined the batch, and tells its lane. It returns whether the lane
// goes on without waiting for the commit.
func (l *lanes) apply(w *settle.Work) bool {
	if w.First {
		key := cursorKey{w.Lease.Set, w.Event.Slot}
		l.cursors[key] = max(l.cursors[key], w.Event.Position)
	}
	if w.Applied == nil {
		return false
	}
	w.Applied()
	if w.More {
		key := keyOf(w)
		if l.slow[key] == 0 {
			l.going[key] = struct{}{}
		} else if l.slow[key]--; l.slow[key] == 0 {
			delete(l.slow, key)
		}
	}
	return true
}

// expected tells whether some lane is likely to come at once.
func (l *lanes) expected() bool { return len(l.going) > 0 }

// late notes that those who were expected did not come.
func (l *lanes) late() {
	for key := range l.going {
		l.slow[key] = forgiven
	}
}

// moveCursors writes where the lanes are by now: one statement for each slot, however many of its
// events are in the batch.
func (l *lanes) moveCursors(db *DB, w *writer) error {
	for key, position := range l.cursors {
		if _, err := w.exec(db.q.moveCursor, position, key.set, key.slot); err != nil {
			return err
		}
		w.cursors[key] = position
		delete(l.cursors, key)
	}
	return nil
}

// end is told what became of the batch, before its callers are.
func (l *lanes) end(batch []*request, err error) {
	clear(l.going)
	clear(l.cursors)
	if err == nil {
		return
	}
	for _, r := range batch {
		if r.work != nil {
			l.voided[keyOf(r.work)] = voided{r.work.Lease.Fence, r.work.Run}
		}
	}
}
