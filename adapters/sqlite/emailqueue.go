package sqlite

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

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

// EmailQueue keeps mails beside the event log. There must be one for each open store: its first
// Claim takes every lease that it finds for a dead process's, as only one process has the file.
type EmailQueue struct {
	db *DB

	claimed atomic.Bool // the first Claim was there, and with it the end of dead processes' leases

	enqueue, claimable, orphans, claim, mark, retry, finish, release, list string
}

// NewEmailQueue returns the email queue of the store.
func NewEmailQueue(db *DB) *EmailQueue {
	t := db.Table("email_queue")
	const mine = " WHERE id = ? AND fence = ? AND finished = 0 AND owner <> ''"
	return &EmailQueue{
		db: db,
		enqueue: "INSERT INTO " + t + " (id, status, tenant, source, event_id, event_subject, event_time, partition_key," +
			" correlation_id, causation_id, depth, actor, trace_parent, address, address_key, name, role, template, data," +
			" subject, message_id, attempts, due, owner, fence, error, created, finished)" +
			" VALUES (?, 'queued', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', '', 0, ?, '', 0, '', ?, 0)" +
			" ON CONFLICT (tenant, source, event_id, address_key) DO NOTHING",
		claimable: "SELECT EXISTS (SELECT 1 FROM " + t + " WHERE finished = 0 AND due <= ?)",
		orphans:   "UPDATE " + t + " SET owner = '', due = ? WHERE finished = 0 AND owner <> ''",
		claim: "UPDATE " + t + " SET owner = ?, fence = fence + 1, due = ? WHERE seq IN" +
			" (SELECT seq FROM " + t + " WHERE finished = 0 AND due <= ? ORDER BY due, seq LIMIT ?)" +
			" RETURNING seq, id, tenant, source, event_id, event_subject, event_time, partition_key, correlation_id," +
			" causation_id, depth, actor, trace_parent, address, name, role, template, data, attempts, fence, error",
		mark: "UPDATE " + t + " SET status = 'sending', attempts = attempts + 1, subject = ?, message_id = ?" +
			mine + " AND due > ?",
		retry: "UPDATE " + t + " SET status = 'queued', owner = '', due = ?, error = ?" + mine,
		finish: "UPDATE " + t + " SET status = ?1, owner = '', error = ?2, finished = ?3," +
			" data = CASE ?1 WHEN 'sent' THEN NULL ELSE data END WHERE id = ?4 AND fence = ?5 AND finished = 0 AND owner <> ''",
		release: "UPDATE " + t + " SET status = 'queued', owner = '', due = ?" + mine,
		list: "SELECT seq, id, status, address, subject, template, attempts, error, created, finished, message_id, event_id FROM " + t +
			" WHERE tenant = ?",
	}
}

// Enqueue implements notify.Queue.
func (q *EmailQueue) Enqueue(ctx context.Context, mails ...notify.Mail) error {
	if len(mails) == 0 {
		return nil
	}
	return doing("enqueue mails", q.db.InTx(ctx, func(ctx context.Context) error {
		now, added := q.db.now(), false
		for _, m := range mails {
			id, err := uuid.NewV7()
			if err != nil {
				return err
			}
			var data any
			if len(m.Data) > 0 {
				data = string(m.Data)
			}
			r := m.Requested
			result, err := q.db.querier(ctx).ExecContext(ctx, q.enqueue, id.String(), r.Tenant, r.Source, r.ID, r.Subject, micros(r.Time),
				r.PartitionKey, r.CorrelationID, r.CausationID, r.Depth, r.Actor, r.TraceParent, m.To.Address,
				strings.ToLower(m.To.Address), m.To.Name, m.To.Role, m.Template, data, now, now)
			if err != nil {
				return err
			}
			if n, err := result.RowsAffected(); err != nil || n > 0 {
				added = true
			}
		}
		if added {
			q.db.Touch(ctx, TopicEmail)
		}
		return nil
	}))
}

