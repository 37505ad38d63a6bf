package natsbus_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/natsbus"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/domain"
)

// Whatever another service sends, it is refused for what it is, or becomes an event of the tenant that
// the configuration names.
func FuzzForeign(f *testing.F) {
	const binary = "ce-specversion: 1.0\nce-id: 1\nce-type: order.paid\nce-source: shop\nContent-Type: application/json\n"
	const structured = `{"specversion":"1.0","id":"1","type":"paid","source":"shop","tenantid":"other","time":"2026-01-02T03:04:05Z","data":{"n":1}}`
	f.Add("", []byte(`{"n":1}`), "order.paid")
	f.Add(binary+"ce-tenantid: other\nce-subject: a%0d%0ab%2\nce-time: yesterday", []byte(`{"n":1}`), "")
	f.Add(binary+"CE-ID: 2\nce-schemaversion: 1e3\ntraceparent: \xff", []byte(nil), "")
	f.Add("Content-Type: application/cloudevents+json; charset=utf-8", []byte(structured), "")
	f.Add("Content-Type: application/cloudevents-batch+json", []byte("["+structured+"]"), "order.paid")
	f.Add("", []byte(structured), "order.paid")
	f.Add("Content-Type: ;", []byte(`{"specversion":"0.3","data_base64":"!","schemaversion":"x"}`), "order.paid")
	f.Fuzz(func(t *testing.T, headers string, data []byte, typ string) {
		header := nats.Header{}
		for line := range strings.SplitSeq(headers, "\n") {
			if name, value, ok := strings.Cut(line, ": "); ok {
				header[name] = append(header[name], value)
			}
		}
		cfg := natsbus.ForeignConfig{Subject: "orders.>", Tenant: "acme", Type: typ, TypePrefix: "theirs.", Types: map[string]string{"paid": "order.paid"}}
		raw, err := cfg.Read("orders.1", header, data, "given")
		if err != nil {
			if domain.KindOf(err) != domain.Invalid {
				t.Errorf("got kind %s: %v", domain.KindOf(err), err)
			}
			return
		}
		if raw.Tenant != "acme" || raw.Type == "" || raw.ID == "" || raw.Source == "" {
			t.Errorf("got %+v", raw)
		}
	})
}

// What passes for a subject is one to the server, different names have different consumers, and what
// travels in a header arrives.
func FuzzHeaders(f *testing.F) {
	for _, s := range []string{"acme", "leat.events.acme.07.business.build.started", "a..b", "a b", "*", ">", "", "ä%zz%25", "a\r\nb: c", "\x00\xff", "=3d", "%"} {
		f.Add(s, "b=1")
	}
	f.Fuzz(func(t *testing.T, s, other string) {
		if natsbus.CheckSubject(s) == nil && !server.IsValidLiteralSubject(s) {
			t.Errorf("the server would not take subject %q", s)
		}
		if (natsbus.Plain(s) == natsbus.Plain(other)) != (s == other) {
			t.Errorf("%q and %q share the name %q", s, other, natsbus.Plain(s))
		}
		if strings.ContainsFunc(natsbus.Plain(s), func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(".*>/\\", r) }) {
			t.Errorf("%q is no name of a consumer", natsbus.Plain(s))
		}
		encoded := natsbus.Encode(s)
		if strings.ContainsFunc(encoded, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			t.Errorf("%q would not survive as a header", encoded)
		}
		if got := natsbus.Decode(encoded); got != s {
			t.Errorf("got %q, want %q", got, s)
		}
		_ = natsbus.Decode(s)

		e := event.Envelope{
			ID: "e", Type: "build.started", SchemaVersion: 1, Kind: event.Business, Source: "leat", Tenant: "acme", Subject: s, PartitionKey: s,
			Actor: s, CorrelationID: s, Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Data: []byte(`{}`), Slot: event.SlotOf("acme", s),
		}
		if errors.Join(e.CheckAttributes()...) != nil {
			return
		}
		m, err := natsbus.ThereAndBack(natsbus.Subject(e), event.ToMessage(e))
		require.NoError(t, err)
		back, err := event.FromMessage(m)
		require.NoError(t, err)
		require.Equal(t, e, back)
	})
}
