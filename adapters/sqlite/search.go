package sqlite

import (
	"context"
	"strings"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/domain"
)

const (
	defaultPage = 50
	maxPage     = 1000
)

func pageSize(limit int) int {
	if limit <= 0 {
		return defaultPage
	}
	return min(limit, maxPage)
}

// Search implements eventlog.Searcher. It walks the log from the newest event back: a search that finds
// little takes as long as the log is. Limit is at most 1000.
func (db *DB) Search(ctx context.Context, q eventlog.Query) ([]event.Envelope, error) {
	if q.Tenant == "" {
		return nil, domain.Errorf(domain.Invalid, "TENANT_MISSING", "a search needs a tenant")
	}
	var w where
	w.and("tenant = ?", q.Tenant)
	if q.Before > 0 {
		w.and("position < ?", q.Before)
	}
	if q.Subject != "" {
		w.and("subject = ?", q.Subject)
	}
	if q.CorrelationID != "" {
		w.and("correlation_id = ?", q.CorrelationID)
	}
	if !q.From.IsZero() {
		w.and("recorded >= ?", micros(q.From))
	}
	if !q.To.IsZero() {
		w.and("recorded < ?", micros(q.To))
	}
	w.types(q.Types)
	rows, err := db.querier(ctx).QueryContext(ctx,
		"SELECT "+columns+" FROM "+db.Table("log")+w.String()+" ORDER BY position DESC", w.args...)
	if err != nil {
		return nil, doing("search the log", err)
	}
	limit := pageSize(q.Limit)
	events, err := collect(rows, 0, func(e *event.Envelope, have int) (wanted, goOn bool) {
		wanted = matchesAny(q.Types, e.Type)
		return wanted, !wanted || have+1 < limit
	})
	return events, doing("search the log", err)
}

// Find implements eventlog.Searcher.
func (db *DB) Find(ctx context.Context, tenant, id string) (event.Envelope, error) {
	rows, err := db.querier(ctx).QueryContext(ctx, db.q.find, id, tenant)
	if err != nil {
		return event.Envelope{}, doing("find event "+id, err)
	}
	events, err := collect(rows, 1, nil)
	if err == nil && len(events) == 0 {
		err = domain.Errorf(domain.NotFound, "EVENT_NOT_FOUND", "there is no event with the id %q", id)
		return event.Envelope{}, err
	}
	if err != nil {
		return event.Envelope{}, doing("find event "+id, err)
	}
	return events[0], nil
}

// where collects conditions that all must hold.
type where struct {
	conditions []string
	args       []any
}

func (w *where) and(condition string, args ...any) {
	w.conditions = append(w.conditions, condition)
	w.args = append(w.args, args...)
}

// types lets through at least the types that one of the patterns selects. GLOB's star crosses dots,
// so what comes must still be asked with matchesAny.
func (w *where) types(patterns []event.Pattern) {
	if len(patterns) == 0 {
		return
	}
	var either []string
	for _, p := range patterns {
		if strings.Contains(string(p), "*") {
			either = append(either, "type GLOB ?")
		} else {
			either = append(either, "type = ?")
		}
		w.args = append(w.args, string(p))
	}
	w.conditions = append(w.conditions, "("+strings.Join(either, " OR ")+")")
}

func (w *where) String() string {
	if len(w.conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.conditions, " AND ")
}

func matchesAny(patterns []event.Pattern, typ string) bool {
	for _, p := range patterns {
		if p.Match(typ) {
			return true
		}
	}
	return len(patterns) == 0
}
