package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/leat-dev/leat/app/settle"
)

// Settle implements settle.Store. Works of one set share commits; their effects run one after the
// other, so an effect that waits makes others of its set wait, and no other set. When a commit fails
// all who share it get the same domain.Unavailable error and nothing of their work is kept, or, with the code
// OUTCOME_UNKNOWN, all of it may be.
func (db *DB) Settle(ctx context.Context, w settle.Work) error {
	if w.Park != nil && w.Dead != nil {
		return fmt.Errorf("settle event %s: it cannot be parked and dead at once", w.Event.ID)
	}
	t, err := db.txOf(ctx)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return err
	}
	if t == nil {
		return db.settlers.settle(ctx, w)
	}
	return t.nested(func() error {
		var o outcome
		o.add(w)
		if err := db.enter(ctx, t, w, o); err != nil {
			return err
		}
		db.settlers.marks.drop(w.Lease.Set, o.slots...)
		o.slots = nil // moved
		if w.Effect != nil {
			if err := w.Effect(ctx); err != nil {
				return err
			}
		}
		b := &pgx.Batch{}
		err := db.queueOutcome(b, w)
		if err == nil {
			o.queue(db, b, w.Lease.Set)
			err = t.conn.SendBatch(t.ctx(ctx), b).Close()
		}
		return doing("settle event "+w.Event.ID, err)
	})
}

// enter checks the lease and moves the cursor, or sees that the event is parked, before the effect:
// what is settled already runs none.
func (db *DB) enter(ctx context.Context, t *tx, w settle.Work, o outcome) error {
	var fence, there int64
	b := &pgx.Batch{}
	b.Queue(db.q.fence, w.Lease.Set, w.Lease.Lane).Query(func(rows pgx.Rows) error {
		_, err := pgx.ForEachRow(rows, []any{&fence}, func() error { return nil })
		return err
	})
	count := func(tag pgconn.CommandTag) error {
		there = tag.RowsAffected()
		return nil
	}
	if w.First {
		b.Queue(db.q.moveCursors, w.Lease.Set, o.slots, o.cursors).Exec(count)
	} else {
		b.Queue(db.q.parkedAt, w.Lease.Set, []int64{w.Event.Position}).Exec(count)
	}
	err := t.conn.SendBatch(t.ctx(ctx), b).Close()
	switch {
	case err != nil:
		return doing("settle event "+w.Event.ID, err)
	case fence != w.Lease.Fence || fence == 0:
		return settle.ErrFenced
	case there == 0:
		return settle.ErrSettled
	}
	return nil
}

// outcome collects what many works write in the same way: numbers only, so none of them can be at
// fault.
type outcome struct {
	slots    []int16 // of first deliveries
	cursors  []int64
	unparked []int64
}

func (o *outcome) add(w settle.Work) {
	if w.First {
		o.slots, o.cursors = append(o.slots, int16(w.Event.Slot)), append(o.cursors, w.Event.Position)
	} else if w.Park == nil && w.Dead == nil {
		o.unparked = append(o.unparked, w.Event.Position)
	}
}

func (o *outcome) queue(db *DB, b *pgx.Batch, set string) {
	if len(o.slots) > 0 {
		b.Queue(db.q.moveCursors, set, o.slots, o.cursors)
	}
	if len(o.unparked) > 0 {
		b.Queue(db.q.unpark, set, o.unparked)
	}
}

// queueOutcome adds what a work writes for itself: a parked event or a dead letter.
func (db *DB) queueOutcome(b *pgx.Batch, w settle.Work) error {
	set, e := w.Lease.Set, w.Event
	switch {
	case w.Park != nil:
		p := w.Park
		tenant, key, _ := strings.Cut(cmp.Or(p.Key, e.Key()), "\x00")
		b.Queue(db.q.park, set, e.Position, e.Slot, tenant, key, string(p.State), p.Attempts, micros(p.Due), clean(p.Reason))
	case w.Dead != nil:
		text, err := json.Marshal(e)
		if err != nil {
			return err
		}
		failed := db.now()
		if !w.Dead.Failed.IsZero() {
			failed = micros(w.Dead.Failed)
		}
		if !w.First {
			b.Queue(`DELETE FROM `+db.Table("parked")+` WHERE set_name = $1 AND position = $2`, set, e.Position)
		}
		// One that dies again comes to the top of the list.
		b.Queue(db.q.deleteLetter, e.Position, set)
		b.Queue(db.q.insertLetter, set, e.Position, e.Tenant, e.Type, w.Dead.Attempts, clean(w.Dead.Reason), failed, micros(e.Recorded), string(text))
	}
	return nil
}

// Advance implements settle.Store.
func (db *DB) Advance(ctx context.Context, l settle.Lease, cursors map[int]int64) error {
	return db.write(ctx, func(ctx context.Context, t *tx) error {
		if err := db.checkFence(ctx, t, l); err != nil {
			return err
		}
		var o outcome
		for slot, position := range cursors {
			o.slots, o.cursors = append(o.slots, int16(slot)), append(o.cursors, position)
		}
		db.settlers.marks.drop(l.Set, o.slots...)
		_, err := t.conn.Exec(t.ctx(ctx), db.q.moveCursors, l.Set, o.slots, o.cursors)
		return doing("move the cursors of "+l.Set, err)
	})
}

// Parked implements settle.Store.
func (db *DB) Parked(ctx context.Context, set string, slots []int) ([]settle.Parked, error) {
	var mask uint64
	for _, slot := range slots {
		mask |= 1 << slot
	}
	var parked []settle.Parked
	err := db.each(ctx, db.q.parked, []any{set, int64(mask)}, func(row pgx.CollectableRow) error {
		var p settle.Parked
		var tenant, key string
		var due int64
		if err := row.Scan(&p.Position, &p.Slot, &tenant, &key, &p.State, &p.Attempts, &due, &p.Reason); err != nil {
			return err
		}
		p.Key, p.Due = tenant+"\x00"+key, fromMicros(due)
		parked = append(parked, p)
		return nil
	})
	return parked, doing("read the parked events of "+set, err)
}
