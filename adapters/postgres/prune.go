package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leat-dev/leat/app/fault"
)

// Prune implements eventlog.Pruner. An event goes when it was recorded before the time, the cursor of its
// slot has passed it in every registered set, and no set has it parked or as an undecided dead
// letter. A limit of 0 means 1000. The log remembers how far it was pruned (Bounds).
func (db *DB) Prune(ctx context.Context, before time.Time, limit int) (int, error) {
	if limit <= 0 {
		limit = maxPage
	}
	// What may go is looked up before the transaction: it stays so, for cursors never go back, and
	// whether an event is parked is asked again when it goes.
	var positions []int64
	err := db.each(ctx, db.q.prunable, []any{micros(before), limit}, func(row pgx.CollectableRow) error {
		var position int64
		err := row.Scan(&position)
		positions = append(positions, position)
		return err
	})
	if err != nil || len(positions) == 0 {
		return 0, doing("look for events to prune", err)
	}
	pruned := 0
	err = db.write(ctx, func(ctx context.Context, t *tx) error {
		tag, err := t.conn.Exec(t.ctx(ctx), db.q.pruneEvents, positions)
		if err != nil {
			return err
		}
		pruned = int(tag.RowsAffected())
		fault.Point("postgres.events-pruned")
		_, err = t.conn.Exec(t.ctx(ctx), db.q.prunedThrough, positions[len(positions)-1])
		return err
	})
	if err != nil {
		return 0, doing("prune the log", err)
	}
	return pruned, nil
}
