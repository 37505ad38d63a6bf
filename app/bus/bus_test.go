package bus_test

import (
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/leat-dev/leat/app/bus"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/domain"
)

func entry() bus.Entry {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	e := event.Envelope{
		ID: "e1", Type: "thing.made", SchemaVersion: 2, Kind: event.Alert, Severity: domain.High, Source: "test", Subject: "s",
		Tenant: "t", Actor: "somebody", Time: at, PartitionKey: "k", CorrelationID: "c", CausationID: "b", Depth: 3,
		TraceParent: "00-1-2-01", Data: []byte(`{"n":1}`), Position: 9, Recorded: at,
	}
	e.Slot = event.SlotOf(e.Tenant, e.PartitionKey)
	return bus.Entry{Envelope: e, Prev: 8, SlotPrev: 5}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	got, err := bus.Decode(bus.Encode(entry()))
	require.NoError(t, err)
	require.Equal(t, entry(), got)

	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[ -~äöü]{0,20}`)
		e := entry()
		e.Subject, e.Actor, e.PartitionKey = text.Draw(t, "subject"), text.Draw(t, "actor"), text.Draw(t, "key")
		e.Slot = event.SlotOf(e.Tenant, e.PartitionKey)
		e.SlotPrev = rapid.Int64Min(0).Draw(t, "slotPrev")
		e.Prev = rapid.Int64Min(e.SlotPrev).Draw(t, "prev")
		e.Position = rapid.Int64Min(1).Draw(t, "position")
		got, err := bus.Decode(bus.Encode(e).Copy())
		require.NoError(t, err)
		require.Equal(t, e, got)
	})
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(m message.Metadata){
		"ce-specversion":   func(m message.Metadata) { delete(m, "ce-specversion") },
		"leat-position":    func(m message.Metadata) { delete(m, "leat-position") },
		"leat-prev":        func(m message.Metadata) { delete(m, "leat-prev") },
		"leat-slotprev":    func(m message.Metadata) { m["leat-slotprev"] = "many" },
		"ce-time":          func(m message.Metadata) { m["ce-time"] = "soon" },
		"ce-schemaversion": func(m message.Metadata) { m["ce-schemaversion"] = "" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := bus.Encode(entry())
			change(m.Metadata)
			_, err := bus.Decode(m)
			require.ErrorContains(t, err, name)
			require.ErrorContains(t, err, "e1")
		})
	}
}

// The sets' messages share the payload, not the metadata: links may write there.
func TestEncodeShares(t *testing.T) {
	t.Parallel()
	e := entry()
	one, two := bus.Encode(e), bus.Encode(e)
	one.Metadata["x"] = "y"
	require.NotContains(t, two.Metadata, "x")
	require.Same(t, &e.Data[0], &one.Payload[0])
}

// Within a process the entry goes along as it is.
func TestHand(t *testing.T) {
	t.Parallel()
	e := entry()
	m := bus.Hand(&e)
	require.Equal(t, e.ID, m.UUID)
	require.Same(t, &e.Data[0], &m.Payload[0])
	got, err := bus.Decode(m.CopyWithContext())
	require.NoError(t, err)
	require.Equal(t, e, got)
	_, err = bus.Decode(m.Copy())
	require.Error(t, err, "what leaves the process is encoded")
}
