package apptest

import (
	"database/sql"
	"fmt"
	"time"

	"github.com/leat-dev/leat/app/settle"
)

// patience is how long, in real time, everything may stand still before the clock is moved on: a
// set may be resting because something it needs is down, and no table says until when.
const patience = 30 * time.Millisecond

// limit is how long, in real time, things may take to settle.
const limit = 30 * time.Second

// Settle returns when nothing is left to do. Do calls it.
func (h *Harness) Settle() {
	h.t.Helper()
	deadline := time.Now().Add(limit)
	step := 100 * time.Millisecond
	for {
		committed := h.Store.Changed("commit")
		inHand, ended := h.attempts.working()
		open := h.open()
		if inHand > 0 {
			open.add(h.Clock.Now(), h.Clock.Now(), fmt.Sprintf("%d events are in hand", inHand))
		}
		select {
		case <-committed:
			continue // something moved while we looked: what we saw may never have been so
		default:
		}
		switch {
		case open.nothing():
			return
		case time.Now().After(deadline):
			h.t.Fatalf("apptest: not settled after %v: %s", limit, open)
		case open.runnable == 0:
			h.Clock.Advance(open.next.Sub(h.Clock.Now()))
			continue
		}
		still := time.NewTimer(patience)
		select {
		case <-committed:
			step = 100 * time.Millisecond
		case <-ended:
		case <-still.C:
			h.Clock.Advance(step)
			step = min(2*step, time.Second)
		}
		still.Stop()
	}
}

// work is what is left to do.
type work struct {
	runnable int       // can be done now
	later    int       // waits for its time
	next     time.Time // the earliest of those
	what     []string
}

func (w work) nothing() bool  { return w.runnable == 0 && w.later == 0 }
func (w work) String() string { return fmt.Sprint(w.what) }

func (w *work) add(now, due time.Time, what string) {
	w.what = append(w.what, what)
	if !due.After(now) {
		w.runnable++
		return
	}
	w.later++
	if w.next.IsZero() || due.Before(w.next) {
		w.next = due
	}
}

// open looks for what is left.
func (h *Harness) open() work {
	h.t.Helper()
	var w work
	now := h.Clock.Now()
	statuses, err := h.Store.Statuses(h.ctx)
	if err != nil {
		h.t.Fatalf("apptest: %v", err)
	}
	backlog, err := h.Store.Backlog(h.ctx)
	if err != nil {
		h.t.Fatalf("apptest: %v", err)
	}
	for set, status := range statuses {
		if status.Paused {
			continue
		}
		if n := backlog[set]; n > 0 {
			w.add(now, now, fmt.Sprintf("%s has %d events to handle", set, n))
		}
		if status.Parked+status.Redrive == 0 {
			continue
		}
		parked, err := h.Store.Parked(h.ctx, set, allSlots())
		if err != nil {
			h.t.Fatalf("apptest: %v", err)
		}
		blocked := map[string]bool{}
		for _, p := range parked {
			if p.State != settle.Redrive && blocked[p.Key] {
				continue // its time comes after the one before it
			}
			blocked[p.Key] = p.State != settle.Redrive
			if p.State != settle.Held {
				w.add(now, p.Due, fmt.Sprintf("%s has event %d parked until %v (%s)", set, p.Position, p.Due, p.Reason))
			}
		}
	}
	// A mail that a worker has claimed is in hand, whatever its lease says.
	var mails int
	var due sql.NullInt64
	if err := h.Store.SQL(h.ctx).QueryRow(h.ctx, "SELECT count(*), min(CASE owner WHEN '' THEN due ELSE 0 END) FROM "+
		h.Store.Table("email_queue")+" WHERE finished = 0").Scan(&mails, &due); err != nil {
		h.t.Fatalf("apptest: look at the email queue: %v", err)
	}
	if mails > 0 {
		w.add(now, time.UnixMicro(due.Int64), fmt.Sprintf("%d mails to send", mails))
	}
	return w
}

func allSlots() []int {
	slots := make([]int, 64)
	for i := range slots {
		slots[i] = i
	}
	return slots
}
