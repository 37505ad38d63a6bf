package postgres

import (
	"context"
	"strconv"
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
// little takes as long as the log is, and Config.StatementTimeout at most. Limit is at most 1000.
// Events are found when they have a position.
func (db *DB) Search(ctx context.Context, q eventlog.Query) ([]event.Envelope, error) {
	if q.Tenant == "" {
		return nil, domain.Errorf(domain.Invalid, "TENANT_MISSING", "a search needs a tenant")
	}
	limit := pageSize(q.Limit)
	found := []event.Envelope{}
	before := q.Before
	for {
		// A round selects a few too many where a pattern has a star inside; then there is another one.
		want := limit - len(found)
		page, err := db.searchPage(ctx, q, before, want)
		if err != nil {
			return nil, doing("search the log", err)
		}
		for i := range page {
			if matchesAny(q.Types, page[i].Type) {
				found = append(found, page[i])
			}
		}
		if len(found) == limit || len(page) < want {
			return found, nil
		}
		before = page[len(page)-1].Position
	}
}

func (db *DB) searchPage(ctx context.Context, q eventlog.Query, before int64, limit int) ([]event.Envelope, error) {
	var w where
	w.and("l.tenant = ?", q.Tenant)
	if before > 0 {
		w.and("p.position < ?", before)
	}
	if q.Subject != "" {
		w.and("l.subject = ?", q.Subject)
	}
	if q.CorrelationID != "" {
		w.and("l.correlation_id = ?", q.CorrelationID)
	}
	if !q.From.IsZero() {
		w.and("l.recorded >= ?", micros(q.From))
	}
	if !q.To.IsZero() {
		w.and("l.recorded < ?", micros(q.To))
	}
	w.types("l.type", q.Types)
	ctx, r, err := db.reader(ctx)
	if err != nil {
		return nil, err
	}
	got, err := r.Query(ctx, db.q.searchFrom+w.String()+" ORDER BY p.position DESC LIMIT "+strconv.Itoa(limit), w.args...)
	if err != nil {
		return nil, err
	}
	return collect(got, 0)
}

// Find implements eventlog.Searcher. An event is found when it has a position.
func (db *DB) Find(ctx context.Context, tenant, id string) (event.Envelope, error) {
	ctx, q, err := db.reader(ctx)
	if err != nil {
		return event.Envelope{}, doing("find event "+id, err)
	}
	notFound := domain.Errorf(domain.NotFound, "EVENT_NOT_FOUND", "there is no event with the id %q", id)
	if id != clean(id) || tenant != clean(tenant) {
		return event.Envelope{}, notFound // the database could not hold such an id
	}
	got, err := q.Query(ctx, db.q.find, id, tenant)
	if err != nil {
		return event.Envelope{}, doing("find event "+id, err)
	}
	events, err := collect(got, 1)
	switch {
	case err != nil:
		return event.Envelope{}, doing("find event "+id, err)
	case len(events) == 0:
		return event.Envelope{}, notFound
	}
	return events[0], nil
}

// where collects conditions that all must hold. A question mark in a condition stands for an argument.
type where struct {
	conditions []string
	args       []any
}

func (w *where) and(condition string, args ...any) {
	w.conditions = append(w.conditions, w.numbered(condition, args...))
}

// numbered gives the question marks the numbers of the arguments.
func (w *where) numbered(condition string, args ...any) string {
	for _, arg := range args {
		if s, ok := arg.(string); ok {
			arg = clean(s)
		}
		w.args = append(w.args, arg)
		condition = strings.Replace(condition, "?", "$"+strconv.Itoa(len(w.args)), 1)
	}
	return condition
}

// types lets through at least the types that one of the patterns selects. LIKE's wildcard crosses dots,
// so what comes must still be asked with matchesAny.
func (w *where) types(column string, patterns []event.Pattern) {
	if len(patterns) == 0 {
		return
	}
	var either []string
	for _, p := range patterns {
		if strings.Contains(string(p), "*") {
			like := strings.NewReplacer("_", `\_`, "%", `\%`, `\`, `\\`, "*", "%").Replace(string(p))
			either = append(either, w.numbered(column+" LIKE ?", like))
		} else {
			either = append(either, w.numbered(column+" = ?", string(p)))
		}
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
