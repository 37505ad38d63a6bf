package postgres

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/domain"
	"github.com/leat-dev/leat/handlers/email"
	"github.com/leat-dev/leat/handlers/notify"
)

var (
	_ notify.Queue = (*EmailQueue)(nil)
	_ email.Queue  = (*EmailQueue)(nil)
	_ email.Reader = (*EmailQueue)(nil)
)

// TopicEmail is touched by every commit after which there may be a mail to claim.
const TopicEmail = "email"

// EmailQueue keeps mails beside the event log, for workers of any number of processes. Due times and leases
// run by the clock of the database.
type EmailQueue struct {
	db *DB

	enqueue, claimable, claim, mark, retry, finish, release, list string
}

// NewEmailQueue returns the email queue of the store.
func NewEmailQueue(db *DB) *EmailQueue {
	t := db.Table("email_queue")
	const mine = " WHERE id = $1 AND fence = $2 AND finished = 0 AND owner <> ''"
	now := dbNow
	return &EmailQueue{
		db: db,
		enqueue: "INSERT INTO " + t + " (id, status, tenant, source, event_id, event_subject, event_time, partition_key," +
			" correlation_id, causation_id, depth, actor, trace_parent, address, address_key, name, role, template, data," +
			" subject, message_id, attempts, due, owner, fence, error, created, finished)" +
			" SELECT $1, 'queued', $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, '', '', 0, now, '', 0, '', now, 0" +
			" FROM (SELECT " + now("$19") + " AS now) n ON CONFLICT (tenant, source, event_id, address_key) DO NOTHING",
		claimable: "SELECT EXISTS (SELECT 1 FROM " + t + " WHERE finished = 0 AND due <= " + now("$1") + ")",
		claim: "UPDATE " + t + " SET owner = $1, fence = fence + 1, due = " + now("$4") + " + $2 WHERE seq IN" +
			" (SELECT seq FROM " + t + " WHERE finished = 0 AND due <= " + now("$4") + " ORDER BY due, seq LIMIT $3 FOR UPDATE SKIP LOCKED)" +
			" RETURNING seq, id, tenant, source, event_id, event_subject, event_time, partition_key, correlation_id," +
			" causation_id, depth, actor, trace_parent, address, name, role, template, data, attempts, fence, error",
		mark: "UPDATE " + t + " SET status = 'sending', attempts = attempts + 1, subject = $3, message_id = $4" +
			mine + " AND due > " + now("$5"),
		retry: "UPDATE " + t + " SET status = 'queued', owner = '', due = " + now("$5") + " + $3, error = $4" + mine,
		finish: "UPDATE " + t + " SET status = $3, owner = '', error = $4, finished = " + now("$5") + "," +
			" data = CASE $3 WHEN 'sent' THEN NULL ELSE data END" + mine,
		release: "UPDATE " + t + " SET status = 'queued', owner = '', due = " + now("$3") + mine,
		list:    "SELECT seq, id, status, address, subject, template, attempts, error, created, finished, message_id, event_id FROM " + t,
	}
}

// Enqueue implements notify.Queue.
func (q *EmailQueue) Enqueue(ctx context.Context, mails ...notify.Mail) error {
	if len(mails) == 0 {
		return nil
	}
	return doing("enqueue mails", q.db.write(ctx, func(ctx context.Context, t *tx) error {
		b := &pgx.Batch{}
		for _, m := range mails {
			id, err := uuid.NewV7()
			if err != nil {
				return err
			}
			var data *string
			if len(m.Data) > 0 {
				text := string(m.Data)
				data = &text
			}
			r := m.Requested
			b.Queue(q.enqueue, id.String(), r.Tenant, r.Source, r.ID, r.Subject, micros(r.Time), r.PartitionKey, r.CorrelationID, r.CausationID,
				r.Depth, r.Actor, r.TraceParent, clean(m.To.Address), clean(strings.ToLower(m.To.Address)), clean(m.To.Name), m.To.Role, m.Template, data, q.db.leaseNow())
		}
		results := t.conn.SendBatch(t.ctx(ctx), b)
		for range mails {
			tag, err := results.Exec()
			if err != nil {
				_ = results.Close()
				return err
			}
			if tag.RowsAffected() > 0 {
				t.touch(TopicEmail)
			}
		}
		return results.Close()
	}))
}

// Changed implements email.Queue.
func (q *EmailQueue) Changed() <-chan struct{} { return q.db.Changed(TopicEmail) }

