package sqlite

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"math"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/app/fault"
)

// Append implements eventlog.Appender. The position is given here; Recorded is the clock's time,
// cut to microseconds.
func (db *DB) Append(ctx context.Context, events []event.Envelope) ([]eventlog.Receipt, error) {
	if len(events) == 0 {
		return nil, nil
	}
	t, err := db.txOf(ctx)
	if err != nil {
		return nil, err
	}
	a := &appending{events: events, receipts: make([]eventlog.Receipt, len(events))}
	if t == nil {
		err = db.committer.append(ctx, a)
	} else {
		a.name()
		err = db.submit(ctx, len(events) == 1, func(t *tx) error { return db.insert(t, a) })
	}
	if err != nil {
		return nil, err
	}
	return a.receipts, nil
}

// appending is one caller's events on their way into the log. The caller writes the names of the receipts, and
// who inserts the events the rest of them; neither waits for the other.
type appending struct {
	events   []event.Envelope
	receipts []eventlog.Receipt
}

func (a *appending) name() {
	for i := range a.events {
		e, r := &a.events[i], &a.receipts[i]
		r.EventID, r.Receipt = e.ID, receipt(e.Tenant, e.Source, e.ID)
	}
}

var lowerBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// receipt names an acceptance: the same for the same tenant, source and id, on every store.
func receipt(tenant, source, id string) string {
	var text [event.MaxTenant + event.MaxSource + event.MaxID + 2]byte
	named := append(append(append(append(append(text[:0], tenant...), 0), source...), 0), id...)
	sum := sha256.Sum256(named)
	return "rcpt_" + lowerBase32.EncodeToString(sum[:10])
}

// insert puts the events of the calls into the log in their order, those that it does not hold yet. When it fails,
// what it has inserted is its caller's to undo, unless each of the calls has one event and one statement does for all.
func (db *DB) insert(t *tx, calls ...*appending) error {
	entries := t.w.inserter.entries[:0]
	for _, a := range calls {
		for i := range a.events {
			e := &a.events[i]
			entries = append(entries, entry{e, &a.receipts[i], event.SlotOf(e.Tenant, e.PartitionKey)})
		}
	}
	defer func() {
		clear(entries)
		t.w.inserter.entries = entries
	}()
	now := db.now()
	for rest := entries; len(rest) > 0; {
		n := rowsAtOnce(len(rest))
		err := db.insertRows(t, rest[:n], now)
		if err != nil && len(calls) == 1 {
			err = db.culprit(t, rest[:n], now, err)
		}
		if err != nil {
			return doing("append to the log", err)
		}
		rest = rest[n:]
	}
	return nil
}

// insertRows inserts as many events as there is a statement for. SQLite undoes one that fails.
func (db *DB) insertRows(t *tx, entries []entry, now int64) error {
	added, last, err := t.w.insert(entries, now)
	if err != nil {
		return err
	}
	fault.Point("sqlite.inserted")
	if err := db.inserted(t, entries, added, last, now); err != nil {
		t.w.gone = true // what is new cannot be told from what was there, so none of it may be kept
		return err
	}
	return nil
}

// culprit says which of the events a statement failed for, as SQLite does not. What it inserts is to be undone.
func (db *DB) culprit(t *tx, entries []entry, now int64, err error) error {
	if len(entries) == 1 { // not again: it may have no savepoint, and go well this time
		return fmt.Errorf("event %s: %w", entries[0].event.ID, err)
	}
	for i := 0; i < len(entries) && !t.w.gone; i++ {
		if _, _, alone := t.w.insert(entries[i:i+1], now); alone != nil {
			return fmt.Errorf("event %s: %w", entries[i].event.ID, alone)
		}
	}
	return err
}

// inserted writes the receipts of events of which some were new; the last of those is at a position.
func (db *DB) inserted(t *tx, entries []entry, added int, last, now int64) error {
	if added > 0 {
		t.touch(TopicLog)
	}
	if added == len(entries) {
		for i, e := range entries {
			e.receipt.Recorded, e.receipt.Duplicate = fromMicros(now), false
			t.w.appended = append(t.w.appended, asRead(e, last-int64(added-1-i), now))
		}
		return nil
	}
	// What is beyond the newest that was there before is new, and of the same event the first.
	newest := int64(math.MaxInt64)
	if added > 0 {
		if err := t.w.row(db.q.newestBut, []any{added}, &newest); err != nil {
			return err
		}
	}
	for _, e := range entries {
		var position, recorded int64
		if err := t.w.row(db.q.findFirst, []any{e.event.ID, e.event.Source, e.event.Tenant}, &position, &recorded); err != nil {
			return err
		}
		e.receipt.Recorded = fromMicros(recorded)
		if e.receipt.Duplicate = position <= newest; !e.receipt.Duplicate {
			newest = position
			t.w.appended = append(t.w.appended, asRead(e, position, now))
		}
	}
	return nil
}
