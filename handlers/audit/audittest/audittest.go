// Package audittest is the conformance suite of the audit log's ports.
package audittest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/domain"
	"github.com/leat-dev/leat/handlers/audit"
)

// Subject is an implementation under test, empty, with the transactions that Record joins.
type Subject struct {
	Store  audit.Store
	Reader audit.Reader
	Tx     eventlog.Transactor
}

// Test runs the suite. open returns a fresh subject for each test and cleans it up with t.
func Test(t *testing.T, open func(t *testing.T) Subject) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Subject)
	}{
		{"what is recorded is read back", roundTrip},
		{"one entry per position", onePerPosition},
		{"a rolled back entry is not there", rollBack},
		{"newest first, page by page", pages},
		{"new entries do not disturb a page", pagesUnderWrites},
		{"filters", filters},
		{"tenants do not meet", tenants},
		{"limits", limits},
		{"bad queries", badQueries},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, open(t))
		})
	}
}

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC)

func entry(position int64) audit.Entry {
	return audit.Entry{
		ID: fmt.Sprint(position), Tenant: "acme", Position: position, Time: epoch.Add(time.Duration(position) * time.Minute),
		Actor: "ada", Type: "build.started", Subject: "b1", EventID: fmt.Sprintf("event-%d", position), CorrelationID: "c1",
		Recorded: epoch.Add(time.Duration(position)*time.Minute + time.Second),
	}
}

func (s Subject) record(t *testing.T, entries ...audit.Entry) {
	t.Helper()
	require.NoError(t, s.Tx.InTx(t.Context(), func(ctx context.Context) error {
		for _, e := range entries {
			if err := s.Store.Record(ctx, e); err != nil {
				return err
			}
		}
		return nil
	}))
}

func (s Subject) entries(t *testing.T, q audit.Query) ([]audit.Entry, string) {
	t.Helper()
	entries, next, err := s.Reader.Entries(t.Context(), q)
	require.NoError(t, err)
	return entries, next
}

// positions reads all pages and returns the positions in the order they came.
func (s Subject) positions(t *testing.T, q audit.Query) []int64 {
	t.Helper()
	var out []int64
	for pages := 0; ; pages++ {
		require.Less(t, pages, 1000, "the cursor leads in a circle")
		entries, next := s.entries(t, q)
		for _, e := range entries {
			require.Equal(t, q.Tenant, e.Tenant)
			out = append(out, e.Position)
		}
		if next == "" {
			return out
		}
		require.NotEmpty(t, entries, "a page that is not the last must hold something")
		q.Cursor = next
	}
}

func roundTrip(t *testing.T, s Subject) {
	full := entry(7)
	full.Changes = json.RawMessage(`{"name":["old","new & <improved>"],"größe":1}`)
	bare := audit.Entry{ID: "8", Tenant: "acme", Position: 8, Time: epoch, Type: "tenant.created", EventID: "e", Recorded: epoch}
	old := entry(9)
	old.Time = time.Date(1931, 5, 6, 0, 0, 0, 1000, time.UTC)
	s.record(t, full, bare, old)
	entries, next := s.entries(t, audit.Query{Tenant: "acme"})
	require.Empty(t, next)
	require.Equal(t, []audit.Entry{old, bare, full}, entries)
	for _, e := range entries {
		require.Equal(t, time.UTC, e.Time.Location())
		require.Equal(t, time.UTC, e.Recorded.Location())
	}
}

func onePerPosition(t *testing.T, s Subject) {
	first := entry(3)
	again := entry(3)
	again.Actor, again.EventID = "eve", "another"
	s.record(t, first)
	s.record(t, again, entry(4))
	s.record(t, again, again)
	entries, _ := s.entries(t, audit.Query{Tenant: "acme"})
	require.Equal(t, []audit.Entry{entry(4), first}, entries)
}

func rollBack(t *testing.T, s Subject) {
	failure := errors.New("later work fails")
	err := s.Tx.InTx(t.Context(), func(ctx context.Context) error {
		if err := s.Store.Record(ctx, entry(1)); err != nil {
			return err
		}
		return failure
	})
	require.ErrorIs(t, err, failure)
	require.Empty(t, s.positions(t, audit.Query{Tenant: "acme"}))
	s.record(t, entry(1))
	require.Equal(t, []int64{1}, s.positions(t, audit.Query{Tenant: "acme"}))
}

func pages(t *testing.T, s Subject) {
	var want []int64
	for p := int64(1); p <= 25; p++ {
		e := entry(p * 3)
		e.Time = epoch.Add(-time.Duration(p) * time.Hour) // the order is the log's, not the clock's
		s.record(t, e)
		want = append([]int64{e.Position}, want...)
	}
	for _, limit := range []int{1, 7, 24, 25, 26} {
		require.Equal(t, want, s.positions(t, audit.Query{Tenant: "acme", Limit: limit}), "limit %d", limit)
	}
	entries, next := s.entries(t, audit.Query{Tenant: "acme", Limit: 25})
	require.Len(t, entries, 25)
	require.Empty(t, next, "a full last page is the last page")
}

