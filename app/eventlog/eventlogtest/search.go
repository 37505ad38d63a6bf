package eventlogtest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/domain"
)

func (f *fixture) found(t *testing.T, q eventlog.Query) []string {
	t.Helper()
	events, err := f.Search(ctxOf(t), q)
	require.NoError(t, err)
	for _, e := range events {
		require.Equal(t, q.Tenant, e.Tenant, "an event of another tenant was found")
	}
	return ids(events)
}

func search(t *testing.T, f *fixture) {
	for i := range 6 {
		e := envelope(fmt.Sprint(i))
		if i%2 == 1 {
			e.Tenant = "other"
		}
		e.Subject = fmt.Sprint("subject-", i/4)
		e.CorrelationID = fmt.Sprint("c-", i/2)
		f.mustAppend(t, e)
		f.clock.Advance(time.Minute)
	}
	all := f.all(t, 6)
	require.Equal(t, []string{"4", "2", "0"}, f.found(t, eventlog.Query{Tenant: "acme"}))
	require.Equal(t, []string{"5", "3", "1"}, f.found(t, eventlog.Query{Tenant: "other"}))
	require.Empty(t, f.found(t, eventlog.Query{Tenant: "nobody"}))
	require.Equal(t, []string{"2", "0"}, f.found(t, eventlog.Query{Tenant: "acme", Subject: "subject-0"}))
	require.Equal(t, []string{"2"}, f.found(t, eventlog.Query{Tenant: "acme", CorrelationID: "c-1"}))
	require.Equal(t, []string{"4", "2"}, f.found(t, eventlog.Query{Tenant: "acme", From: start.Add(2 * time.Minute)}))
	require.Equal(t, []string{"0"}, f.found(t, eventlog.Query{Tenant: "acme", To: start.Add(2 * time.Minute)}))
	require.Equal(t, []string{"4", "2"}, f.found(t, eventlog.Query{Tenant: "acme", Limit: 2}))
	require.Equal(t, []string{"2", "0"}, f.found(t, eventlog.Query{Tenant: "acme", Before: all[4].Position}))
	require.Empty(t, f.found(t, eventlog.Query{Tenant: "acme", Subject: "subject-0", CorrelationID: "c-2"}))

	_, err := f.Search(ctxOf(t), eventlog.Query{})
	require.Equal(t, domain.Invalid, domain.KindOf(err), "a search without a tenant")
}

func searchByPattern(t *testing.T, f *fixture) {
	for i, typ := range []string{"build.started", "build.step.done", "project.created", "build.x.y.done", "builder.up"} {
		e := envelope(fmt.Sprint(i))
		e.Type = typ
		f.mustAppend(t, e)
	}
	f.all(t, 5)
	query := func(patterns ...event.Pattern) []string {
		return f.found(t, eventlog.Query{Tenant: "acme", Types: patterns})
	}
	require.Equal(t, []string{"0"}, query("build.started"))
	require.Equal(t, []string{"3", "1", "0"}, query("build.*"))
	require.Equal(t, []string{"1"}, query("build.*.done"), "a star elsewhere is one segment")
	require.Equal(t, []string{"4", "3", "2", "1", "0"}, query("*"))
	require.Equal(t, []string{"2", "0"}, query("project.*", "build.started"))
	require.Empty(t, query("nothing.here"))
	require.Equal(t, []string{"1"}, f.found(t, eventlog.Query{Tenant: "acme", Types: []event.Pattern{"build.*.done"}, Limit: 1}))
}

func find(t *testing.T, f *fixture) {
	f.mustAppendIDs(t, "a")
	again := envelope("a")
	again.Source = "elsewhere"
	f.mustAppend(t, again)
	all := f.all(t, 2)
	got, err := f.Find(ctxOf(t), "acme", "a")
	require.NoError(t, err)
	require.Equal(t, all[1], got, "want the newest")
	for _, c := range [][2]string{{"other", "a"}, {"acme", "b"}, {"", "a"}} {
		_, err = f.Find(ctxOf(t), c[0], c[1])
		require.Equal(t, domain.NotFound, domain.KindOf(err), "find %q of tenant %q", c[1], c[0])
	}
}
