package natsbus_test

import (
	"bytes"
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/natsbus"
	"github.com/leat-dev/leat/adapters/natsbus/natstest"
	"github.com/leat-dev/leat/app/bus"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/domain"
)

// natsMessage makes a NATS message with headers.
func natsMessage(subject, data string, header ...string) *nats.Msg {
	m := nats.NewMsg(subject)
	m.Data = []byte(data)
	for i := 0; i < len(header); i += 2 {
		m.Header.Add(header[i], header[i+1])
	}
	return m
}

func state(t *testing.T, js jetstream.JetStream) jetstream.StreamState {
	t.Helper()
	s, err := js.Stream(t.Context(), natsbus.Stream)
	require.NoError(t, err)
	info, err := s.Info(t.Context())
	require.NoError(t, err)
	return info.State
}

func TestEverySendingIsNew(t *testing.T) {
	t.Parallel()
	server := natstest.StartServer(t, natstest.Options{})
	js := jetStream(t, server.Connect(t))
	b, _ := open(t, natsbus.Config{URL: server.URL(), Window: 7})
	entries := (&chain{}).next(100, keys(3))
	require.NoError(t, b.Publish(t.Context(), entries))
	require.Equal(t, uint64(100), state(t, js).Msgs, "all is there when Publish returns")
	require.NoError(t, b.Publish(t.Context(), entries[50:]))
	require.Equal(t, uint64(150), state(t, js).Msgs, "what is sent again is stored again")
	r := read(t, b, seat{Set: "late", Lanes: 1})
	require.NoError(t, b.Publish(t.Context(), entries[:1]))
	require.Equal(t, []int64{1}, r.take(1), "a consumer begins with what comes")

	stream, err := js.Stream(t.Context(), natsbus.Stream)
	require.NoError(t, err)
	for seq, want := range map[uint64]int64{1: 1, 7: 7, 8: 8, 100: 100, 101: 51} {
		msg, err := stream.GetMsg(t.Context(), seq)
		require.NoError(t, err)
		require.Equal(t, natsbus.Subject(entries[want-1].Envelope), msg.Subject)
		require.Regexp(t, regexp.MustCompile(`^leat\.events\.acme\.[0-6][0-9]\.business\.build\.started$`), msg.Subject)
	}
}

// TestHeadersAreTokens shows that no header's name can make a publish fail: they are all ours.
func TestHeadersAreTokens(t *testing.T) {
	t.Parallel()
	e := (&chain{}).next(1, keys(1))[0]
	e.Actor, e.CausationID, e.Depth, e.TraceParent = "a", "c", 3, "t"
	e.Kind, e.Severity = event.Alert, domain.High
	m := bus.Encode(e)
	require.Len(t, m.Metadata, 22, "every attribute is set")
	for name := range m.Metadata {
		require.Regexp(t, regexp.MustCompile(`^[a-z_-]+$`), name)
	}
}

func TestWhatCannotTravelIsSteppedOver(t *testing.T) {
	t.Parallel()
	server := natstest.StartServer(t, natstest.Options{MaxPayload: 64 << 10})
	b, l := open(t, natsbus.Config{URL: server.URL()})
	require.Contains(t, l.String(), "accepts smaller messages than events may be")
	r := read(t, b, seat{Set: "audit", Lanes: 1})
	entries := (&chain{}).next(4, keys(1))
	entries[1].Data = bytes.Repeat([]byte("x"), event.MaxData)
	entries[2].Type = "not a subject.*"
	require.NoError(t, b.Publish(t.Context(), entries))
	require.Equal(t, []int64{1, 4}, r.take(2), "the gap is read from the log")
	require.Contains(t, l.String(), "position=2")
	require.Contains(t, l.String(), "position=3")
}

func TestTheLargestEventTravels(t *testing.T) {
	t.Parallel()
	b, _ := open(t, natsbus.Config{})
	r := read(t, b, seat{Set: "audit", Lanes: 1})
	entries := (&chain{}).next(1, keys(1))
	e := &entries[0].Envelope
	full := func(n int) string { return strings.Repeat("ż", n/2) }
	e.ID, e.Source, e.Subject, e.Actor = full(event.MaxID), full(event.MaxSource), full(event.MaxSubject), full(event.MaxActor)
	e.PartitionKey, e.CorrelationID, e.CausationID = full(event.MaxKey), full(event.MaxID), full(event.MaxID)
	e.Tenant, e.Type = strings.Repeat("t", event.MaxTenant), "a."+strings.Repeat("b", event.MaxType-2)
	e.Slot = event.SlotOf(e.Tenant, e.PartitionKey)
	e.Data = bytes.Repeat([]byte("x"), event.MaxData)
	require.NoError(t, b.Publish(t.Context(), entries))
	_, got := r.next()
	require.Equal(t, entries[0], got)
}

func fill(t *testing.T, b *natsbus.Bus, c *chain, n int) error {
	t.Helper()
	entries := c.next(n, keys(5))
	for i := range entries {
		entries[i].Data = bytes.Repeat([]byte("x"), 64<<10)
	}
	return b.Publish(t.Context(), entries)
}

func TestAFullStreamDropsItsOldest(t *testing.T) {
	t.Parallel()
	server := natstest.StartServer(t, natstest.Options{})
	js := jetStream(t, server.Connect(t))
	b, _ := open(t, natsbus.Config{URL: server.URL(), MaxBytes: 1 << 20})
	require.NoError(t, fill(t, b, &chain{}, 50))
	s := state(t, js)
	require.Less(t, s.Bytes, uint64(1<<20)+1)
	require.Equal(t, uint64(50), s.LastSeq)
}

func TestAFullStreamRefuses(t *testing.T) {
	t.Parallel()
	server := natstest.StartServer(t, natstest.Options{})
	js := jetStream(t, server.Connect(t))
	b, _ := open(t, natsbus.Config{URL: server.URL(), MaxBytes: 1 << 20, Discard: natsbus.DiscardNew})
	c := &chain{}
	err := fill(t, b, c, 50)
	require.Equal(t, domain.Unavailable, domain.KindOf(err))
	require.ErrorContains(t, err, "stream LEAT_EVENTS is full")
	require.ErrorContains(t, err, "10077")
	require.NoError(t, b.Check(t.Context()), "a full stream is no reason to take the service out")
	stream, err := js.Stream(t.Context(), natsbus.Stream)
	require.NoError(t, err)
	require.NoError(t, stream.Purge(t.Context()))
	require.NoError(t, fill(t, b, c, 5), "there is room again")
}

func TestPublishEndsWithItsContext(t *testing.T) {
	t.Parallel()
	b, _ := open(t, natsbus.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	begin := time.Now()
	// It may have been fast enough; what it must not do is wait.
	if err := b.Publish(ctx, (&chain{}).next(1000, keys(1))); err != nil {
		require.ErrorIs(t, err, context.Canceled)
	}
	require.Less(t, time.Since(begin), patience)
}
