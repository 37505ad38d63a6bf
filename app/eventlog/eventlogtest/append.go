package eventlogtest

import (
	"fmt"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/domain"
)

func appendKeepsAttributes(t *testing.T, f *fixture) {
	full := event.Envelope{
		ID: "id ü 1", Type: "build.failing", SchemaVersion: 3, Kind: event.Alert, Severity: domain.High, Source: "svc/ü",
		Subject: "b 1", Tenant: "acme", Actor: "ann@example.org", Time: time.Date(1999, 12, 31, 23, 59, 59, 999999000, time.UTC),
		PartitionKey: "key ü", CorrelationID: "corr", CausationID: "cause", Depth: 7, TraceParent: "00-aa-bb-01",
		Data: []byte(`{"text":"ü \u0000 \"","n":[1,2.5,null]}`), Slot: event.SlotOf("acme", "key ü"),
	}
	bare := event.Envelope{
		ID: "2", Type: "a.b", SchemaVersion: 1, Kind: event.Business, Source: "s", Tenant: event.SystemTenant, Time: start,
		Data: []byte("null"), Slot: event.SlotOf(event.SystemTenant, ""),
	}
	f.mustAppend(t, full, bare)
	got := f.all(t, 2)
	require.Positive(t, got[0].Position)
	require.Greater(t, got[1].Position, got[0].Position)
	full.Position, full.Recorded = got[0].Position, start
	bare.Position, bare.Recorded = got[1].Position, start
	require.Equal(t, []event.Envelope{full, bare}, got)
}

func appendOfNothing(t *testing.T, f *fixture) {
	receipts, err := f.Append(ctxOf(t), nil)
	require.NoError(t, err)
	require.Empty(t, receipts)
	events, through, err := f.Read(ctxOf(t), 0, 0, 10)
	require.NoError(t, err)
	require.Empty(t, events)
	require.Zero(t, through)
}

func receipts(t *testing.T, f *fixture) {
	e := envelope("1")
	other := e
	other.Tenant, other.Slot = "other", event.SlotOf("other", e.PartitionKey)
	source := e
	source.Source = "elsewhere"
	got := f.mustAppend(t, e, other, source)
	seen := map[string]bool{}
	for _, r := range got {
		require.Equal(t, "1", r.EventID)
		require.Equal(t, start, r.Recorded)
		require.False(t, r.Duplicate)
		require.Regexp(t, regexp.MustCompile(`^rcpt_[a-z2-7]{16}$`), r.Receipt)
		require.False(t, seen[r.Receipt], "a receipt was given twice")
		seen[r.Receipt] = true
	}
	require.Equal(t, "rcpt_wuiwhsmez7ybsihp", got[0].Receipt, "receipts are the same on every store")
	f.all(t, 3)
}

func duplicates(t *testing.T, f *fixture) {
	first := f.mustAppend(t, envelope("1"))[0]
	f.clock.Advance(time.Hour)
	again := envelope("1")
	again.Data = []byte(`{"other":true}`)
	second := f.mustAppend(t, again)[0]
	require.True(t, second.Duplicate)
	second.Duplicate = false
	require.Equal(t, first, second, "want the first one's receipt")

	// Inside one batch, the first of which is new.
	got := f.mustAppend(t, envelope("2"), envelope("1"), envelope("2"))
	require.False(t, got[0].Duplicate)
	require.True(t, got[1].Duplicate)
	require.Equal(t, start, got[1].Recorded)
	require.True(t, got[2].Duplicate)
	require.Equal(t, got[0].Receipt, got[2].Receipt)
	require.Equal(t, got[0].Recorded, got[2].Recorded)

	events := f.all(t, 2)
	require.Equal(t, []string{"1", "2"}, ids(events))
	require.JSONEq(t, `{}`, string(events[0].Data), "the first one stays")
}

// Batches of any size hold events that are new, that the log knows, and the same one twice: a store that inserts many
// at once must not mix up which are which.
func mixedBatches(t *testing.T, f *fixture) {
	first := f.mustAppend(t, envelope("a"))[0]
	want := []string{"a"}
	for _, fill := range []int{0, 1, 7, 60, 200} {
		f.clock.Advance(time.Minute)
		at := func(what string) string { return fmt.Sprintf("%s of %d", what, fill) }
		fresh := []string{at("first")}
		for i := range fill {
			fresh = append(fresh, at(fmt.Sprint(i)))
		}
		given := slices.Concat(fresh[:1], []string{"a"}, fresh, []string{at("last"), "a", at("last")})
		var batch []event.Envelope
		for _, id := range given {
			batch = append(batch, envelope(id))
		}
		known := map[string]bool{"a": true}
		for i, r := range f.mustAppend(t, batch...) {
			require.Equal(t, given[i], r.EventID)
			require.Equal(t, known[given[i]], r.Duplicate, given[i])
			if given[i] == "a" {
				require.Equal(t, first.Recorded, r.Recorded)
				require.Equal(t, first.Receipt, r.Receipt)
			}
			known[given[i]] = true
		}
		want = slices.Concat(want, fresh, []string{at("last")})
	}
	require.Equal(t, want, ids(f.all(t, len(want))))
}