func pagesUnderWrites(t *testing.T, s Subject) {
	s.record(t, entry(1), entry(2), entry(3), entry(4))
	first, next := s.entries(t, audit.Query{Tenant: "acme", Limit: 2})
	require.Len(t, first, 2)
	s.record(t, entry(5), entry(6))
	require.Equal(t, []int64{2, 1}, s.positions(t, audit.Query{Tenant: "acme", Limit: 2, Cursor: next}))
}

func filters(t *testing.T, s Subject) {
	types := []string{"build.started", "build.step.started", "buildx.started", "project.updated", "build.step.sub.started", "build.completed"}
	for i, typ := range types {
		e := entry(int64(i + 1))
		e.Type = typ
		e.Subject = []string{"s1", "s2"}[i%2]
		s.record(t, e)
	}
	at := func(p int64) time.Time { return entry(p).Time }
	for name, test := range map[string]struct {
		q    audit.Query
		want []int64
	}{
		"nothing":             {audit.Query{}, []int64{6, 5, 4, 3, 2, 1}},
		"a type":              {audit.Query{Types: []event.Pattern{"build.started"}}, []int64{1}},
		"a family":            {audit.Query{Types: []event.Pattern{"build.*"}}, []int64{6, 5, 2, 1}},
		"a star in front":     {audit.Query{Types: []event.Pattern{"*.started"}}, []int64{3, 1}},
		"a star in between":   {audit.Query{Types: []event.Pattern{"build.*.started"}}, []int64{2}},
		"several types":       {audit.Query{Types: []event.Pattern{"project.updated", "build.completed"}}, []int64{6, 4}},
		"overlapping":         {audit.Query{Types: []event.Pattern{"build.*", "*.started", "build.started"}}, []int64{6, 5, 3, 2, 1}},
		"every type":          {audit.Query{Types: []event.Pattern{"*"}}, []int64{6, 5, 4, 3, 2, 1}},
		"no such type":        {audit.Query{Types: []event.Pattern{"page.*"}}, nil},
		"a subject":           {audit.Query{Subject: "s2"}, []int64{6, 4, 2}},
		"no such subject":     {audit.Query{Subject: "s"}, nil},
		"from":                {audit.Query{From: at(4)}, []int64{6, 5, 4}},
		"to":                  {audit.Query{To: at(4)}, []int64{3, 2, 1}},
		"from and to":         {audit.Query{From: at(2), To: at(4)}, []int64{3, 2}},
		"in another zone":     {audit.Query{From: at(5).In(time.FixedZone("x", 3600))}, []int64{6, 5}},
		"everything together": {audit.Query{Types: []event.Pattern{"build.*"}, Subject: "s2", From: at(3)}, []int64{6}},
	} {
		test.q.Tenant = "acme"
		for _, limit := range []int{0, 1, 2} {
			test.q.Limit = limit
			require.Equal(t, test.want, s.positions(t, test.q), "%s, limit %d", name, limit)
		}
	}
}

func tenants(t *testing.T, s Subject) {
	for p := int64(1); p <= 6; p++ {
		e := entry(p)
		if p%2 == 0 {
			e.Tenant = "globex"
		}
		s.record(t, e)
	}
	require.Equal(t, []int64{5, 3, 1}, s.positions(t, audit.Query{Tenant: "acme", Limit: 1}))
	require.Equal(t, []int64{6, 4, 2}, s.positions(t, audit.Query{Tenant: "globex", Limit: 2}))
	require.Empty(t, s.positions(t, audit.Query{Tenant: "ACME"}))

	_, next := s.entries(t, audit.Query{Tenant: "globex", Limit: 1})
	require.NotEmpty(t, next)
	require.Equal(t, []int64{5, 3, 1}, s.positions(t, audit.Query{Tenant: "acme", Cursor: next}), "another tenant's cursor opens nothing")
}

func limits(t *testing.T, s Subject) {
	var all []audit.Entry
	for p := int64(1); p <= audit.MaxLimit+5; p++ {
		all = append(all, entry(p))
	}
	s.record(t, all...)
	for limit, want := range map[int]int{0: audit.DefaultLimit, -3: audit.DefaultLimit, 2: 2, audit.MaxLimit + 3: audit.MaxLimit} {
		entries, next := s.entries(t, audit.Query{Tenant: "acme", Limit: limit})
		require.Len(t, entries, want, "limit %d", limit)
		require.NotEmpty(t, next)
	}
}

func badQueries(t *testing.T, s Subject) {
	s.record(t, entry(1))
	for _, q := range []audit.Query{
		{},
		{Tenant: "acme' OR '1'='1"},
		{Tenant: "acme", Cursor: "nonsense"},
		{Tenant: "acme", Cursor: "%%%"},
		{Tenant: "acme", Types: []event.Pattern{"Build"}},
	} {
		_, _, err := s.Reader.Entries(t.Context(), q)
		require.Equal(t, domain.Invalid, domain.KindOf(err), "query %+v: got error %v", q, err)
	}
}
