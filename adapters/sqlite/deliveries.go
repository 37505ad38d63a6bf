package sqlite

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

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
	err = each(ctx, db.querier(ctx), db.q.deliveries, []any{e.Position, e.Slot}, func(scan func(...any) error) error {
		var (
			d             settle.Delivery
			types         []byte
			begins, due   int64
			cursor        int64
			parked, dead  string
			deadAttempts  int
			subscribed    []string
			deadReason    string
			parkedFailure string
		)
		if err := scan(&d.Set, &types, &begins, &cursor, &parked, &d.Attempts, &due, &parkedFailure, &dead, &deadAttempts, &deadReason); err != nil {
			return err
		}
		if err := json.Unmarshal(types, &subscribed); err != nil {
			return err
		}
		letter := deadletter.State(dead)
		if parked == "" && letter == "" && (e.Position <= begins || !slices.Contains(subscribed, e.Type)) {
			return nil
		}
		d.Due, d.Reason = fromMicros(due), parkedFailure
		switch {
		case parked != "":
			d.State = deliveryOf[settle.ParkState(parked)]
		case letter == deadletter.Open:
			d.State = settle.DeliveryDead
		case letter == deadletter.Discarded:
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

var deliveryOf = map[settle.ParkState]string{
	settle.Failed:  settle.DeliveryRetrying,
	settle.Redrive: settle.DeliveryRetrying,
	settle.Behind:  settle.DeliveryWaiting,
	settle.Held:    settle.DeliveryHeld,
}

// Backlog implements settle.Backlogs.
func (db *DB) Backlog(ctx context.Context) (map[string]int, error) {
	backlog := map[string]int{}
	err := each(ctx, db.querier(ctx), db.q.backlog, []any{settle.BacklogLook}, func(scan func(...any) error) error {
		var set string
		var n int
		err := scan(&set, &n)
		backlog[set] = n
		return err
	})
	return backlog, doing("count what handler sets have before them", err)
}

// Oldest implements settle.Backlogs.
func (db *DB) Oldest(ctx context.Context) (map[string]time.Time, error) {
	oldest := map[string]time.Time{}
	err := each(ctx, db.querier(ctx), db.q.oldest, []any{settle.BacklogLook}, func(scan func(...any) error) error {
		var set string
		var recorded int64
		err := scan(&set, &recorded)
		oldest[set] = fromMicros(recorded)
		return err
	})
	return oldest, doing("look for the oldest events that are not settled", err)
}
