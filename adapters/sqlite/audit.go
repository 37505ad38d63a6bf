package sqlite

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/domain"
	"github.com/leat-dev/leat/handlers/audit"
)

var (
	_ audit.Store  = (*Audit)(nil)
	_ audit.Reader = (*Audit)(nil)
)

// Audit keeps the audit log beside the event log.
type Audit struct {
	db     *DB
	insert string
	query  string
}

// NewAudit returns the audit log of the store.
func NewAudit(db *DB) *Audit {
	table := db.Table("audit")
	return &Audit{
		db: db,
		insert: "INSERT INTO " + table + " (position, id, tenant, time, actor, type, subject, event_id, correlation_id, changes, recorded)" +
			" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (position) DO NOTHING",
		query: "SELECT position, id, tenant, time, actor, type, subject, event_id, correlation_id, changes, recorded FROM " + table,
	}
}

// Record implements audit.Store. Outside a transaction it fails.
func (a *Audit) Record(ctx context.Context, e audit.Entry) error {
	what := "record the audit entry of position " + strconv.FormatInt(e.Position, 10)
	t, err := a.db.txOf(ctx)
	if err == nil && t == nil {
		err = errReadOnly
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return doing(what, err)
	}
	var changes any
	if len(e.Changes) > 0 {
		changes = string(e.Changes)
	}
	_, err = t.w.exec(a.insert, e.Position, e.ID, e.Tenant, e.Time.UnixMicro(), e.Actor, e.Type, e.Subject, e.EventID,
		e.CorrelationID, changes, e.Recorded.UnixMicro())
	return doing(what, err)
}

// Entries implements audit.Reader.
func (a *Audit) Entries(ctx context.Context, q audit.Query) ([]audit.Entry, string, error) {
	before, err := auditBefore(q.Cursor)
	if err != nil {
		return nil, "", err
	}
	if err := checkAuditQuery(q); err != nil {
		return nil, "", err
	}
	limit := q.Limit
	switch {
	case limit <= 0:
		limit = audit.DefaultLimit
	case limit > audit.MaxLimit:
		limit = audit.MaxLimit
	}
	where, args := auditWhere(q)
	var out []audit.Entry
	for {
		// One more than the page holds tells whether there is a next one. A round selects a few too
		// many rows where a pattern has a star inside; then there is another round.
		want := limit + 1 - len(out)
		last, read, err := a.page(ctx, where, args, before, want, func(e audit.Entry) {
			if auditMatches(q.Types, e.Type) {
				out = append(out, e)
			}
		})
		if err != nil {
			return nil, "", doing("list audit entries", err)
		}
		if len(out) > limit {
			out = out[:limit]
			return out, auditCursor(out[limit-1].Position), nil
		}
		if read < want {
			return out, "", nil
		}
		before = last
	}
}

// page gives at most limit entries below a position to each, and returns the last one's position
// and how many there were.
func (a *Audit) page(ctx context.Context, where string, args []any, before int64, limit int, each func(audit.Entry)) (last int64, n int, err error) {
	if before > 0 {
		where += " AND position < ?"
		args = append(args[:len(args):len(args)], before)
	}
	query := a.query + where + " ORDER BY position DESC LIMIT " + strconv.Itoa(limit)
	rows, err := a.db.querier(ctx).QueryContext(ctx, query, args...)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var (
			e              audit.Entry
			time, recorded int64
			changes        sql.NullString
		)
		if err := rows.Scan(&e.Position, &e.ID, &e.Tenant, &time, &e.Actor, &e.Type, &e.Subject, &e.EventID, &e.CorrelationID,
			&changes, &recorded); err != nil {
			return 0, 0, err
		}
		e.Time, e.Recorded = auditTime(time), auditTime(recorded)
		if changes.Valid {
			e.Changes = json.RawMessage(changes.String)
		}
		each(e)
		last = e.Position
		n++
	}
	return last, n, rows.Err()
}

func auditTime(micros int64) time.Time { return time.UnixMicro(micros).UTC() }

func auditMatches(patterns []event.Pattern, typ string) bool {
	for _, p := range patterns {
		if p.Match(typ) {
			return true
		}
	}
	return len(patterns) == 0
}

func checkAuditQuery(q audit.Query) error {
	if err := event.CheckTenant(q.Tenant); err != nil {
		return err
	}
	for _, p := range q.Types {
		if err := event.CheckPattern(string(p)); err != nil {
			return &domain.Error{Kind: domain.Invalid, Code: "INVALID_PATTERN", Field: "type", Message: err.Error()}
		}
	}
	return nil
}

// auditWhere selects at least what the query does: GLOB's star does not stop at a dot.
func auditWhere(q audit.Query) (string, []any) {
	var b strings.Builder
	b.WriteString(" WHERE tenant = ?")
	args := []any{q.Tenant}
	if q.Subject != "" {
		b.WriteString(" AND subject = ? AND subject <> ''") // the second lets SQLite use the partial index
		args = append(args, q.Subject)
	}
	if !q.From.IsZero() {
		b.WriteString(" AND time >= ?")
		args = append(args, q.From.UnixMicro())
	}
	if !q.To.IsZero() {
		b.WriteString(" AND time < ?")
		args = append(args, q.To.UnixMicro())
	}
	for i, p := range q.Types {
		b.WriteString([]string{" AND (type GLOB ?", " OR type GLOB ?"}[min(i, 1)])
		args = append(args, string(p))
	}
	if len(q.Types) > 0 {
		b.WriteString(")")
	}
	return b.String(), args
}

// A cursor is the position above the page, made opaque so that nobody builds on it.
const auditCursorPrefix = "audit:"

func auditCursor(position int64) string {
	return base64.RawURLEncoding.EncodeToString([]byte(auditCursorPrefix + strconv.FormatInt(position, 10)))
}

// auditBefore reads a cursor; 0 for none.
func auditBefore(cursor string) (int64, error) {
	if cursor == "" {
		return 0, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil {
		digits, ours := strings.CutPrefix(string(text), auditCursorPrefix)
		position, parseErr := strconv.ParseInt(digits, 10, 64)
		if ours && parseErr == nil && position > 0 {
			return position, nil
		}
	}
	return 0, &domain.Error{
		Kind: domain.Invalid, Code: "INVALID_CURSOR", Field: "cursor",
		Message: fmt.Sprintf("%.40q is not a cursor of the audit log", cursor),
	}
}
