package natsbus_test

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/natsbus"
	"github.com/leat-dev/leat/adapters/natsbus/natstest"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/domain"
)

// TestWhatCountsAsAnAck shows that a message is taken for sent only when our stream says so.
func TestWhatCountsAsAnAck(t *testing.T) {
	t.Parallel()
	for _, ack := range []string{
		`{"stream":"LEAT_EVENTS","seq":1}`,
		`{"stream":"LEAT_EVENTS","seq":18446744073709551615}`,
		`{"stream":"LEAT_EVENTS", "seq":12, "domain":"hub"}`,
		`{"seq":3,"stream":"LEAT_EVENTS","duplicate":false}`,
	} {
		require.NoError(t, natsbus.ReadAck(nil, ack), ack)
	}
	for _, answer := range []struct {
		status, data, want string
	}{
		{"503", "", "no response from stream"},
		{"", "", "invalid jetstream publish response"},
		{"", "rubbish", "invalid jetstream publish response"},
		{"", `{"seq":3}`, "invalid jetstream publish response"},
		{"", `{"stream":"LEAT_EVENTS","seq":}`, "invalid jetstream publish response"},
		{"", `{"stream":"LEAT_EVENTS","seq":3`, "invalid jetstream publish response"},
		{"", `{"stream":"LEAT_EVENTS_2","seq":3}`, "another stream took the message: LEAT_EVENTS_2"},
		{"", `{"stream":"LEAT_EVENTS","seq":3,"duplicate":true}`, "for a repeated one"},
		{"", `{"stream":"LEAT_EVENTS","seq":0,"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"}}`, "maximum bytes exceeded"},
	} {
		header := nats.Header{}
		if answer.status != "" {
			header.Set("Status", answer.status)
		}
		require.ErrorContains(t, natsbus.ReadAck(header, answer.data), answer.want, answer.data)
	}
}

// TestPublishedAsWatermillWrites compares what is published with what watermill-nats makes of the message.
func TestPublishedAsWatermillWrites(t *testing.T) {
	t.Parallel()
	entries := (&chain{}).next(3, keys(2))
	entries[1].Kind, entries[1].Severity, entries[1].Actor, entries[1].Depth = event.Alert, domain.High, "żółw %", 2
	entries[1].CausationID, entries[1].TraceParent = "cause", "00-1-2-01"
	published, stock, err := natsbus.TwoWays(entries...)
	require.NoError(t, err)
	require.Len(t, published, 3)
	require.Equal(t, stock, published, "and nothing of the message before is left in the next")
}

// TestWhatTheStreamRefusesIsSteppedOver has the stream, not the connection, find a message too large.
func TestWhatTheStreamRefusesIsSteppedOver(t *testing.T) {
	t.Parallel()
	server := natstest.StartServer(t, natstest.Options{})
	js := jetStream(t, server.Connect(t))
	b, l := open(t, natsbus.Config{URL: server.URL(), Window: 3})
	stream, err := js.Stream(t.Context(), natsbus.Stream)
	require.NoError(t, err)
	config := stream.CachedInfo().Config
	config.MaxMsgSize = 10_000
	_, err = js.UpdateStream(t.Context(), config)
	require.NoError(t, err)
	entries := (&chain{}).next(9, keys(2))
	entries[4].Data = make([]byte, 20_000)
	require.NoError(t, b.Publish(t.Context(), entries))
	require.Equal(t, uint64(8), state(t, js).Msgs)
	require.Contains(t, l.String(), "position=5")
}

// TestALostServerEndsAPublish kills the server while messages are under way: what has no ack is not sent.
func TestALostServerEndsAPublish(t *testing.T) {
	t.Parallel()
	server := natstest.StartServer(t, natstest.Options{})
	b, _ := open(t, natsbus.Config{URL: server.URL()})
	c := &chain{}
	failed := make(chan error, 1)
	go func() {
		for {
			if err := b.Publish(t.Context(), c.next(500, keys(5))); err != nil {
				failed <- err
				return
			}
		}
	}()
	until(t, "messages flow", func() bool {
		s, err := jetStream(t, server.Connect(t)).Stream(t.Context(), natsbus.Stream)
		return err == nil && s.CachedInfo().State.Msgs > 1000
	})
	server.Kill()
	require.Equal(t, domain.Unavailable, domain.KindOf(<-failed))
	server.Start()
	until(t, "it is there again", b.Connected)
	js := jetStream(t, server.Connect(t))
	before := state(t, js).Msgs
	require.NoError(t, b.Publish(t.Context(), c.next(500, keys(5))))
	require.Equal(t, before+500, state(t, js).Msgs)
}
