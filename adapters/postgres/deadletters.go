package postgres

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/leat-dev/leat/app/deadletter"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/fault"
	"github.com/leat-dev/leat/domain"
)

var _ deadletter.Store = (*DB)(nil)

// DeadLetters implements deadletter.Store. Newest are those that died last. Limit is at most 1000.
func (db *DB) DeadLetters(ctx context.Context, f deadletter.Filter) (letters []deadletter.Letter, next string, err error) {
	if f.Tenant == "" {
		return nil, "", domain.Errorf(domain.Invalid, "TENANT_MISSING", "a list of dead letters needs a tenant")
	}
	before, err := letterCursor(f.Cursor)
	if err != nil {
		return nil, "", err
	}
	limit := pageSize(f.Limit)
	for {
		// One more than the page holds tells whether there is a next one. A round selects a few too
		// many where a pattern has a star inside; then there is another round.
		want, read := limit+1-len(letters), 0
		var last int64
		seqs := make([]int64, 0, want)
		err := db.letters(ctx, f, before, want, func(seq int64, l deadletter.Letter) {
			last = seq
			read++
			if matchesAny(f.Types, l.Event.Type) {
				letters = append(letters, l)
				seqs = append(seqs, seq)
			}
		})
		if err != nil {
			return nil, "", doing("list dead letters", err)
		}
		if len(letters) > limit {
			if len(seqs) > 1 {
				before = seqs[len(seqs)-2]
			}
			return letters[:limit], base64.RawURLEncoding.EncodeToString([]byte(letterCursorPrefix + strconv.FormatInt(before, 10))), nil
		}
		if read < want {
			return letters, "", nil
		}
		// Everything up to the last one that was wanted has been given; the rest of this round was not.
		before = last
		if len(seqs) > 0 && len(letters) == limit {
			before = seqs[len(seqs)-1]
		}
	}
}

func (db *DB) letters(ctx context.Context, f deadletter.Filter, before int64, limit int, each func(seq int64, l deadletter.Letter)) error {
	var w where
	w.and("tenant = ?", f.Tenant)
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
	w.types("type", f.Types)
	return db.each(ctx, db.q.letterFrom+w.String()+" ORDER BY seq DESC LIMIT "+strconv.Itoa(limit), w.args, func(row pgx.CollectableRow) error {
		seq, l, err := scanLetter(row)
		if err == nil {
			each(seq, l)
		}
		return err
	})
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

func scanLetter(row pgx.CollectableRow) (seq int64, l deadletter.Letter, err error) {
	var position, failed, decided, recorded int64
	var typ, text string
	if err := row.Scan(&seq, &l.Set, &position, &typ, &l.State, &l.Attempts, &l.Reason, &failed, &decided, &l.Actor, &recorded, &text); err != nil {
		return 0, l, err
	}
	if err := json.Unmarshal([]byte(text), &l.Event); err != nil {
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
	if err != nil || clean(set) != set || clean(tenant) != tenant {
		return deadletter.Letter{}, noLetter(id)
	}
	var letter deadletter.Letter
	found := false
	err = db.each(ctx, db.q.letterFrom+" WHERE position IN ($1, -$1::bigint) AND set_name = $2 AND tenant = $3", []any{position, set, tenant},
		func(row pgx.CollectableRow) (err error) {
			_, letter, err = scanLetter(row)
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
	return db.decide(ctx, tenant, id, func(ctx context.Context, t *tx, l letterKey, state deadletter.State) error {
		switch state {
		case deadletter.Retrying:
			return nil
		case deadletter.Discarded:
			return domain.Errorf(domain.Conflict, "DEAD_LETTER_DISCARDED", "dead letter %q was discarded", id)
		}
		var known int
		if err := t.conn.QueryRow(ctx, db.q.setExists, l.set).Scan(&known); err != nil {
			return err
		}
		if known == 0 {
			return unknownSet(domain.Conflict, l.set)
		}
		var e event.Envelope
		if err := json.Unmarshal([]byte(l.event), &e); err != nil {
			return err
		}
		now := db.now()
		b := &pgx.Batch{}
		b.Queue(db.q.decideLetter, string(deadletter.Retrying), now, clean(actor), l.seq)
		b.Queue(db.q.redrive, l.set, l.position, e.Slot, e.Tenant, e.PartitionKey, now)
		t.touch(TopicSettle)
		fault.Point("postgres.deciding-letter")
		return t.conn.SendBatch(ctx, b).Close()
	})
}

// DiscardDeadLetter implements deadletter.Store. Discarding one that was discarded already changes nothing.
func (db *DB) DiscardDeadLetter(ctx context.Context, tenant, id, actor string) error {
	return db.decide(ctx, tenant, id, func(ctx context.Context, t *tx, l letterKey, state deadletter.State) error {
		switch state {
		case deadletter.Discarded:
			return nil
		case deadletter.Retrying:
			return domain.Errorf(domain.Conflict, "DEAD_LETTER_RETRYING", "dead letter %q is being retried", id)
		}
		_, err := t.conn.Exec(ctx, db.q.decideLetter, string(deadletter.Discarded), db.now(), clean(actor), l.seq)
		return err
	})
}

type letterKey struct {
	seq, position int64
	set, event    string
}

func (db *DB) decide(ctx context.Context, tenant, id string, fn func(ctx context.Context, t *tx, l letterKey, state deadletter.State) error) error {
	set, position, err := deadletter.ParseID(id)
	if err != nil || clean(set) != set || clean(tenant) != tenant {
		return noLetter(id)
	}
	return doing("decide on dead letter "+id, db.write(ctx, func(ctx context.Context, t *tx) error {
		l := letterKey{set: set, position: position}
		var state deadletter.State
		ctx = t.ctx(ctx)
		err := t.conn.QueryRow(ctx, db.q.letter, position, set, tenant).Scan(&l.seq, &state, &l.event)
		if errors.Is(err, pgx.ErrNoRows) {
			return noLetter(id)
		}
		if err != nil {
			return err
		}
		return fn(ctx, t, l, state)
	}))
}

// CountDeadLetters implements deadletter.Store.
func (db *DB) CountDeadLetters(ctx context.Context) (map[string]int, error) {
	counts := map[string]int{}
	err := db.each(ctx, db.q.countLetters, nil, func(row pgx.CollectableRow) error {
		var set string
		var n int
		err := row.Scan(&set, &n)
		counts[set] = n
		return err
	})
	return counts, doing("count dead letters", err)
}
