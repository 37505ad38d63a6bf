package audit_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/handlers/audit"
)

type updated struct {
	Changes map[string]any `json:"changes,omitempty"`
}

func (updated) EventType() string { return "project.updated" }

type viewed struct{}

func (viewed) EventType() string { return "page.viewed" }

type store struct {
	got []audit.Entry
	err error
}

func (s *store) Record(_ context.Context, e audit.Entry) error {
	s.got = append(s.got, e)
	return s.err
}

func bind(t *testing.T, s audit.Store, patterns ...event.Pattern) *handler.Bound {
	t.Helper()
	c, err := event.NewCatalogue(event.Definitions{event.Define[updated](event.Business), event.Define[viewed](event.Business)})
	require.NoError(t, err)
	set, err := audit.Set(s, patterns...).Bind(c)
	require.NoError(t, err)
	return set
}

func TestSetShape(t *testing.T) {
	t.Parallel()
	set := bind(t, &store{}, "project.*")
	require.Equal(t, "audit", set.Name(), "the name is the set's identity")
	require.True(t, set.BeginsAtStart())
	require.False(t, set.RunsEverywhere())
	require.Equal(t, []string{"project.updated"}, set.Types())
	call, ok := set.Call("project.updated")
	require.True(t, ok)
	require.True(t, call.Tx, "an entry commits together with the cursor")
	_, ok = set.Call("page.viewed")
	require.False(t, ok)
}

func TestEntry(t *testing.T) {
	t.Parallel()
	happened := time.Date(2026, 3, 1, 10, 0, 0, 5000, time.UTC)
	e := event.Envelope{
		ID: "e-1", Type: "project.updated", SchemaVersion: 1, Subject: "p1", Tenant: "acme", Actor: "ada", Time: happened,
		CorrelationID: "c-1", Position: 42, Recorded: happened.Add(time.Second), Data: []byte(`{"changes":{"name":["a","b"]}}`),
	}
	s := &store{}
	call, _ := bind(t, s, "*").Call("project.updated")
	require.NoError(t, call.Do(t.Context(), e))
	require.Equal(t, []audit.Entry{{
		ID: "42", Tenant: "acme", Position: 42, Time: happened, Actor: "ada", Type: "project.updated", Subject: "p1", EventID: "e-1",
		CorrelationID: "c-1", Changes: json.RawMessage(`{"name":["a","b"]}`), Recorded: happened.Add(time.Second),
	}}, s.got)
}

func TestChanges(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{
		`{}`:                        "",
		`{"name":"changes"}`:        "",
		`{"changes":null}`:          "",
		`{"Changes":{"a":1}}`:       "",
		`{"inner":{"changes":1}}`:   "",
		`{"changes":[]}`:            "[]",
		`{"\u0063hanges":[1]}`:      "[1]",
		`{"changes":{"a":1},"b":2}`: `{"a":1}`,
	} {
		s := &store{}
		call, _ := bind(t, s, "*").Call("project.updated")
		require.NoError(t, call.Do(t.Context(), event.Envelope{Type: "project.updated", SchemaVersion: 1, Position: 1, Data: []byte(data)}))
		require.Equal(t, want, string(s.got[0].Changes), "data %s", data)
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	s := &store{err: errors.New("disk full")}
	call, _ := bind(t, s, "*").Call("project.updated")

	err := call.Do(t.Context(), event.Envelope{Type: "project.updated", SchemaVersion: 1, Data: []byte(`{}`)})
	require.ErrorIs(t, err, s.err)
	require.False(t, handler.IsPermanent(err), "the store may be well again later")

	err = call.Do(t.Context(), event.Envelope{Type: "project.updated", SchemaVersion: 1, Data: []byte(`{"changes"`)})
	require.True(t, handler.IsPermanent(err), "got %v", err)
}
