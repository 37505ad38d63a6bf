package event_test

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/domain"
)

// The names in the metadata are what other programs read; this table must not change.
func TestToMessage(t *testing.T) {
	t.Parallel()
	m := event.ToMessage(sound())
	require.Equal(t, "e1", m.UUID)
	require.Equal(t, `{}`, string(m.Payload))
	bare := message.Metadata{
		"ce-specversion": "1.0", "ce-id": "e1", "ce-type": "build.started", "ce-source": "leat", "ce-time": "2026-01-02T03:04:05.678901Z",
		"ce-datacontenttype": "application/json", "ce-tenantid": "acme", "ce-schemaversion": "1", "ce-kind": "business",
		"ce-subject": "b1", "ce-partitionkey": "b1",
	}
	require.Equal(t, bare, m.Metadata)

	e := sound()
	e.Kind, e.Severity, e.Actor, e.CorrelationID, e.CausationID = event.Alert, domain.Low, "ada", "c", "x"
	e.Depth, e.TraceParent, e.Position, e.Recorded = 2, "00-1", 7, e.Time.Add(time.Second)
	want := maps.Clone(bare)
	maps.Copy(want, message.Metadata{
		"ce-kind": "alert", "ce-severity": "low", "ce-actor": "ada", "ce-correlationid": "c", "correlation_id": "c", "ce-causationid": "x",
		"ce-causationdepth": "2", "traceparent": "00-1", "leat-position": "7", "leat-recorded": "2026-01-02T03:04:06.678901Z",
	})
	m = event.ToMessage(e)
	require.Equal(t, want, m.Metadata)
	back, err := event.FromMessage(m)
	require.NoError(t, err)
	e.Slot = event.SlotOf("acme", "b1")
	require.Equal(t, e, back)

	lost := sound()
	lost.Unrecorded, lost.Slot = true, e.Slot
	m = event.ToMessage(lost)
	require.Equal(t, "true", m.Metadata["leat-unrecorded"])
	back, err = event.FromMessage(m)
	require.NoError(t, err)
	require.Equal(t, lost, back)

	m = event.ToMessage(e)
	m.Metadata["ce-id"] = "another"
	require.Equal(t, "e1", event.ToMessage(e).Metadata["ce-id"], "messages do not share metadata")
}

func TestFromMessageRefusesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	for key, values := range map[string][]string{
		"ce-specversion":    {"", "0.3"},
		"ce-time":           {"", "yesterday", "12345-01-01T00:00:00Z"},
		"ce-schemaversion":  {"", "one", "1.5"},
		"ce-causationdepth": {"x", "-1"},
		"leat-position":     {"x", "99999999999999999999", "-1"},
		"leat-recorded":     {"", "later"},
	} {
		for _, value := range values {
			e := sound()
			e.Position, e.Recorded = 7, e.Time
			m := event.ToMessage(e)
			m.Metadata[key] = value
			_, err := event.FromMessage(m)
			require.ErrorContains(t, err, key, "%s: %q", key, value)
		}
	}
	_, err := event.FromMessage(message.NewMessage("1", nil))
	require.Error(t, err)
}

// What the door lets in comes out of a message as it went in.
func FuzzMessage(f *testing.F) {
	f.Add("e1", "leat", "b1", "ada", "c", "00-1", int64(1767323045678901), int64(7), 2, []byte(`{}`))
	f.Add("", "", "", "", "", "", int64(-1), int64(0), -1, []byte(nil))
	f.Add("ä", " ", "a\r\nb", "\xff", "\x7f", "\x00", int64(253402300800000000), int64(-5), 1<<40, []byte("\xff"))
	f.Fuzz(func(t *testing.T, id, source, subject, actor, correlation, trace string, micros, position int64, depth int, data []byte) {
		e := event.Envelope{
			ID: id, Type: "build.started", SchemaVersion: 3, Kind: event.Business, Source: source, Subject: subject, Tenant: "acme",
			Actor: actor, Time: time.UnixMicro(micros).UTC(), PartitionKey: subject, CorrelationID: correlation, CausationID: correlation,
			Depth: max(depth, 0), TraceParent: trace, Data: data, Slot: event.SlotOf("acme", subject),
		}
		if position > 0 {
			e.Position, e.Recorded = position, time.UnixMicro(1767323045678901).UTC()
		}
		if len(e.CheckAttributes()) > 0 {
			return
		}
		m := event.ToMessage(e)
		for key, value := range m.Metadata {
			for i := range len(value) {
				if value[i] < 0x20 || value[i] == 0x7f {
					t.Errorf("%s would not survive as a header: %q", key, value)
				}
			}
		}
		back, err := event.FromMessage(m)
		if err != nil {
			t.Fatal(err)
		}
		if string(back.Data) != string(e.Data) {
			t.Errorf("got data %q, want %q", back.Data, e.Data)
		}
		back.Data, e.Data = nil, nil
		require.Equal(t, e, back)
		if _, err := back.MarshalJSON(); err != nil {
			t.Errorf("the event has no JSON form: %v", err)
		}
	})
}

// Whatever metadata a message brings, reading it ends with an error or with an envelope, and one that
// the door would have let in is read the same when it is written again.
func FuzzFromMessage(f *testing.F) {
	whole := ""
	e := sound()
	e.Position, e.Recorded = 7, e.Time
	for key, value := range event.ToMessage(e).Metadata {
		whole += key + "=" + value + "\n"
	}
	f.Add(whole, []byte(`{}`))
	f.Add(whole+"ce-time=2026-01-02T03:04:05+01:00\nleat-position=-1\nce-causationdepth=-1", []byte(`[`))
	f.Add(whole+"ce-schemaversion=99999999999999999999\nce-kind=\nce-tenantid=a.b", []byte(nil))
	f.Add("ce-specversion=1.0\nce-time=0001-01-01T00:00:00Z\nce-schemaversion=1", []byte("\xff"))
	f.Fuzz(func(t *testing.T, metadata string, data []byte) {
		m := message.NewMessage("1", data)
		for line := range strings.SplitSeq(metadata, "\n") {
			key, value, _ := strings.Cut(line, "=")
			m.Metadata[key] = value
		}
		e, err := event.FromMessage(m)
		if err != nil {
			return
		}
		if e.Slot < 0 || e.Slot >= event.Slots {
			t.Errorf("got slot %d", e.Slot)
		}
		if len(e.CheckAttributes()) > 0 {
			return
		}
		back, err := event.FromMessage(event.ToMessage(e))
		if err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
		if !back.Time.Equal(e.Time) || e.Position > 0 && !back.Recorded.Equal(e.Recorded) {
			t.Errorf("got times %v and %v, want %v and %v", back.Time, back.Recorded, e.Time, e.Recorded)
		}
		back.Time, back.Recorded = e.Time, e.Recorded
		require.Equal(t, e, back)
	})
}
