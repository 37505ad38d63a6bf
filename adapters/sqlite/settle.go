package sqlite

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/leat-dev/leat/app/deadletter"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/fault"
	"github.com/leat-dev/leat/app/settle"
)

// Settle implements settle.Store.
func (db *DB) Settle(ctx context.Context, w settle.Work) error {
	if w.Park != nil && w.Dead != nil {
		return fmt.Errorf("settle event %s: it cannot be parked and dead at once", w.Event.ID)
	}
	bare := w.Effect == nil && w.First && w.Dead == nil && w.Park == nil // one cursor moves
	joins, err := db.txOf(ctx)
	if err != nil {
		return err
	}
	write := func(t *tx) error {
		if err := db.checkFence(t, w.Lease); err != nil {
			return err
		}
		if err := db.enter(t, w, joins != nil); err != nil {
			return err
		}
		if w.Effect != nil {
			if err := w.Effect(context.WithValue(ctx, txKey{db}, t)); err != nil {
				return err
			}
			fault.Point("sqlite.effect-made")
		}
		return doing("settle event "+w.Event.ID, db.record(t, w))
	}
	if joins != nil {
		return db.submit(ctx, bare, write)
	}
	return db.committer.settle(ctx, bare, &w, write)
}

// enter refuses what is settled already, before its effect is run again, and moves the cursor of a
// first delivery: now, in a transaction of somebody else, or before the commit (lanes.apply).
func (db *DB) enter(t *tx, w settle.Work, joins bool) error {
	if !w.First {
		return db.stillParked(t, w)
	}
	key := cursorKey{w.Lease.Set, w.Event.Slot}
	stands, err := db.stands(t, key)
	switch {
	case noRow(err):
		return settle.ErrSettled
	case err != nil:
		return doing("settle event "+w.Event.ID, err)
	case w.Event.Position <= stands:
		return settle.ErrSettled
	case !joins:
		return nil
	}
	delete(t.w.cursors, key)
	_, err = t.w.exec(db.q.moveCursor, w.Event.Position, key.set, key.slot)
	return doing("settle event "+w.Event.ID, err)
}

func (db *DB) stillParked(t *tx, w settle.Work) error {
	var there bool
	if err := t.w.row(db.q.isParked, []any{w.Lease.Set, w.Event.Position}, &there); err != nil {
		return doing("settle event "+w.Event.ID, err)
	}
	if !there {
		return settle.ErrSettled
	}
	return nil
}

// stands returns where a cursor is, with what the transaction has settled so far.
func (db *DB) stands(t *tx, key cursorKey) (int64, error) {
	position, ok := t.w.cursors[key]
	if !ok {
		if err := t.w.row(db.q.cursor, []any{key.set, key.slot}, &position); err != nil {
			return 0, err
		}
		t.w.cursors[key] = position
	}
	return max(position, db.committer.lanes.cursors[key]), nil
}

// record writes the rest of an outcome.
func (db *DB) record(t *tx, w settle.Work) error {
	set, position := w.Lease.Set, w.Event.Position
	fault.Point("sqlite.cursor-moved")
	if w.Park != nil {
		return db.park(t, set, w.Event, *w.Park)
	}
	redriven := false
	if !w.First {
		var state string
		if err := t.w.row(db.q.unpark, []any{set, position}, &state); err != nil && !noRow(err) {
			return err
		}
		redriven = settle.ParkState(state) == settle.Redrive
	}
	switch {
	case w.Dead != nil:
		return db.bury(t, set, w.Event, *w.Dead)
	case redriven:
		_, err := t.w.exec(db.q.handledLetter, position, set)
		return err
	}
	return nil
}

func (db *DB) park(t *tx, set string, e event.Envelope, p settle.Parked) error {
	tenant, key, _ := strings.Cut(cmp.Or(p.Key, e.Key()), "\x00")
	_, err := t.w.exec(db.q.park, set, e.Position, e.Slot, tenant, key, string(p.State), p.Attempts, micros(p.Due), p.Reason)
	return err
}

// bury keeps an event as a dead letter; one that dies again comes to the top of the list.
func (db *DB) bury(t *tx, set string, e event.Envelope, l deadletter.Letter) error {
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	failed := db.now()
	if !l.Failed.IsZero() {
		failed = micros(l.Failed)
	}
	if _, err := t.w.exec(db.q.deleteLetter, e.Position, set); err != nil {
		return err
	}
	fault.Point("sqlite.burying")
	_, err = t.w.exec(db.q.insertLetter, set, e.Position, e.Tenant, e.Type, l.Attempts, l.Reason, failed, micros(e.Recorded), string(text))
	return err
}

// Advance implements settle.Store.
func (db *DB) Advance(ctx context.Context, l settle.Lease, cursors map[int]int64) error {
	return db.write(ctx, func(t *tx) error {
		if err := db.checkFence(t, l); err != nil {
			return err
		}
		for slot, position := range cursors {
			delete(t.w.cursors, cursorKey{l.Set, slot})
			if _, err := t.w.exec(db.q.moveCursor, position, l.Set, slot); err != nil {
				return doing("move the cursors of "+l.Set, err)
			}
		}
		fault.Point("sqlite.cursors-advanced")
		return nil
	})
}

// Parked implements settle.Store.
func (db *DB) Parked(ctx context.Context, set string, slots []int) ([]settle.Parked, error) {
	var mask uint64
	for _, slot := range slots {
		mask |= 1 << slot
	}
	var parked []settle.Parked
	err := each(ctx, db.querier(ctx), db.q.parked, []any{set, int64(mask)}, func(scan func(...any) error) error {
		var p settle.Parked
		var tenant, key string
		var due int64
		if err := scan(&p.Position, &p.Slot, &tenant, &key, &p.State, &p.Attempts, &due, &p.Reason); err != nil {
			return err
		}
		p.Key, p.Due = tenant+"\x00"+key, fromMicros(due)
		parked = append(parked, p)
		return nil
	})
	return parked, doing("read the parked events of "+set, err)
}
