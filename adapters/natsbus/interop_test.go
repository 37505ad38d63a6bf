package natsbus_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wmnats "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/binding/spec"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/natsbus"
	"github.com/leat-dev/leat/adapters/natsbus/natstest"
	"github.com/leat-dev/leat/app/event"
)

// TestAStockWatermillSubscriber reads our events with watermill-nats as it comes.
func TestAStockWatermillSubscriber(t *testing.T) {
	t.Parallel()
	server := natstest.StartServer(t, natstest.Options{})
	b, _ := open(t, natsbus.Config{URL: server.URL()})
	sub, err := wmnats.NewSubscriber(wmnats.SubscriberConfig{
		URL:         server.URL(),
		Unmarshaler: &wmnats.NATSMarshaler{},
		// The stream is there already; the subject finds it. ManualAck leaves the ack to Watermill.
		JetStream: wmnats.JetStreamConfig{DurablePrefix: "reports", SubscribeOptions: []nats.SubOpt{
			nats.DeliverNew(), nats.AckExplicit(), nats.ManualAck(),
		}},
	}, watermill.NopLogger{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sub.Close()) })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	messages, err := sub.Subscribe(ctx, "leat.events.acme.*.business.build.>")
	require.NoError(t, err)

	entries := (&chain{}).next(20, keys(4))
	require.NoError(t, b.Publish(t.Context(), entries))
	for _, want := range entries {
		m := <-messages
		require.NotNil(t, m, "a message comes")
		require.Equal(t, want.ID, m.UUID)
		require.Equal(t, string(want.Data), string(m.Payload))
		require.Equal(t, "whole", m.Metadata["correlation_id"])
		got, err := event.FromMessage(m)
		require.NoError(t, err)
		require.Equal(t, want.Envelope, got)
		m.Ack()
	}
}

// inBinaryMode shows a NATS message to the CloudEvents SDK, as its own NATS binding does.
type inBinaryMode struct{ *nats.Msg }

var attributes = spec.WithPrefix("ce-")

func (m inBinaryMode) version() spec.Version {
	return attributes.Version(m.Header.Get("ce-specversion"))
}

func (m inBinaryMode) ReadEncoding() binding.Encoding {
	if m.version() == nil {
		return binding.EncodingUnknown
	}
	return binding.EncodingBinary
}

func (m inBinaryMode) ReadStructured(context.Context, binding.StructuredWriter) error {
	return binding.ErrNotStructured
}

func (m inBinaryMode) ReadBinary(_ context.Context, w binding.BinaryWriter) error {
	v := m.version()
	for name, values := range m.Header {
		if a := v.Attribute(name); a != nil {
			if err := w.SetAttribute(a, values[0]); err != nil {
				return err
			}
		} else if len(name) > 3 && name[:3] == "ce-" {
			if err := w.SetExtension(name[3:], values[0]); err != nil {
				return err
			}
		}
	}
	return w.SetData(bytes.NewReader(m.Data))
}

func (m inBinaryMode) GetAttribute(kind spec.Kind) (spec.Attribute, any) {
	a := m.version().AttributeFromKind(kind)
	if a == nil {
		return nil, nil
	}
	return a, m.Header.Get(a.PrefixedName())
}

func (m inBinaryMode) GetExtension(name string) any { return m.Header.Get("ce-" + name) }

func (m inBinaryMode) Finish(error) error { return nil }