// Claim implements email.Queue.
func (q *EmailQueue) Claim(ctx context.Context, owner string, limit int, lease time.Duration) ([]email.Claimed, error) {
	if owner == "" || limit < 1 {
		return nil, fmt.Errorf("claim mails: want an owner and a limit of 1 or more, got %q and %d", owner, limit)
	}
	// Most looks find nothing: they need no transaction.
	some := false
	err := q.db.each(ctx, q.claimable, []any{q.db.leaseNow()}, func(row pgx.CollectableRow) error { return row.Scan(&some) })
	if err != nil || !some {
		return nil, doing("look for mails", err)
	}
	var claims []email.Claimed
	err = q.db.write(ctx, func(ctx context.Context, t *tx) (err error) {
		claims, err = q.take(t.ctx(ctx), t, owner, lease.Microseconds(), limit)
		return err
	})
	if err != nil {
		return nil, doing("claim mails", err)
	}
	return claims, nil
}

func (q *EmailQueue) take(ctx context.Context, t *tx, owner string, lease int64, limit int) ([]email.Claimed, error) {
	rows, err := t.conn.Query(ctx, q.claim, owner, lease, limit, q.db.leaseNow())
	if err != nil {
		return nil, err
	}
	type row struct {
		seq int64
		email.Claimed
	}
	taken, err := pgx.CollectRows(rows, func(got pgx.CollectableRow) (r row, err error) {
		var at int64
		var data *string
		e := &r.Requested
		if err := got.Scan(&r.seq, &r.ID, &e.Tenant, &e.Source, &e.ID, &e.Subject, &at, &e.PartitionKey, &e.CorrelationID,
			&e.CausationID, &e.Depth, &e.Actor, &e.TraceParent, &r.To.Address, &r.To.Name, &r.To.Role, &r.Template, &data,
			&r.Attempts, &r.Fence, &r.LastError); err != nil {
			return r, err
		}
		e.Type, e.Kind, e.Time = notify.Requested{}.EventType(), event.Notification, fromMicros(at)
		e.SchemaVersion, e.Slot = 1, event.SlotOf(e.Tenant, e.PartitionKey)
		if data != nil {
			r.Data = json.RawMessage(*data)
		}
		return r, nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(taken, func(a, b row) int { return int(a.seq - b.seq) }) // RETURNING has no order
	claims := make([]email.Claimed, len(taken))
	for i, r := range taken {
		claims[i] = r.Claimed
	}
	return claims, nil
}

// MarkSending implements email.Queue. A lease that has run out is lost even if nobody has taken it.
func (q *EmailQueue) MarkSending(ctx context.Context, c email.Claimed, r email.Record) error {
	return q.change(ctx, "record that a mail is being sent", false, q.mark, c.ID, c.Fence, clean(r.Subject), clean(r.MessageID), q.db.leaseNow())
}

// Record implements email.Queue. All of it goes to the server in one go. Inside a transaction an error leaves
// that aborted.
func (q *EmailQueue) Record(ctx context.Context, steps []email.Step) (lost []error, err error) {
	b := &pgx.Batch{}
	for _, s := range steps {
		if s.Outcome == nil {
			b.Queue(q.mark, s.ID, s.Fence, clean(s.Sending.Subject), clean(s.Sending.MessageID), q.db.leaseNow())
			continue
		}
		if err := checkFinal(*s.Outcome); err != nil {
			return nil, err
		}
		b.Queue(q.finish, s.ID, s.Fence, string(s.Outcome.Status), clean(s.Outcome.Error), q.db.leaseNow())
	}
	run := func(ctx context.Context, t *tx) error {
		lost = make([]error, len(steps))
		results := t.conn.SendBatch(t.ctx(ctx), b)
		for i := range steps {
			tag, err := results.Exec()
			if err != nil {
				_ = results.Close()
				return err
			}
			if tag.RowsAffected() == 0 {
				lost[i] = email.ErrLost
			}
		}
		return results.Close()
	}
	t, err := q.db.txOf(ctx)
	switch {
	case err != nil:
	case t != nil && t.reading.Load():
		err = errOpenRows
	case t != nil:
		err = run(ctx, t)
	default:
		err = q.db.write(ctx, run)
	}
	return lost, doing("record what became of mails", err)
}

// Retry implements email.Queue.
func (q *EmailQueue) Retry(ctx context.Context, c email.Claimed, after time.Duration, reason string) error {
	return q.change(ctx, "put a mail back", after <= 0, q.retry, c.ID, c.Fence, max(after, 0).Microseconds(), clean(reason), q.db.leaseNow())
}

// Finish implements email.Queue.
func (q *EmailQueue) Finish(ctx context.Context, c email.Claimed, o email.Outcome) error {
	if err := checkFinal(o); err != nil {
		return err
	}
	return q.change(ctx, "finish a mail", false, q.finish, c.ID, c.Fence, string(o.Status), clean(o.Error), q.db.leaseNow())
}

func checkFinal(o email.Outcome) error {
	if o.Status != email.StatusSent && o.Status != email.StatusFailed {
		return fmt.Errorf("finish a mail: %q is no final status", o.Status)
	}
	return nil
}

// Release implements email.Queue.
func (q *EmailQueue) Release(ctx context.Context, c email.Claimed) error {
	return q.change(ctx, "give a mail back", true, q.release, c.ID, c.Fence, q.db.leaseNow())
}

// change runs a statement on the one row of a claim; ErrLost when there is none.
func (q *EmailQueue) change(ctx context.Context, what string, claimable bool, statement string, args ...any) error {
	return doing(what, q.db.write(ctx, func(ctx context.Context, t *tx) error {
		tag, err := t.conn.Exec(t.ctx(ctx), statement, args...)
		switch {
		case err != nil:
			return err
		case tag.RowsAffected() == 0:
			return email.ErrLost
		case claimable:
			t.touch(TopicEmail)
		}
		return nil
	}))
}

// Emails implements email.Reader.
func (q *EmailQueue) Emails(ctx context.Context, query email.Query) ([]email.Email, string, error) {
	if err := event.CheckTenant(query.Tenant); err != nil {
		return nil, "", err
	}
	before, err := emailBefore(query.Cursor)
	if err != nil {
		return nil, "", err
	}
	limit := query.Limit
	switch {
	case limit <= 0:
		limit = email.DefaultLimit
	case limit > email.MaxLimit:
		limit = email.MaxLimit
	}
	var w where
	w.and("tenant = ?", query.Tenant)
	switch query.Status {
	case "":
	case email.StatusQueued, email.StatusSending, email.StatusSent, email.StatusFailed:
		w.and("status = ?", string(query.Status))
	default:
		return nil, "", &domain.Error{
			Kind: domain.Invalid, Code: "INVALID_STATUS", Field: "status",
			Message: fmt.Sprintf("%.40q is no status of a mail; want queued, sending, sent or failed", query.Status),
		}
	}
	if before > 0 {
		w.and("seq < ?", before)
	}
	var emails []email.Email
	var seqs []int64
	// One more than the page holds tells whether there is a next one.
	err = q.db.each(ctx, q.list+w.String()+" ORDER BY seq DESC LIMIT "+strconv.Itoa(limit+1), w.args, func(row pgx.CollectableRow) error {
		var (
			e                      email.Email
			seq, created, finished int64
		)
		if err := row.Scan(&seq, &e.ID, &e.Status, &e.To, &e.Subject, &e.Template, &e.Attempts, &e.Error, &created, &finished,
			&e.MessageID, &e.EventID); err != nil {
			return err
		}
		e.Created = fromMicros(created)
		if e.Status == email.StatusSent {
			e.Sent = fromMicros(finished)
		}
		emails, seqs = append(emails, e), append(seqs, seq)
		return nil
	})
	if err != nil {
		return nil, "", doing("list mails", err)
	}
	if len(emails) > limit {
		return emails[:limit], emailCursor(seqs[limit-1]), nil
	}
	return emails, "", nil
}

// A cursor is the place of the page's last mail, made opaque so that nobody builds on it.
const emailCursorPrefix = "email:"

func emailCursor(seq int64) string {
	return base64.RawURLEncoding.EncodeToString([]byte(emailCursorPrefix + strconv.FormatInt(seq, 10)))
}

// emailBefore reads a cursor; 0 for none.
func emailBefore(cursor string) (int64, error) {
	if cursor == "" {
		return 0, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil {
		digits, ours := strings.CutPrefix(string(text), emailCursorPrefix)
		seq, parseErr := strconv.ParseInt(digits, 10, 64)
		if ours && parseErr == nil && seq > 0 {
			return seq, nil
		}
	}
	return 0, &domain.Error{
		Kind: domain.Invalid, Code: "INVALID_CURSOR", Field: "cursor",
		Message: fmt.Sprintf("%.40q is not a cursor of the email queue", cursor),
	}
}
