package postgres

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

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
	db            *DB
	insert, query string
}

// NewAudit returns the audit log of the store.
func NewAudit(db *DB) *Audit {
	table := db.Table("audit")
	const columns = "position, id, tenant, time, actor, type, subject, event_id, correlation_id, changes, recorded"
	return &Audit{
		db:     db,
		insert: "INSERT INTO " + table + " (" + columns + ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (position) DO NOTHING",
		query:  "SELECT " + columns + " FROM " + table,
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
	var changes *string
	if len(e.Changes) > 0 {
		text := string(e.Changes)
		changes = &text
	}
	_, err = t.conn.Exec(t.ctx(ctx), a.insert, e.Position, e.ID, e.Tenant, e.Time.UnixMicro(), e.Actor, e.Type, e.Subject, e.EventID,
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
	var out []audit.Entry
	for {
		// One more than the page holds tells whether there is a next one. A round selects a few too
		// many rows where a pattern has a star inside; then there is another round.
		want := limit + 1 - len(out)
		last, read, err := a.page(ctx, q, before, want, func(e audit.Entry) {
			if matchesAny(q.Types, e.Type) {
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
func (a *Audit) page(ctx context.Context, q audit.Query, before int64, limit int, each func(audit.Entry)) (last int64, n int, err error) {
	var w where
	w.and("tenant = ?", q.Tenant)
	if q.Subject != "" {
		w.and("subject = ? AND subject <> ''", q.Subject) // the second lets the partial index serve
	}
	if !q.From.IsZero() {
		w.and("time >= ?", q.From.UnixMicro())
	}
	if !q.To.IsZero() {
		w.and("time < ?", q.To.UnixMicro())
	}
	w.types("type", q.Types)
	if before > 0 {
		w.and("position < ?", before)
	}
	err = a.db.each(ctx, a.query+w.String()+" ORDER BY position DESC LIMIT "+strconv.Itoa(limit), w.args, func(row pgx.CollectableRow) error {
		var (
			e                  audit.Entry
			happened, recorded int64
			changes            *string
		)
		if err := row.Scan(&e.Position, &e.ID, &e.Tenant, &happened, &e.Actor, &e.Type, &e.Subject, &e.EventID, &e.CorrelationID,
			&changes, &recorded); err != nil {
			return err
		}
		e.Time, e.Recorded = time.UnixMicro(happened).UTC(), time.UnixMicro(recorded).UTC()
		if changes != nil {
			e.Changes = json.RawMessage(*changes)
		}
		each(e)
		last = e.Position
		n++
		return nil
	})
	return last, n, err
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