// TestACloudEventsReader reads our events with the CloudEvents SDK.
func TestACloudEventsReader(t *testing.T) {
	t.Parallel()
	server := natstest.StartServer(t, natstest.Options{})
	b, _ := open(t, natsbus.Config{URL: server.URL()})
	conn := server.Connect(t)
	messages, err := conn.SubscribeSync("leat.events.>")
	require.NoError(t, err)
	require.NoError(t, conn.Flush())
	entries := (&chain{}).next(2, keys(1))
	entries[1].Kind, entries[1].Severity, entries[1].Actor, entries[1].Depth = event.Alert, "high", "somebody", 2
	require.NoError(t, b.Publish(t.Context(), entries))
	for _, want := range entries {
		msg, err := messages.NextMsg(patience)
		require.NoError(t, err)
		e, err := binding.ToEvent(t.Context(), inBinaryMode{msg})
		require.NoError(t, err)
		require.NoError(t, e.Validate())
		require.Equal(t, "1.0", e.SpecVersion())
		require.Equal(t, want.ID, e.ID())
		require.Equal(t, want.Type, e.Type())
		require.Equal(t, want.Source, e.Source())
		require.Equal(t, want.Subject, e.Subject())
		require.Equal(t, "application/json", e.DataContentType())
		require.True(t, want.Time.Equal(e.Time()))
		require.Equal(t, string(want.Data), string(e.Data()))
		require.Equal(t, "acme", e.Extensions()["tenantid"])
		require.Equal(t, want.PartitionKey, e.Extensions()["partitionkey"])
		require.Equal(t, "whole", e.Extensions()["correlationid"])
		if want.Kind == event.Alert {
			require.Equal(t, "high", e.Extensions()["severity"])
			require.Equal(t, "somebody", e.Extensions()["actor"])
		}
	}
}

// TestHeadersAreEncoded shows what other programs find where a value is more than plain ASCII.
func TestHeadersAreEncoded(t *testing.T) {
	t.Parallel()
	server := natstest.StartServer(t, natstest.Options{})
	b, _ := open(t, natsbus.Config{URL: server.URL()})
	conn := server.Connect(t)
	messages, err := conn.SubscribeSync("leat.events.>")
	require.NoError(t, err)
	require.NoError(t, conn.Flush())
	entries := (&chain{}).next(1, keys(1))
	entries[0].Subject = ` żółw "100%" `
	require.NoError(t, b.Publish(t.Context(), entries))
	msg, err := messages.NextMsg(patience)
	require.NoError(t, err)
	require.Equal(t, "%20%C5%BC%C3%B3%C5%82w%20%22100%25%22%20", msg.Header.Get("ce-subject"))
}

func TestBroadcast(t *testing.T) {
	t.Parallel()
	server := natstest.StartServer(t, natstest.Options{})
	one, _ := open(t, natsbus.Config{URL: server.URL()})
	two, l := open(t, natsbus.Config{URL: server.URL()})
	got := map[*natsbus.Bus]chan event.Envelope{one: make(chan event.Envelope, 10), two: make(chan event.Envelope, 10)}
	for b, c := range got {
		stop, err := b.OnBroadcast(func(e event.Envelope) { c <- e })
		require.NoError(t, err)
		t.Cleanup(stop)
	}
	want := (&chain{}).next(1, keys(1))[0].Envelope
	want.Position, want.Recorded = 0, time.Time{}
	require.NoError(t, server.Connect(t).Publish("leat.live.acme.business.rubbish", []byte("rubbish")))
	until(t, "rubbish is stepped over", func() bool { return strings.Contains(l.String(), "a broadcast that cannot be read") })
	heard := func(by *natsbus.Bus, want event.Envelope) {
		t.Helper()
		select {
		case e := <-got[by]:
			require.Equal(t, want, e)
		case <-time.After(patience):
			require.FailNow(t, "the broadcast did not come")
		}
	}
	require.NoError(t, one.Broadcast(t.Context(), want))
	heard(two, want)
	back := want
	back.ID, back.Unrecorded = "back", true
	require.NoError(t, two.Broadcast(t.Context(), back))
	heard(one, back) // and not its own before

	// A position is the log's to give.
	placed := want
	placed.Position, placed.Recorded = 7, time.Now().UTC()
	require.NoError(t, one.Broadcast(t.Context(), placed))
	heard(two, want)

	// Without a connection it fails at once; with one it works again.
	server.Kill()
	until(t, "the loss is noticed", func() bool { return !one.Connected() })
	begin := time.Now()
	require.Error(t, one.Broadcast(t.Context(), want))
	require.Less(t, time.Since(begin), time.Second)
	server.Start()
	until(t, "it is heard again", func() bool {
		if one.Broadcast(t.Context(), want) != nil {
			return false
		}
		select {
		case <-got[two]:
			return true
		case <-time.After(50 * time.Millisecond):
			return false
		}
	})
}