// Changed implements email.Queue.
func (q *EmailQueue) Changed() <-chan struct{} { return q.db.Changed(TopicEmail) }

// Claim implements email.Queue.
func (q *EmailQueue) Claim(ctx context.Context, owner string, limit int, lease time.Duration) ([]email.Claimed, error) {
	if owner == "" || limit < 1 {
		return nil, fmt.Errorf("claim mails: want an owner and a limit of 1 or more, got %q and %d", owner, limit)
	}
	if q.claimed.Load() {
		// Most looks find nothing: they need not wait for the writer.
		var some bool
		if err := q.db.querier(ctx).QueryRowContext(ctx, q.claimable, q.db.now()).Scan(&some); err != nil || !some {
			return nil, doing("look for mails", err)
		}
	}
	var claims []email.Claimed
	err := q.db.InTx(ctx, func(ctx context.Context) error {
		now := q.db.now()
		if !q.claimed.Swap(true) { // transactions run one after the other: no lease of ours is there yet
			if _, err := q.db.querier(ctx).ExecContext(ctx, q.orphans, now); err != nil {
				return err
			}
		}
		var err error
		claims, err = q.take(ctx, owner, now+lease.Microseconds(), now, limit)
		return err
	})
	if err != nil {
		return nil, doing("claim mails", err)
	}
	return claims, nil
}

