package postgres

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leat-dev/leat/app/deadletter"
	"github.com/leat-dev/leat/app/settle"
)

var (
	_ settle.Deliveries = (*DB)(nil)
	_ settle.Backlogs   = (*DB)(nil)
)

// Deliveries implements settle.Deliveries.
func (db *DB) Deliveries(ctx context.Context, tenant, eventID string) ([]settle.Delivery, error) {
	e, err := db.Find(ctx, tenant, eventID)
	if err != nil {
		return nil, err
	}
	deliveries := []settle.Delivery{}
	err = db.each(ctx, db.q.deliveries, []any{e.Position, e.Slot}, func(row pgx.CollectableRow) error {
		var (
			d                   settle.Delivery
			types               []string
			begins, due, cursor int64
			parked, letter      string
			deadAttempts        int
			deadReason          string
		)
		if err := row.Scan(&d.Set, &types, &begins, &cursor, &parked, &d.Attempts, &due, &d.Reason, &letter, &deadAttempts, &deadReason); err != nil {
			return err
		}
		if parked == "" && letter == "" && (e.Position <= begins || !slices.Contains(types, e.Type)) {
			return nil
		}
		d.Due = fromMicros(due)
		switch {
		case parked != "":
			d.State = deliveryOf(settle.ParkState(parked))
		case deadletter.State(letter) == deadletter.Open:
			d.State = settle.DeliveryDead
		case deadletter.State(letter) == deadletter.Discarded:
			d.State = settle.DeliveryDiscarded
		case cursor >= e.Position:
			d.State = settle.DeliveryHandled
		default:
			d.State = settle.DeliveryPending
		}
		if letter != "" {
			if parked == "" {
				d.Attempts = deadAttempts
			}
			if d.Reason == "" {
				d.Reason = deadReason
			}
		}
		deliveries = append(deliveries, d)
		return nil
	})
	if err != nil {
		return nil, doing("read the deliveries of event "+eventID, err)
	}
	slices.SortFunc(deliveries, func(a, b settle.Delivery) int { return strings.Compare(a.Set, b.Set) })
	return deliveries, nil
}

func deliveryOf(s settle.ParkState) string {
	switch s {
	case settle.Behind:
		return settle.DeliveryWaiting
	case settle.Held:
		return settle.DeliveryHeld
	default:
		return settle.DeliveryRetrying
	}
}

// Backlog implements settle.Backlogs.
func (db *DB) Backlog(ctx context.Context) (map[string]int, error) {
	backlog := map[string]int{}
	err := db.each(ctx, db.q.backlog, []any{settle.BacklogLook}, func(row pgx.CollectableRow) error {
		var set string
		var n int
		err := row.Scan(&set, &n)
		backlog[set] = n
		return err
	})
	return backlog, doing("count what handler sets have before them", err)
}

// Oldest implements settle.Backlogs.
func (db *DB) Oldest(ctx context.Context) (map[string]time.Time, error) {
	oldest := map[string]time.Time{}
	err := db.each(ctx, db.q.oldest, []any{settle.BacklogLook}, func(row pgx.CollectableRow) error {
		var set string
		var recorded int64
		err := row.Scan(&set, &recorded)
		oldest[set] = fromMicros(recorded)
		return err
	})
	return oldest, doing("look for the oldest events that are not settled", err)
}
