package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
)

var _ eventlog.Log = (*DB)(nil)

// Read implements eventlog.Reader.
func (db *DB) Read(ctx context.Context, after int64, slots eventlog.SlotSet, limit int) ([]event.Envelope, int64, error) {
	if limit <= 0 {
		return nil, after, nil
	}
	ctx, q, err := db.reader(ctx)
	if err != nil {
		return nil, 0, doing("read the log", err)
	}
	// The head comes first: what gets a position afterwards lies beyond what this answer speaks
	// of, unless the answer holds it or something after it.
	b := &pgx.Batch{}
	b.Queue(db.q.head)
	if slots == 0 || slots == ^eventlog.SlotSet(0) {
		b.Queue(db.q.readAll, after, limit)
	} else {
		b.Queue(db.q.readSlots, after, limit, int64(slots))
	}
	results := q.SendBatch(ctx, b)
	through, events, err := readPage(results, min(limit, 256))
	if end := results.Close(); err == nil {
		err = end
	}
	if err != nil {
		return nil, 0, doing("read the log", err)
	}
	if n := len(events); n > 0 {
		last := events[n-1].Position
		if through = max(through, last); n == limit {
			through = last
		}
	}
	db.topics.saw(through)
	return events, max(through, after), nil
}

func readPage(results pgx.BatchResults, size int) (head int64, events []event.Envelope, err error) {
	if err := results.QueryRow().Scan(&head); err != nil {
		return 0, nil, err
	}
	rows, err := results.Query()
	if err != nil {
		return 0, nil, err
	}
	events, err = collect(rows, size)
	return head, events, err
}

// At implements eventlog.Reader; the events come by position.
func (db *DB) At(ctx context.Context, positions ...int64) ([]event.Envelope, error) {
	if len(positions) == 0 {
		return nil, nil
	}
	ctx, q, err := db.reader(ctx)
	if err != nil {
		return nil, doing("read events of the log", err)
	}
	rows, err := q.Query(ctx, db.q.at, positions)
	if err != nil {
		return nil, doing("read events of the log", err)
	}
	events, err := collect(rows, len(positions))
	return events, doing("read events of the log", err)
}

// Bounds implements eventlog.Reader. From first on everything is kept; before it only what some set
// still has parked or as an undecided dead letter. When pruning has emptied the log, last is the
// last position that was given and first the one after it.
func (db *DB) Bounds(ctx context.Context) (first, last int64, err error) {
	ctx, q, err := db.reader(ctx)
	if err == nil {
		b := &pgx.Batch{}
		b.Queue(db.q.first).QueryRow(func(row pgx.Row) error { return row.Scan(&first) })
		b.Queue(db.q.head).QueryRow(func(row pgx.Row) error { return row.Scan(&last) })
		err = q.SendBatch(ctx, b).Close()
	}
	if err != nil || last == 0 {
		return 0, 0, doing("read the bounds of the log", err)
	}
	db.topics.saw(last)
	return first, last, nil
}

// collect reads rows of the log to their end.
func collect(rows pgx.Rows, size int) ([]event.Envelope, error) {
	defer rows.Close()
	events := make([]event.Envelope, 0, size)
	for rows.Next() {
		var e event.Envelope
		var happened, recorded int64
		if err := rows.Scan(&e.Position, &e.Slot, &e.ID, &e.Source, &e.Tenant, &e.Type, &e.SchemaVersion, &e.Kind, &e.Severity,
			&e.Subject, &e.Actor, &happened, &e.PartitionKey, &e.CorrelationID, &e.CausationID, &e.Depth, &e.TraceParent,
			&recorded, &e.Data); err != nil {
			return nil, err
		}
		e.Time, e.Recorded = fromMicros(happened), fromMicros(recorded)
		events = append(events, e)
	}
	return events, rows.Err()
}

var _ eventlog.Identified = (*DB)(nil)

// Identity implements eventlog.Identified.
func (db *DB) Identity(ctx context.Context) (identity string, err error) {
	ctx, q, err := db.reader(ctx)
	if err == nil {
		err = q.QueryRow(ctx, db.q.identity).Scan(&identity)
	}
	return identity, doing("read the identity of the log", err)
}
