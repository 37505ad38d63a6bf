package sqlite

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/leat-dev/leat/app/deadletter"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/fault"
	"github.com/leat-dev/leat/domain"
)

var _ deadletter.Store = (*DB)(nil)

const letterColumns = "seq, set_name, position, type, state, attempts, reason, failed, decided, actor, recorded, event"

// DeadLetters implements deadletter.Store. Newest are those that died last. Limit is at most 1000.
func (db *DB) DeadLetters(ctx context.Context, f deadletter.Filter) (letters []deadletter.Letter, next string, err error) {
	if f.Tenant == "" {
		return nil, "", domain.Errorf(domain.Invalid, "TENANT_MISSING", "a list of dead letters needs a tenant")
	}
	var w where
	w.and("tenant = ?", f.Tenant)
	before, err := letterCursor(f.Cursor)
	if err != nil {
		return nil, "", err
	}
	if before > 0 {
		w.and("seq < ?", before)
	}
	if f.Set != "" {
		w.and("set_name = ?", f.Set)
	}
	if f.State != "" {
		w.and("state = ?", string(f.State))
	} else {
		w.and("state <> 'discarded'")
	}
	w.types(f.Types)
	limit := pageSize(f.Limit)
	var last int64
	err = each(ctx, db.querier(ctx), "SELECT "+letterColumns+" FROM "+db.Table("dead_letters")+w.String()+" ORDER BY seq DESC", w.args,
		func(scan func(...any) error) error {
			seq, l, err := scanLetter(scan)
			if err != nil {
				return err
			}
			if !matchesAny(f.Types, l.Event.Type) {
				return nil
			}
			if len(letters) == limit {
				next = base64.RawURLEncoding.EncodeToString([]byte(letterCursorPrefix + strconv.FormatInt(last, 10)))
				return errEnough
			}
			letters, last = append(letters, l), seq
			return nil
		})
	if err != nil {
		return nil, "", doing("list dead letters", err)
	}
	return letters, next, nil
}

const letterCursorPrefix = "dead:"

func letterCursor(cursor string) (int64, error) {
	if cursor == "" {
		return 0, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if digits, ours := strings.CutPrefix(string(text), letterCursorPrefix); err == nil && ours {
		if seq, err := strconv.ParseInt(digits, 10, 64); err == nil && seq > 0 {
			return seq, nil
		}
	}
	return 0, domain.Errorf(domain.Invalid, "INVALID_CURSOR", "%.40q is not a cursor of the dead letters", cursor).InField("cursor")
}

func scanLetter(scan func(...any) error) (seq int64, l deadletter.Letter, err error) {
	var position, failed, decided, recorded int64
	var typ string
	var text []byte
	if err := scan(&seq, &l.Set, &position, &typ, &l.State, &l.Attempts, &l.Reason, &failed, &decided, &l.Actor, &recorded, &text); err != nil {
		return 0, l, err
	}
	if err := json.Unmarshal(text, &l.Event); err != nil {
		return 0, l, err
	}
	l.Event.Position, l.Event.Recorded = max(0, position), fromMicros(recorded)
	l.Number = max(0, -position)
	l.Failed, l.Decided = fromMicros(failed), fromMicros(decided)
	return seq, l, nil
}

// DeadLetter implements deadletter.Store.
func (db *DB) DeadLetter(ctx context.Context, tenant, id string) (deadletter.Letter, error) {
	set, position, err := deadletter.ParseID(id)
	if err != nil {
		return deadletter.Letter{}, noLetter(id)
	}
	var letter deadletter.Letter
	found := false
	err = each(ctx, db.querier(ctx), "SELECT "+letterColumns+" FROM "+db.Table("dead_letters")+" WHERE position IN (?1, -?1) AND set_name = ?2 AND tenant = ?3",
		[]any{position, set, tenant}, func(scan func(...any) error) (err error) {
			_, letter, err = scanLetter(scan)
			found = true
			return err
		})
	if err != nil {
		return deadletter.Letter{}, doing("read dead letter "+id, err)
	}
	if !found {
		return deadletter.Letter{}, noLetter(id)
	}
	return letter, nil
}

func noLetter(id string) error {
	return domain.Errorf(domain.NotFound, "DEAD_LETTER_NOT_FOUND", "there is no dead letter %q", id)
}

// RetryDeadLetter implements deadletter.Store. A letter of a set that is no longer registered is a
// domain.Conflict: nobody would handle it.
func (db *DB) RetryDeadLetter(ctx context.Context, tenant, id, actor string) error {
	return db.decide(ctx, tenant, id, func(t *tx, l letterKey, state deadletter.State) error {
		switch state {
		case deadletter.Retrying:
			return nil
		case deadletter.Discarded:
			return domain.Errorf(domain.Conflict, "DEAD_LETTER_DISCARDED", "dead letter %q was discarded", id)
		}
		var known int
		if err := t.w.row(db.q.setExists, []any{l.set}, &known); err != nil {
			return err
		}
		if known == 0 {
			return unknownSet(domain.Conflict, l.set)
		}
		now := db.now()
		if _, err := t.w.exec(db.q.decideLetter, string(deadletter.Retrying), now, actor, l.seq); err != nil {
			return err
		}
		fault.Point("sqlite.letter-decided")
		var e event.Envelope
		if err := json.Unmarshal(l.event, &e); err != nil {
			return err
		}
		_, err := t.w.exec(db.q.redrive, l.set, l.position, e.Slot, e.Tenant, e.PartitionKey, now)
		t.touch(TopicSettle)
		return err
	})
}

// DiscardDeadLetter implements deadletter.Store. Discarding one that was discarded already changes nothing.
func (db *DB) DiscardDeadLetter(ctx context.Context, tenant, id, actor string) error {
	return db.decide(ctx, tenant, id, func(t *tx, l letterKey, state deadletter.State) error {
		switch state {
		case deadletter.Discarded:
			return nil
		case deadletter.Retrying:
			return domain.Errorf(domain.Conflict, "DEAD_LETTER_RETRYING", "dead letter %q is being retried", id)
		}
		_, err := t.w.exec(db.q.decideLetter, string(deadletter.Discarded), db.now(), actor, l.seq)
		return err
	})
}

type letterKey struct {
	seq, position int64
	set           string
	event         []byte
}

func (db *DB) decide(ctx context.Context, tenant, id string, fn func(t *tx, l letterKey, state deadletter.State) error) error {
	set, position, err := deadletter.ParseID(id)
	if err != nil {
		return noLetter(id)
	}
	return doing("decide on dead letter "+id, db.write(ctx, func(t *tx) error {
		l := letterKey{set: set, position: position}
		var state deadletter.State
		err := t.w.row(db.q.letter, []any{position, set, tenant}, &l.seq, &state, &l.event)
		if noRow(err) {
			return noLetter(id)
		}
		if err != nil {
			return err
		}
		return fn(t, l, state)
	}))
}

// CountDeadLetters implements deadletter.Store.
func (db *DB) CountDeadLetters(ctx context.Context) (map[string]int, error) {
	counts := map[string]int{}
	err := each(ctx, db.querier(ctx), db.q.countLetters, nil, func(scan func(...any) error) error {
		var set string
		var n int
		err := scan(&set, &n)
		counts[set] = n
		return err
	})
	return counts, doing("count dead letters", err)
}
