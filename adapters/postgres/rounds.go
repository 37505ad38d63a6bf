package postgres

import (
	"slices"
	"time"

	"github.com/leat-dev/leat/app/settle"
)

// rounds is what the worker of a set knows of its lanes. A lane that is told that its work is applied
// goes on to the next one, which may then share the commit: so even one lane fills a transaction, in rounds.
type rounds struct {
	held   []int32          // the lanes of the last transaction
	going  map[int]struct{} // said that they would go on, and are not back yet
	slow   map[int]int      // did not come back in time, and are not waited for so many times
	voided map[int]voided   // works of these runs are refused
}

type voided struct {
	fence int64
	run   int
}

const (
	gatherFor = 300 * time.Microsecond // how long a lane that goes on is waited for
	forgiven  = 64                     // how many works of a slow lane go by before it is waited for again
)

func newRounds() rounds {
	return rounds{going: map[int]struct{}{}, slow: map[int]int{}, voided: map[int]voided{}}
}

// hold returns the lanes that a transaction for the works locks: theirs, and those of the transaction
// before, which are likely to come while it is open. All at once, in order: a lane that was locked
// later could be waited for crosswise.
func (l *rounds) hold(batch []*settling) []int32 {
	lanes := make([]int32, 0, len(batch)+len(l.held))
	for _, r := range batch {
		lanes = append(lanes, int32(r.work.Lease.Lane))
	}
	if len(batch) > 1 || batch[0].work.More {
		lanes = append(lanes, l.held...)
	}
	slices.Sort(lanes)
	return slices.Compact(lanes)
}

// arrive notes that a lane is here. A work that follows one whose commit failed is refused.
func (l *rounds) arrive(w settle.Work) error {
	lane := w.Lease.Lane
	delete(l.going, lane)
	if v, ok := l.voided[lane]; ok {
		if v.fence == w.Lease.Fence && w.Run <= v.run {
			return settle.ErrVoided
		}
		delete(l.voided, lane)
	}
	return nil
}

// apply tells the lane of a work that only the commit is missing.
func (l *rounds) apply(w settle.Work) {
	if w.Applied == nil {
		return
	}
	w.Applied()
	if w.More {
		l.expect(w.Lease.Lane)
	}
}

// expect waits for a lane that is likely to come back at once, unless it did not the last time.
func (l *rounds) expect(lane int) {
	if l.slow[lane] == 0 {
		l.going[lane] = struct{}{}
	} else if l.slow[lane]--; l.slow[lane] == 0 {
		delete(l.slow, lane)
	}
}

// expected tells whether some lane is likely to come at once.
func (l *rounds) expected() bool { return len(l.going) > 0 }

// late notes that those who were expected did not come.
func (l *rounds) late() {
	for lane := range l.going {
		l.slow[lane] = forgiven
	}
	clear(l.going)
}

// end is told what became of a transaction, before the lanes are.
func (l *rounds) end(joined []*settling, err error) {
	clear(l.going)
	l.held = l.held[:0]
	for _, r := range joined {
		w := r.work
		if lane := int32(w.Lease.Lane); !slices.Contains(l.held, lane) {
			l.held = append(l.held, lane)
		}
		if err != nil && w.Applied != nil { // no other has gone on
			l.voided[w.Lease.Lane] = voided{w.Lease.Fence, w.Run}
		}
	}
}
