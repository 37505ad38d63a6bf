package sqlite

import (
	"context"
	"encoding/json"
	"math"
	"time"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/fault"
)

// Prune implements eventlog.Pruner. An event goes when it was recorded before the time, the cursor of its
// slot has passed it in every registered set, and no set has it parked or as an undecided dead
// letter. A limit of 0 means 1000. The log remembers how far it was pruned (Bounds).
func (db *DB) Prune(ctx context.Context, before time.Time, limit int) (int, error) {
	if limit <= 0 {
		limit = maxPage
	}
	// What may go is looked up beside the writer: it stays so, for cursors never go back, and whether
	// an event is parked is asked again when it goes.
	positions, err := db.prunable(ctx, before, limit)
	if err != nil {
		return 0, doing("look for events to prune", err)
	}
	if len(positions) == 0 {
		return 0, nil
	}
	list, err := json.Marshal(positions)
	if err != nil {
		return 0, err
	}
	pruned := 0
	err = db.write(ctx, func(t *tx) error {
		res, err := t.w.exec(db.q.pruneEvents, string(list))
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err != nil {
			return err
		}
		pruned = int(n)
		fault.Point("sqlite.events-pruned")
		_, err = t.w.exec(db.q.prunedThrough, positions[len(positions)-1])
		return err
	})
	if err != nil {
		return 0, doing("prune the log", err)
	}
	db.recent.forget(db.head.Load())
	return pruned, nil
}

// prunable returns the positions, ascending, of events that may go.
func (db *DB) prunable(ctx context.Context, before time.Time, limit int) ([]int64, error) {
	q := db.querier(ctx)
	var settled [event.Slots]int64
	for slot := range settled {
		settled[slot] = math.MaxInt64 // nobody is registered
	}
	err := each(ctx, q, db.q.minimumCursor, nil, func(scan func(...any) error) error {
		var slot int
		var position int64
		if err := scan(&slot, &position); err != nil {
			return err
		}
		if slot >= 0 && slot < event.Slots {
			settled[slot] = position
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var positions []int64
	err = each(ctx, q, db.q.prunable, []any{micros(before)}, func(scan func(...any) error) error {
		var position int64
		var slot int
		if err := scan(&position, &slot); err != nil {
			return err
		}
		if position <= settled[slot] {
			if positions = append(positions, position); len(positions) == limit {
				return errEnough
			}
		}
		return nil
	})
	return positions, err
}
