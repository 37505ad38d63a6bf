package event_test

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/domain"
)

func TestRoute(t *testing.T) {
	t.Parallel()
	for want, e := range map[string]event.Envelope{
		"business.build.started":     {Kind: event.Business, Type: "build.started"},
		"alert.build.high":           {Kind: event.Alert, Type: "build.failing", Severity: domain.High},
		"alert.disk.urgent":          {Kind: event.Alert, Type: "disk.volume.full", Severity: domain.Urgent},
		"notification.email.info":    {Kind: event.Notification, Type: "email.requested"},
		"recommendation.cost.medium": {Kind: event.Recommendation, Type: "cost.saving.found"},
	} {
		require.Equal(t, want, e.Route())
	}
}

// The slots of stored events are fixed for ever: this table must not change.
func TestSlotOfIsStable(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		tenant, key string
		slot        int
	}{
		{"", "", 19},
		{"acme", "", 4},
		{"", "b1", 24},
		{"acme", "b1", 59},
		{"acme", "b2", 34},
		{"globex", "b1", 42},
		{"_system", "tenant-7", 17},
		{"acme", "größe", 14},
		{"acme", "0197f2a0-0000-7000-8000-000000000001", 60},
	} {
		require.Equal(t, row.slot, event.SlotOf(row.tenant, row.key), "tenant %q, key %q", row.tenant, row.key)
	}
}

func TestSlotOf(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tenant, key := rapid.String().Draw(t, "tenant"), rapid.String().Draw(t, "key")
		h := fnv.New32a()
		_, _ = h.Write([]byte(event.Envelope{Tenant: tenant, PartitionKey: key}.Key()))
		sum := h.Sum32()
		if got, want := event.SlotOf(tenant, key), int((sum^sum>>16)%event.Slots); got != want {
			t.Fatalf("got %d, want %d", got, want)
		}
	})
}

func TestSlotsAreEvenlyFilled(t *testing.T) {
	t.Parallel()
	var n [event.Slots]int
	const keys = 64000
	for i := range keys {
		n[event.SlotOf("acme", fmt.Sprintf("build-%d", i))]++
	}
	for slot, got := range n {
		require.InDelta(t, keys/event.Slots, got, 200, "slot %d", slot)
	}
}

func TestCloudEventJSON(t *testing.T) {
	t.Parallel()
	full := sound()
	full.Kind, full.Severity, full.Actor, full.CorrelationID, full.CausationID = event.Alert, domain.Low, "ada", "c", "x"
	full.Depth, full.TraceParent, full.Data = 2, "00-1", []byte(`{"a":"<b>"}`)
	got, err := json.Marshal(full)
	require.NoError(t, err)
	require.Equal(t, `{"specversion":"1.0","id":"e1","type":"build.started","source":"leat","subject":"b1","time":"2026-01-02T03:04:05.678901Z",`+
		`"datacontenttype":"application/json","tenantid":"acme","actor":"ada","correlationid":"c","causationid":"x","causationdepth":2,`+
		`"partitionkey":"b1","schemaversion":1,"kind":"alert","severity":"low","traceparent":"00-1","data":{"a":"\u003cb\u003e"}}`, string(got))
	var back event.Envelope
	require.NoError(t, json.Unmarshal(got, &back))
	full.Slot = event.SlotOf("acme", "b1")
	back.Data, full.Data = nil, nil // the same JSON, other escapes
	require.Equal(t, full, back)

	require.Error(t, json.Unmarshal([]byte(`{"time":"yesterday"}`), &back))
}

func TestContext(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	require.Zero(t, event.OriginFrom(ctx))
	_, ok := event.Handled(ctx)
	require.False(t, ok)
	o := event.Origin{Tenant: "acme", Actor: "ada", CorrelationID: "c"}
	ctx = event.WithHandled(event.WithOrigin(ctx, o), sound())
	require.Equal(t, o, event.OriginFrom(ctx))
	e, ok := event.Handled(ctx)
	require.True(t, ok)
	require.Equal(t, sound(), e)
}
