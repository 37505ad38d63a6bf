package natsbus_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/natsbus"
	"github.com/leat-dev/leat/adapters/natsbus/natstest"
	"github.com/leat-dev/leat/app/deadletter"
	"github.com/leat-dev/leat/app/event"
)

func TestLanesShareTheSlots(t *testing.T) {
	t.Parallel()
	const lanes, n = 5, 300
	b, _ := open(t, natsbus.Config{})
	var readers []*reader
	for lane := range lanes {
		readers = append(readers, read(t, b, seat{Set: "audit", Lane: lane, Lanes: lanes}))
	}
	whole := read(t, b, seat{Set: "whole", Lanes: 1})
	everywhere := read(t, b, seat{Set: "feed", EveryInstance: true})
	again := read(t, b, seat{Set: "feed", EveryInstance: true})

	entries := (&chain{}).next(n, keys(97))
	want := make([][]int64, lanes)
	for _, e := range entries {
		want[e.Slot%lanes] = append(want[e.Slot%lanes], e.Position)
	}
	require.NoError(t, b.Publish(t.Context(), entries))
	for lane, r := range readers {
		require.Equal(t, want[lane], r.take(len(want[lane])), "lane %d", lane)
	}
	for _, r := range []*reader{whole, everywhere, again} {
		require.Equal(t, positions(entries), r.take(n))
	}
}

func TestWhatArrivesIsWhatWasSent(t *testing.T) {
	t.Parallel()
	b, _ := open(t, natsbus.Config{})
	r := read(t, b, seat{Set: "audit", Lanes: 1})
	entries := (&chain{}).next(3, keys(1))
	e := &entries[1].Envelope
	e.ID, e.Source, e.Subject = " id with spaces ", `urn:100%25 "quoted"`, "żółw 🐢 %zz"
	e.PartitionKey, e.Actor, e.CausationID, e.Depth = "  key", "Ağça", "c%", 4
	e.CorrelationID, e.TraceParent = " % ", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	e.Kind, e.Severity = event.Alert, "high"
	e.Slot = event.SlotOf(e.Tenant, e.PartitionKey)
	e.Data = []byte("{\"text\":\"a\\r\\nb\",\"z\":\"\u0000…\"}")
	require.NoError(t, b.Publish(t.Context(), entries))
	for _, want := range entries {
		m, got := r.next()
		require.Equal(t, want, got)
		m.Ack()
	}
}

func TestSetsAreIsolated(t *testing.T) {
	t.Parallel()
	const n = 1000
	b, _ := open(t, natsbus.Config{MaxAckPending: 16})
	stuck := read(t, b, seat{Set: "stuck", Lanes: 1})
	good := read(t, b, seat{Set: "good", Lanes: 1})
	entries := (&chain{}).next(n, keys(7))
	require.NoError(t, b.Publish(t.Context(), entries))
	require.Equal(t, positions(entries), good.take(n))

	// The stuck set gets no more than it may hold until it acks.
	for range 16 {
		stuck.next()
	}
	select {
	case m := <-stuck.out:
		require.Fail(t, "a message beyond what may be in hand", m.UUID)
	case <-time.After(200 * time.Millisecond):
	}
}

func TestTheNextOwnerGetsWhatWasNotAcked(t *testing.T) {
	t.Parallel()
	server := natstest.StartServer(t, natstest.Options{})
	cfg := natsbus.Config{URL: server.URL(), AckWait: time.Hour} // nobody waits for that
	b, _ := open(t, cfg)
	who := seat{Set: "audit", Lane: 0, Lanes: 1}
	first := read(t, b, who)
	entries := (&chain{}).next(20, keys(1))
	require.NoError(t, b.Publish(t.Context(), entries))
	require.Equal(t, numbers(1, 5), first.take(5))
	for range 3 {
		first.next()
	}
	first.stop()

	// Another process; and what is published between owners waits for it.
	require.NoError(t, b.Publish(t.Context(), (&chain{last: 20}).next(5, keys(1))))
	other, _ := open(t, cfg)
	second := read(t, other, who)
	got := second.take(20)
	require.ElementsMatch(t, numbers(6, 25), got)

	// Acked is acked.
	second.stop()
	require.NoError(t, other.Publish(t.Context(), (&chain{last: 25}).next(1, keys(1))))
	third := read(t, b, who)
	require.Equal(t, []int64{26}, third.take(1))
}

func TestWhatADeadProcessHadInHandComesAgain(t *testing.T) {
	t.Parallel()
	server := natstest.StartServer(t, natstest.Options{})
	cfg := natsbus.Config{URL: server.URL(), AckWait: time.Second}
	who := seat{Set: "audit", Lanes: 1}
	b, _ := open(t, cfg)
	r := read(t, b, who)
	require.NoError(t, b.Publish(t.Context(), (&chain{}).next(1, keys(1))))

	// In hand for longer than AckWait, it stays in hand.
	first, e := r.next()
	require.Equal(t, int64(1), e.Position)
	select {
	case m := <-r.out:
		require.Fail(t, "a message came again while it was in hand", m.UUID)
	case <-time.After(2500 * time.Millisecond):
	}
	// A nack brings it at once.
	first.Nack()
	second, e := r.next()
	require.Equal(t, int64(1), e.Position)
	second.Ack()
}

