package reference_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/domain"
	"github.com/leat-dev/leat/domain/builds"
	"github.com/leat-dev/leat/domain/members"
	"github.com/leat-dev/leat/domain/projects"
	"github.com/leat-dev/leat/domain/tenants"
	"github.com/leat-dev/leat/handlers/reference"
)

var update = flag.Bool("update", false, "write the golden files anew")

// samples has one event of each type, with every field set.
func samples() []domain.Event {
	ref := builds.Ref{BuildID: "build-1", ProjectID: "project-1", Image: "shop/api:1.4"}
	return []domain.Event{
		tenants.Created{TenantID: "acme", Name: "Acme", Email: "ada@acme.example"},
		projects.Created{
			ProjectID: "project-1", Name: "Shop", Description: "Sells things.", Assignee: "bo@acme.example",
			Watchers: []string{"cy@acme.example"},
		},
		projects.Updated{ProjectID: "project-1", Name: "Store", Changes: map[string]projects.Change{
			"name":     {From: "Shop", To: "Store"},
			"watchers": {From: []string{"cy@acme.example"}, To: []string{}},
		}},
		projects.Archived{ProjectID: "project-1", Name: "Store"},
		builds.Queued{Ref: ref},
		builds.Started{Ref: ref},
		builds.Progressed{Ref: ref, Percent: 40, Stage: "compile"},
		builds.Completed{Ref: ref, DurationMS: 83_000},
		builds.Failed{Ref: ref, Reason: "exit status 2", Stage: "compile", DurationMS: 83_000},
		builds.Failing{Ref: ref, Reason: "exit status 2"},
		builds.Cancelled{Ref: ref, Reason: "superseded"},
		members.Invited{
			MemberID: "member-1", TenantID: "acme", ProjectID: "project-1", Email: "di@acme.example", Name: "Di",
			Role: "developer",
		},
	}
}

func catalogue(t *testing.T) *event.Catalogue {
	t.Helper()
	c, err := event.NewCatalogue(reference.Definitions())
	require.NoError(t, err)
	return c
}

// envelope puts an event into an envelope whose attributes are all fixed.
func envelope(t *testing.T, c *event.Catalogue, e domain.Event) event.Envelope {
	t.Helper()
	def, data, err := c.Encode(e)
	require.NoError(t, err)
	at := time.Date(2025, 3, 14, 15, 9, 26, 535_897_000, time.UTC)
	return event.Envelope{
		ID: "0195958d-4a77-7c3c-8f3b-0d5f2e6a9b10", Type: def.Type(), SchemaVersion: def.SchemaVersion(), Kind: def.Kind(),
		Severity: event.SeverityOf(def, e), Source: "leat", Subject: "subject-1", Tenant: "acme", Actor: "ada",
		Time: at, PartitionKey: "subject-1", CorrelationID: "request-1", CausationID: "cause-1", Depth: 1,
		TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Data: data,
		Position: 7, Slot: event.SlotOf("acme", "subject-1"), Recorded: at.Add(time.Millisecond),
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	got = append(bytes.TrimSpace(got), '\n')
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.WriteFile(path, got, 0o644))
		return
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "run the tests of this package with -update and look at the difference")
	require.Equal(t, string(want), string(got))
}

func indented(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.MarshalIndent(v, "", "  ")
	require.NoError(t, err)
	return b
}

func TestEveryEventHasASample(t *testing.T) {
	t.Parallel()
	var got []string
	for _, e := range samples() {
		got = append(got, e.EventType())
	}
	require.ElementsMatch(t, catalogue(t).Types(), got)
}

func TestWireFormats(t *testing.T) {
	t.Parallel()
	c := catalogue(t)
	for _, e := range samples() {
		t.Run(e.EventType(), func(t *testing.T) {
			t.Parallel()
			env := envelope(t, c, e)
			golden(t, e.EventType()+".json", indented(t, env))

			schema, ok := c.Schema(e.EventType())
			require.True(t, ok)
			golden(t, e.EventType()+".schema.json", schema)

			var back event.Envelope
			require.NoError(t, json.Unmarshal(indented(t, env), &back))
			decoded, err := c.Decode(back)
			require.NoError(t, err)
			require.JSONEq(t, string(env.Data), string(indented(t, decoded)))
		})
	}
}

func TestMessageMetadata(t *testing.T) {
	t.Parallel()
	m := event.ToMessage(envelope(t, catalogue(t), builds.Failing{
		Ref: builds.Ref{BuildID: "build-1", ProjectID: "project-1", Image: "shop/api:1.4"}, Reason: "exit status 2",
	}))
	golden(t, "build.failing.metadata.json", indented(t, m.Metadata))
}

func TestGoldenFilesAreAllUsed(t *testing.T) {
	t.Parallel()
	want := map[string]bool{"build.failing.metadata.json": true}
	for _, typ := range catalogue(t).Types() {
		want[typ+".json"], want[typ+".schema.json"] = true, true
	}
	files, err := os.ReadDir("testdata")
	require.NoError(t, err)
	for _, f := range files {
		require.True(t, want[f.Name()], "testdata/%s belongs to no event", f.Name())
	}
}
