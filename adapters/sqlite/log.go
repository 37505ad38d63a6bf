package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
)

var _ eventlog.Log = (*DB)(nil)

// Read implements eventlog.Reader.
func (db *DB) Read(ctx context.Context, after int64, slots eventlog.SlotSet, limit int) ([]event.Envelope, int64, error) {
	q := db.querier(ctx)
	// The head comes first: what is appended afterwards lies beyond what this answer speaks of.
	head, err := db.headOf(ctx, q)
	if err != nil {
		return nil, 0, err
	}
	if head <= after || limit <= 0 {
		return nil, after, nil
	}
	if _, outside := q.(reading); outside {
		if events, through, ok := db.recent.read(after, head, slots, limit); ok {
			return events, through, nil
		}
	}
	var rows *sql.Rows
	if slots == 0 || slots == ^eventlog.SlotSet(0) {
		rows, err = q.QueryContext(ctx, db.q.readAll, after, head, limit)
	} else {
		rows, err = q.QueryContext(ctx, db.q.readSlots, after, head, int64(slots), limit)
	}
	if err != nil {
		return nil, 0, doing("read the log", err)
	}
	events, err := collect(rows, min(limit, 256), nil)
	if err != nil {
		return nil, 0, doing("read the log", err)
	}
	if len(events) == limit {
		return events, events[limit-1].Position, nil
	}
	return events, head, nil
}

// headOf returns the last position that was given, as q sees it. Outside a transaction it is known without
// asking, since nobody else writes the file.
func (db *DB) headOf(ctx context.Context, q querier) (int64, error) {
	if _, outside := q.(reading); outside {
		return db.head.Load(), nil
	}
	var head int64
	err := one(ctx, q, db.q.head, &head)
	return head, doing("read the head of the log", err)
}

// At implements eventlog.Reader; the events come by position.
func (db *DB) At(ctx context.Context, positions ...int64) ([]event.Envelope, error) {
	if len(positions) == 0 {
		return nil, nil
	}
	list, err := json.Marshal(positions)
	if err != nil {
		return nil, err
	}
	rows, err := db.querier(ctx).QueryContext(ctx, db.q.at, string(list))
	if err != nil {
		return nil, doing("read events of the log", err)
	}
	events, err := collect(rows, len(positions), nil)
	return events, doing("read events of the log", err)
}

// Bounds implements eventlog.Reader. From first on everything is kept; before it only what some set
// still has parked or as an undecided dead letter. When pruning has emptied the log, last is the
// last position that was given and first the one after it.
func (db *DB) Bounds(ctx context.Context) (first, last int64, err error) {
	q := db.querier(ctx)
	if err := one(ctx, q, db.q.first, &first); err != nil {
		return 0, 0, doing("read the bounds of the log", err)
	}
	if last, err = db.headOf(ctx, q); err != nil || last == 0 {
		return 0, 0, err
	}
	return first, last, nil
}

// collect reads rows of the log to their end, or until keep says enough. keep (nil: everything)
// tells whether an event is wanted and whether to go on.
func collect(rows *sql.Rows, size int, keep func(e *event.Envelope, have int) (wanted, goOn bool)) (_ []event.Envelope, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	events := make([]event.Envelope, 0, size)
	for rows.Next() {
		var e event.Envelope
		if err := scan(rows, &e); err != nil {
			return nil, err
		}
		wanted, goOn := true, true
		if keep != nil {
			wanted, goOn = keep(&e, len(events))
		}
		if wanted {
			events = append(events, e)
		}
		if !goOn {
			return events, nil
		}
	}
	return events, rows.Err()
}

func scan(rows *sql.Rows, e *event.Envelope) error {
	var happened, recorded int64
	if err := rows.Scan(&e.Position, &e.Slot, &e.ID, &e.Source, &e.Tenant, &e.Type, &e.SchemaVersion, &e.Kind, &e.Severity,
		&e.Subject, &e.Actor, &happened, &e.PartitionKey, &e.CorrelationID, &e.CausationID, &e.Depth, &e.TraceParent,
		&recorded, &e.Data); err != nil {
		return err
	}
	e.Time, e.Recorded = fromMicros(happened), fromMicros(recorded)
	return nil
}

var _ eventlog.Identified = (*DB)(nil)

// Identity implements eventlog.Identified.
func (db *DB) Identity(ctx context.Context) (identity string, err error) {
	err = one(ctx, db.querier(ctx), db.q.identity, &identity)
	return identity, doing("read the identity of the log", err)
}
