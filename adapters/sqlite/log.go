package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base32"
	"encoding/json"
	"errors"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/app/fault"
)

var _ eventlog.Log = (*DB)(nil)

// Append implements eventlog.Appender. The position is given here; Recorded is the clock's time,
// cut to microseconds.
func (db *DB) Append(ctx context.Context, events []event.Envelope) ([]eventlog.Receipt, error) {
	if len(events) == 0 {
		return nil, nil
	}
	receipts := make([]eventlog.Receipt, len(events))
	err := db.submit(ctx, len(events) == 1, func(t *tx) error {
		now := db.now()
		for i := range events {
			r, err := db.insert(t, &events[i], now)
			if err != nil {
				return doing("append to the log", err)
			}
			receipts[i] = r
			if !r.Duplicate {
				t.touch(TopicLog)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return receipts, nil
}

func (db *DB) insert(t *tx, e *event.Envelope, now int64) (eventlog.Receipt, error) {
	data := e.Data
	if data == nil {
		data = []byte{}
	}
	res, err := t.w.exec(db.q.insertEvent, event.SlotOf(e.Tenant, e.PartitionKey), e.ID, e.Source, e.Tenant, e.Type, e.SchemaVersion,
		string(e.Kind), string(e.Severity), e.Subject, e.Actor, micros(e.Time), e.PartitionKey, e.CorrelationID, e.CausationID,
		e.Depth, e.TraceParent, now, data)
	if err != nil {
		return eventlog.Receipt{}, err
	}
	fault.Point("sqlite.inserted")
	r := eventlog.Receipt{EventID: e.ID, Receipt: receipt(e.Tenant, e.Source, e.ID)}
	n, err := res.RowsAffected()
	if err != nil {
		return r, err
	}
	if n > 0 {
		position, err := res.LastInsertId()
		if err != nil {
			return r, err
		}
		t.appended = append(t.appended, asRead(*e, position, now))
	} else {
		r.Duplicate = true
		if err := t.w.row(db.q.findFirst, []any{e.ID, e.Source, e.Tenant}, &now); err != nil {
			return r, err
		}
	}
	r.Recorded = fromMicros(now)
	return r, nil
}

var lowerBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// receipt names an acceptance: the same for the same tenant, source and id, on every store.
func receipt(tenant, source, id string) string {
	sum := sha256.Sum256([]byte(tenant + "\x00" + source + "\x00" + id))
	return "rcpt_" + lowerBase32.EncodeToString(sum[:10])
}

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
