package natsbus_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/natsbus"
	"github.com/leat-dev/leat/adapters/natsbus/natstest"
	"github.com/leat-dev/leat/domain"
)

func refused(t *testing.T, cfg natsbus.Config) error {
	t.Helper()
	_, logger := newLogs(t)
	b, err := natsbus.Open(t.Context(), quick(cfg), natsbus.Hooks{}, logger)
	require.Error(t, err)
	require.Nil(t, b)
	return err
}

func TestAStreamWithOtherSettingsIsRefused(t *testing.T) {
	t.Parallel()
	server := natstest.StartServer(t, natstest.Options{})
	js := jetStream(t, server.Connect(t))
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: natsbus.Stream, Subjects: []string{"leat.events.>", "other"}, MaxAge: time.Hour, Retention: jetstream.InterestPolicy, Storage: jetstream.MemoryStorage,
	})
	require.NoError(t, err)
	err = refused(t, natsbus.Config{URL: server.URL()})
	require.Equal(t, domain.Conflict, domain.KindOf(err))
	require.EqualError(t, err, "stream LEAT_EVENTS at "+server.URL()+" has other settings than the configuration: "+
		"subjects is [leat.events.> other], want [leat.events.>]; "+
		"retention is interest, want limits; "+
		"storage is memory, want file; "+
		"max_bytes (nats.max_bytes) is -1, want 1073741824; "+
		"max_age (nats.max_age) is 1h0m0s, want 24h0m0s; "+
		"duplicate_window is 2m0s, want 10s. "+
		"Set nats.* to what the stream has, or edit the stream (nats stream edit LEAT_EVENTS), or delete it: every event is in the log")

	// Nothing was changed, and the way out works.
	stream, err := js.Stream(t.Context(), natsbus.Stream)
	require.NoError(t, err)
	require.Equal(t, time.Hour, stream.CachedInfo().Config.MaxAge)
	require.NoError(t, js.DeleteStream(t.Context(), natsbus.Stream))
	open(t, natsbus.Config{URL: server.URL()})
	open(t, natsbus.Config{URL: server.URL()}) // the same settings again
	require.ErrorContains(t, refused(t, natsbus.Config{URL: server.URL(), MaxAge: time.Hour}), "max_age (nats.max_age) is 24h0m0s, want 1h0m0s")
}

func TestAnotherStreamOnOurSubjectsIsRefused(t *testing.T) {
	t.Parallel()
	server := natstest.StartServer(t, natstest.Options{})
	js := jetStream(t, server.Connect(t))
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ALL", Subjects: []string{"leat.>"}})
	require.NoError(t, err)
	require.ErrorContains(t, refused(t, natsbus.Config{URL: server.URL()}), "subjects overlap")
}

func TestAServerWithoutJetStreamIsRefused(t *testing.T) {
	t.Parallel()
	server := natstest.StartServer(t, natstest.Options{NoJetStream: true})
	err := refused(t, natsbus.Config{URL: server.URL(), StartWait: time.Second})
	require.ErrorContains(t, err, "JetStream")
	require.ErrorContains(t, err, server.URL())
}

func TestAConsumersNumbersFollowTheConfiguration(t *testing.T) {
	t.Parallel()
	server := natstest.StartServer(t, natstest.Options{})
	js := jetStream(t, server.Connect(t))
	who := seat{Set: "audit", Lane: 1, Lanes: 2}
	b, _ := open(t, natsbus.Config{URL: server.URL()})
	read(t, b, who).stop()
	b, _ = open(t, natsbus.Config{URL: server.URL(), AckWait: 7 * time.Second, MaxAckPending: 3})
	r := read(t, b, who)
	c, err := js.Consumer(t.Context(), natsbus.Stream, "leat_audit_1_of_2")
	require.NoError(t, err)
	require.Equal(t, 7*time.Second, c.CachedInfo().Config.AckWait)
	require.Equal(t, 3, c.CachedInfo().Config.MaxAckPending)
	entries := (&chain{}).next(50, keys(50))
	require.NoError(t, b.Publish(t.Context(), entries))
	var want []int64
	for _, e := range entries {
		if e.Slot%2 == 1 {
			want = append(want, e.Position)
		}
	}
	require.Equal(t, want, r.take(len(want)))
}