func (q *EmailQueue) take(ctx context.Context, owner string, until, now int64, limit int) ([]email.Claimed, error) {
	rows, err := q.db.querier(ctx).QueryContext(ctx, q.claim, owner, until, now, limit)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	type row struct {
		seq int64
		email.Claimed
	}
	var taken []row
	for rows.Next() {
		var (
			r    row
			at   int64
			data sql.NullString
			e    = &r.Requested
		)
		if err := rows.Scan(&r.seq, &r.ID, &e.Tenant, &e.Source, &e.ID, &e.Subject, &at, &e.PartitionKey, &e.CorrelationID,
			&e.CausationID, &e.Depth, &e.Actor, &e.TraceParent, &r.To.Address, &r.To.Name, &r.To.Role, &r.Template, &data,
			&r.Attempts, &r.Fence, &r.LastError); err != nil {
			return nil, err
		}
		e.Type, e.Kind, e.Time = notify.Requested{}.EventType(), event.Notification, fromMicros(at)
		e.SchemaVersion, e.Slot = 1, event.SlotOf(e.Tenant, e.PartitionKey)
		if data.Valid {
			r.Data = json.RawMessage(data.String)
		}
		taken = append(taken, r)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	sort.Slice(taken, func(i, j int) bool { return taken[i].seq < taken[j].seq }) // RETURNING has no order
	claims := make([]email.Claimed, len(taken))
	for i, r := range taken {
		claims[i] = r.Claimed
	}
	return claims, nil
}

// MarkSending implements email.Queue. A lease that has run out is lost even if nobody has taken it.
func (q *EmailQueue) MarkSending(ctx context.Context, c email.Claimed, r email.Record) error {
	return q.change(ctx, "record that a mail is being sent", false, q.mark, r.Subject, r.MessageID, c.ID, c.Fence, q.db.now())
}

// Record implements email.Queue.
func (q *EmailQueue) Record(ctx context.Context, steps []email.Step) (lost []error, err error) {
	return lost, doing("record what became of mails", q.db.InTx(ctx, func(ctx context.Context) error {
		now := q.db.now()
		lost = make([]error, len(steps))
		for i, s := range steps {
			var err error
			if s.Outcome == nil {
				err = q.step(ctx, q.mark, s.Sending.Subject, s.Sending.MessageID, s.ID, s.Fence, now)
			} else if err = checkFinal(*s.Outcome); err == nil {
				err = q.step(ctx, q.finish, string(s.Outcome.Status), s.Outcome.Error, now, s.ID, s.Fence)
			}
			if errors.Is(err, email.ErrLost) {
				lost[i], err = err, nil
			}
			if err != nil {
				return err
			}
		}
		return nil
	}))
}

// Retry implements email.Queue.
func (q *EmailQueue) Retry(ctx context.Context, c email.Claimed, after time.Duration, reason string) error {
	return q.change(ctx, "put a mail back", after <= 0, q.retry, q.db.now()+max(after, 0).Microseconds(), reason, c.ID, c.Fence)
}

// Finish implements email.Queue.
func (q *EmailQueue) Finish(ctx context.Context, c email.Claimed, o email.Outcome) error {
	if err := checkFinal(o); err != nil {
		return err
	}
	return q.change(ctx, "finish a mail", false, q.finish, string(o.Status), o.Error, q.db.now(), c.ID, c.Fence)
}

func checkFinal(o email.Outcome) error {
	if o.Status != email.StatusSent && o.Status != email.StatusFailed {
		return fmt.Errorf("finish a mail: %q is no final status", o.Status)
	}
	return nil
}

// Release implements email.Queue.
func (q *EmailQueue) Release(ctx context.Context, c email.Claimed) error {
	return q.change(ctx, "give a mail back", true, q.release, q.db.now(), c.ID, c.Fence)
}

// change runs a statement on the one row of a claim; ErrLost when there is none.
func (q *EmailQueue) change(ctx context.Context, what string, claimable bool, statement string, args ...any) error {
	return doing(what, q.db.InTx(ctx, func(ctx context.Context) error {
		err := q.step(ctx, statement, args...)
		if err == nil && claimable {
			q.db.Touch(ctx, TopicEmail)
		}
		return err
	}))
}

// step runs a statement on the one row of a claim in the transaction that ctx carries.
func (q *EmailQueue) step(ctx context.Context, statement string, args ...any) error {
	result, err := q.db.querier(ctx).ExecContext(ctx, statement, args...)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil {
		return err
	} else if n == 0 {
		return email.ErrLost
	}
	return nil
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
	statement, args := q.list, []any{query.Tenant}
	switch query.Status {
	case "":
	case email.StatusQueued, email.StatusSending, email.StatusSent, email.StatusFailed:
		statement += " AND status = ?"
		args = append(args, string(query.Status))
	default:
		return nil, "", &domain.Error{
			Kind: domain.Invalid, Code: "INVALID_STATUS", Field: "status",
			Message: fmt.Sprintf("%.40q is no status of a mail; want queued, sending, sent or failed", query.Status),
		}
	}
	if before > 0 {
		statement += " AND seq < ?"
		args = append(args, before)
	}
	// One more than the page holds tells whether there is a next one.
	statement += " ORDER BY seq DESC LIMIT " + strconv.Itoa(limit+1)
	emails, seqs, err := q.page(ctx, statement, args)
	if err != nil {
		return nil, "", doing("list mails", err)
	}
	if len(emails) > limit {
		return emails[:limit], emailCursor(seqs[limit-1]), nil
	}
	return emails, "", nil
}

func (q *EmailQueue) page(ctx context.Context, statement string, args []any) (emails []email.Email, seqs []int64, err error) {
	rows, err := q.db.querier(ctx).QueryContext(ctx, statement, args...)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var (
			e                      email.Email
			seq, created, finished int64
		)
		if err := rows.Scan(&seq, &e.ID, &e.Status, &e.To, &e.Subject, &e.Template, &e.Attempts, &e.Error, &created, &finished,
			&e.MessageID, &e.EventID); err != nil {
			return nil, nil, err
		}
		e.Created = fromMicros(created)
		if e.Status == email.StatusSent {
			e.Sent = fromMicros(finished)
		}
		emails, seqs = append(emails, e), append(seqs, seq)
	}
	return emails, seqs, rows.Err()
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