func TestConsumersOutliveTheBus(t *testing.T) {
	t.Parallel()
	server := natstest.StartServer(t, natstest.Options{})
	js := jetStream(t, server.Connect(t))
	_, logger := newLogs(t)
	b, err := natsbus.Open(t.Context(), natsbus.Config{URL: server.URL()}, natsbus.Hooks{}, logger)
	require.NoError(t, err)
	lane := read(t, b, seat{Set: "audit", Lane: 3, Lanes: 4})
	feed := read(t, b, seat{Set: "feed", EveryInstance: true})
	require.NoError(t, b.Close())
	lane.stop()
	feed.stop()
	stream, err := js.Stream(t.Context(), natsbus.Stream)
	require.NoError(t, err)
	var names []string
	for name := range stream.ConsumerNames(t.Context()).Name() {
		names = append(names, name)
	}
	require.Equal(t, []string{"leat_audit_3_of_4"}, names)
	c, err := js.Consumer(t.Context(), natsbus.Stream, names[0])
	require.NoError(t, err)
	config := c.CachedInfo().Config
	require.Len(t, config.FilterSubjects, 16)
	require.Equal(t, "leat.events.*.03.>", config.FilterSubjects[0])
	require.Equal(t, -1, config.MaxDeliver)
	require.Equal(t, 72*time.Hour, config.InactiveThreshold)
}

func TestUndecodableMessagesBecomeDeadLetters(t *testing.T) {
	t.Parallel()
	server := natstest.StartServer(t, natstest.Options{})
	graves := &graves{}
	graves.shut(errors.New("the disk is full"))
	_, logger := newLogs(t)
	b, err := natsbus.Open(t.Context(), natsbus.Config{URL: server.URL()}, natsbus.Hooks{Letters: graves}, logger)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	r := read(t, b, seat{Set: "audit", Lanes: 1})
	conn := server.Connect(t)
	require.NoError(t, conn.PublishMsg(natsMessage("leat.events.acme.00.business.rubbish", "rubbish", "x", "1")))
	require.NoError(t, conn.PublishMsg(natsMessage("leat.events.acme.00.twice", "rubbish", "x", "1", "x", "2")))
	require.NoError(t, conn.Flush())
	require.NoError(t, b.Publish(t.Context(), (&chain{}).next(2, keys(1))))
	require.Equal(t, numbers(1, 2), r.take(2), "they hold up nobody")

	// Until there is a letter each comes again, also to another process.
	until(t, "they come again", func() bool { return graves.refused() >= 4 })
	r.stop()
	r = read(t, b, seat{Set: "audit", Lanes: 1})
	graves.shut(nil)
	until(t, "two letters", func() bool { return len(graves.all()) == 2 })
	letters := graves.all()
	if letters[0].Message.Subject != "leat.events.acme.00.business.rubbish" {
		letters[0], letters[1] = letters[1], letters[0]
	}
	require.Contains(t, letters[0].Reason, "ce-specversion")
	require.Contains(t, letters[1].Reason, "multiple values")
	require.Equal(t, natsbus.SetStream, letters[0].Set)
	require.Equal(t, event.SystemTenant, letters[0].Tenant)
	require.Equal(t, "rubbish", string(letters[0].Message.Data))
	require.Equal(t, []string{"1", "2"}, letters[1].Message.Header["x"])
	require.NotEqual(t, letters[0].Key, letters[1].Key)

	// They do not come again, and another set that meets them speaks of the same ones.
	r.stop()
	r = read(t, b, seat{Set: "audit", Lanes: 1})
	read(t, b, seat{Set: "feed", EveryInstance: true})
	require.NoError(t, b.Publish(t.Context(), (&chain{last: 2}).next(1, keys(1))))
	require.Equal(t, []int64{3}, r.take(1))
	require.Len(t, graves.all(), 2)
	require.NoError(t, conn.PublishMsg(natsMessage("leat.events.acme.77.no.slot", "rubbish")))
	until(t, "a set without lanes sees also what no lane does", func() bool { return len(graves.all()) == 3 })
}

// graves keeps dead letters in memory, as a store does, and can be shut.
type graves struct {
	mu     sync.Mutex
	shutBy error
	no     int
	buried []deadletter.Stray
}

func (g *graves) BuryStray(_ context.Context, s deadletter.Stray) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shutBy != nil {
		g.no++
		return g.shutBy
	}
	for _, b := range g.buried {
		if b.Set == s.Set && b.Key == s.Key {
			return nil
		}
	}
	g.buried = append(g.buried, s)
	return nil
}

func (g *graves) shut(by error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shutBy = by
}

func (g *graves) refused() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.no
}

func (g *graves) all() []deadletter.Stray {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.buried)
}
