package natsbus_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/natsbus"
	"github.com/leat-dev/leat/adapters/natsbus/natstest"
	"github.com/leat-dev/leat/adapters/sqlite"
	"github.com/leat-dev/leat/app/deadletter"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/app/publish"
	"github.com/leat-dev/leat/domain"
)

// paid is the event that other services send.
type paid struct {
	N int `json:"n"`
}

func (paid) EventType() string { return "order.paid" }

// door is the way into a real log, which can be shut.
type door struct {
	*publish.Publisher
	mu    sync.Mutex
	shut  error
	calls int
}

func (d *door) PublishRaw(ctx context.Context, raws ...event.Raw) ([]eventlog.Receipt, error) {
	d.mu.Lock()
	d.calls++
	shut := d.shut
	d.mu.Unlock()
	if shut != nil {
		return nil, shut
	}
	return d.Publisher.PublishRaw(ctx, raws...)
}

func (d *door) set(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shut = err
}

func (d *door) called() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.calls
}

// house is a log with foreign events coming in.
type house struct {
	t       *testing.T
	server  *natstest.Server
	log     *sqlite.DB
	door    *door
	letters natsbus.Letters
	stop    func()
	takeIn  deadletter.TakeIn
	cfg     natsbus.Config
}

func newHouse(t *testing.T, foreign ...natsbus.ForeignConfig) *house {
	t.Helper()
	_, logger := newLogs(t)
	clock := clockwork.NewFakeClock()
	log, err := sqlite.Open(t.Context(), sqlite.Config{Path: t.TempDir() + "/leat.db"}, clock, logger)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, log.Close()) })
	catalogue, err := event.NewCatalogue(event.Definitions{event.Define[paid](event.Business)})
	require.NoError(t, err)
	server := natstest.StartServer(t, natstest.Options{})
	return &house{
		t: t, server: server, log: log, door: &door{Publisher: publish.New(publish.Config{}, catalogue, log, clock, nil)},
		letters: log, cfg: natsbus.Config{URL: server.URL(), Foreign: foreign},
	}
}

// run listens until stop, or the test's end.
func (h *house) run() {
	h.t.Helper()
	b, _ := open(h.t, h.cfg)
	_, logger := newLogs(h.t)
	f := natsbus.NewForeign(b, h.door, h.letters, logger)
	h.takeIn = f.TakeIn
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	h.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			require.NoError(h.t, err)
		case <-time.After(patience):
			require.FailNow(h.t, "the foreign subjects do not end")
		}
	})
	h.t.Cleanup(h.stop)
}

func (h *house) events() []event.Envelope {
	h.t.Helper()
	events, _, err := h.log.Read(context.Background(), 0, 0, 1000)
	require.NoError(h.t, err)
	return events
}

// has waits until the log has n events and returns them.
func (h *house) has(n int) []event.Envelope {
	h.t.Helper()
	until(h.t, fmt.Sprintf("the log has %d events", n), func() bool { return len(h.events()) >= n })
	events := h.events()
	require.Len(h.t, events, n)
	return events
}

// dead waits until there are n letters of refused messages and returns them, oldest first.
func (h *house) dead(n int) []deadletter.Letter {
	h.t.Helper()
	var letters []deadletter.Letter
	until(h.t, fmt.Sprintf("%d dead letters", n), func() bool {
		var err error
		letters, _, err = h.log.DeadLetters(context.Background(), deadletter.Filter{Tenant: "acme", Set: natsbus.SetForeign})
		require.NoError(h.t, err)
		return len(letters) >= n
	})
	require.Len(h.t, letters, n)
	slices.Reverse(letters)
	return letters
}

func (h *house) stream(name string, subjects ...string) jetstream.JetStream {
	h.t.Helper()
	js := jetStream(h.t, h.server.Connect(h.t))
	_, err := js.CreateStream(h.t.Context(), jetstream.StreamConfig{Name: name, Subjects: subjects})
	require.NoError(h.t, err)
	return js
}

func order(n int) string { return fmt.Sprintf(`{"n":%d}`, n) }

func TestForeignEventsOfAStream(t *testing.T) {
	t.Parallel()
	h := newHouse(t, natsbus.ForeignConfig{
		Subject: "orders.>", Tenant: "acme", Type: "order.paid", FromStart: true,
		Types: map[string]string{"com.example.Paid": "order.paid"},
	})
	js := h.stream("ORDERS", "orders.>")
	send := func(subject, data string, header ...string) {
		_, err := js.PublishMsg(t.Context(), natsMessage(subject, data, header...))
		require.NoError(t, err)
	}
	binary := func(id, typ string) []string {
		return []string{
			"ce-specversion", "1.0", "ce-id", id, "ce-type", typ, "ce-source", "shop%20one", "ce-time", "2026-01-02T03:04:05.5Z",
			"ce-subject", "order/1", "ce-partitionkey", "k", "ce-correlationid", "c", "ce-tenantid", "evil", "ce-datacontenttype", "application/json",
		}
	}
	structured := func(id string, data any) string {
		text, err := json.Marshal(map[string]any{
			"specversion": "1.0", "id": id, "type": "order.paid", "source": "shop", "tenantid": "evil", "schemaversion": 1, "data": data,
		})
		require.NoError(t, err)
		return string(text)
	}
	send("orders.1", order(1), binary("one", "com.example.Paid")...)
	send("orders.1", order(1), binary("one", "com.example.Paid")...) // the same once more
	h.run()
	send("orders.2", structured("two", paid{2}), "content-type", "application/cloudevents+json; charset=utf-8")
	send("orders.2", structured("three", paid{3}))
	send("orders.3", order(4), "Nats-Msg-Id", "four")
	send("orders.3", order(5))
	// What is refused holds up nobody.
	send("orders.x", "rubbish")
	send("orders.x", order(1), binary("a", "com.example.Unknown")...)
	send("orders.x", order(1), binary("", "order.paid")...)
	send("orders.x", "[]", "content-type", "application/cloudevents-batch+json")
	send("orders.x", "<n/>", append(binary("b", "order.paid")[:18], "ce-datacontenttype", "text/xml")...)
	send("orders.x", structured("c", "no object"))
	send("orders.6", order(6), binary("six", "order.paid")...)

	events := h.has(6)
	for i, e := range events {
		require.Equal(t, "acme", e.Tenant)
		require.Equal(t, "order.paid", e.Type)
		require.JSONEq(t, order(i+1), string(e.Data))
	}
	require.Equal(t, []string{"one", "two", "three", "four"}, []string{events[0].ID, events[1].ID, events[2].ID, events[3].ID})
	require.Regexp(t, `^ORDERS\.6\.\d+$`, events[4].ID)
	require.Equal(t, "shop one", events[0].Source)
	require.Equal(t, []string{"order/1", "k", "c"}, []string{events[0].Subject, events[0].PartitionKey, events[0].CorrelationID})
	require.Equal(t, time.Date(2026, 1, 2, 3, 4, 5, 500_000_000, time.UTC), events[0].Time)
	require.Equal(t, "nats:orders.3", events[3].Source)
	for i, l := range h.dead(6) {
		want := []string{"not valid JSON", "com.example.Unknown", "has no id", "not understood", "text/xml, not JSON", "object"}[i]
		require.Contains(t, l.Reason, want)
		require.Equal(t, "orders.x", l.Event.Subject)
	}

	// All is answered: another run brings nothing of it again.
	h.stop()
	calls := h.door.called()
	h.run()
	send("orders.7", order(7), binary("seven", "order.paid")...)
	h.has(7)
	require.Equal(t, calls+1, h.door.called())
	h.dead(6)
}

// What the log refused can be taken in later, when it knows the type; refused again it stays.
func TestForeignMessagesAreRetried(t *testing.T) {
	t.Parallel()
	h := newHouse(t, natsbus.ForeignConfig{Subject: "orders.>", Tenant: "acme", FromStart: true})
	js := h.stream("ORDERS", "orders.>")
	_, err := js.PublishMsg(t.Context(), natsMessage("orders.a", order(1), "ce-specversion", "1.0", "ce-id", "one", "ce-type", "shop.paid", "ce-source", "shop"))
	require.NoError(t, err)
	_, err = js.PublishMsg(t.Context(), natsMessage("orders.a", order(2)))
	require.NoError(t, err)
	_, err = js.PublishMsg(t.Context(), natsMessage("orders.a", `"`+strings.Repeat("x", event.MaxData)+`"`, "ce-specversion", "1.0", "ce-id", "big", "ce-type", "order.paid", "ce-source", "shop"))
	require.NoError(t, err)
	h.run()
	letters := h.dead(3)
	require.Contains(t, letters[0].Reason, "shop.paid")
	require.Contains(t, letters[1].Reason, "no type is configured")
	require.Contains(t, letters[2].Reason, "262144")
	desk := deadletter.Desk{Store: h.log, Strays: h.log, TakeIn: map[string]deadletter.TakeIn{natsbus.SetForeign: h.takeIn}}
	err = desk.RetryDeadLetter(t.Context(), "acme", letters[0].ID(), "ann")
	require.Equal(t, domain.Conflict, domain.KindOf(err))
	require.ErrorContains(t, err, "shop.paid")
	require.Equal(t, 2, h.dead(3)[0].Attempts)

	h.stop()
	h.cfg.Foreign[0].Types = map[string]string{"shop.paid": "order.paid"}
	h.cfg.Foreign[0].Type = "order.paid"
	h.run()
	desk.TakeIn[natsbus.SetForeign] = h.takeIn
	require.NoError(t, desk.RetryDeadLetter(t.Context(), "acme", letters[0].ID(), "ann"))
	require.NoError(t, desk.RetryDeadLetter(t.Context(), "acme", letters[1].ID(), "ann"))
	require.ErrorContains(t, desk.RetryDeadLetter(t.Context(), "acme", letters[2].ID(), "ann"), "262144")
	events := h.has(2)
	require.Equal(t, "one", events[0].ID)
	require.Regexp(t, `^ORDERS\.2\.\d+$`, events[1].ID)
	require.Equal(t, letters[2].ID(), h.dead(1)[0].ID())
}

// No message is given up before its letter is on disk.
func TestForeignMessagesWaitForTheirLetter(t *testing.T) {
	t.Parallel()
	h := newHouse(t, natsbus.ForeignConfig{Subject: "orders.>", Tenant: "acme"}, natsbus.ForeignConfig{Subject: "core.>", Tenant: "acme"})
	graves := &graves{}
	graves.shut(errors.New("the disk is full"))
	h.letters = graves
	js := h.stream("ORDERS", "orders.>")
	h.cfg.Foreign[0].FromStart = true
	_, err := js.Publish(t.Context(), "orders.a", []byte("rubbish"))
	require.NoError(t, err)
	h.run()
	until(t, "it comes again", func() bool { return graves.refused() >= 2 })
	h.stop()
	h.run() // another process
	conn := h.server.Connect(t)
	before := graves.refused()
	until(t, "core NATS is listened to", func() bool {
		require.NoError(t, conn.Publish("core.a", []byte("rubbish")))
		require.NoError(t, conn.Flush())
		return graves.refused() >= before+20
	})
	graves.shut(nil)
	until(t, "letters of both", func() bool {
		subjects := map[string]int{}
		for _, s := range graves.all() {
			subjects[s.Message.Subject]++
		}
		return subjects["orders.a"] == 1 && subjects["core.a"] >= 1
	})
}

func TestForeignEventsWaitForTheLog(t *testing.T) {
	t.Parallel()
	h := newHouse(t, natsbus.ForeignConfig{Subject: "orders.*", Tenant: "acme", Type: "order.paid", Source: "shop", Stream: "ORDERS", FromStart: true})
	h.run() // before its stream is there
	js := h.stream("ORDERS", "orders.*")
	h.door.set(domain.Errorf(domain.Unavailable, "DOWN", "the log is down"))
	for n := 1; n <= 100; n++ {
		_, err := js.Publish(t.Context(), "orders.a", []byte(order(n)))
		require.NoError(t, err)
	}
	until(t, "it is tried", func() bool { return h.door.called() >= 2 })
	h.stop()
	require.Empty(t, h.events())
	h.run()
	h.door.set(nil)
	events := h.has(100)
	seen := map[string]bool{}
	for _, e := range events {
		require.Equal(t, "shop", e.Source)
		seen[string(e.Data)] = true
	}
	require.Len(t, seen, 100)
	h.dead(0)
	// The first goes back at a stop and may come after others; what follows is in order.
	for n := 101; n <= 150; n++ {
		_, err := js.Publish(t.Context(), "orders.a", []byte(order(n)))
		require.NoError(t, err)
	}
	for i, e := range h.has(150)[100:] {
		require.JSONEq(t, order(101+i), string(e.Data))
	}
}

func TestForeignEventsOfCoreNATS(t *testing.T) {
	t.Parallel()
	h := newHouse(t, natsbus.ForeignConfig{Subject: "orders.*", Tenant: "acme", TypePrefix: "order."})
	h.run()
	second := *h // shares the log; each message goes to one of the two
	second.run()
	conn := h.server.Connect(t)
	sent := 0
	until(t, "they listen", func() bool {
		sent++
		id := strconv.Itoa(sent)
		require.NoError(t, conn.PublishMsg(natsMessage("orders.a", order(sent), "ce-specversion", "1.0", "ce-id", id, "ce-type", "paid", "ce-source", "shop")))
		require.NoError(t, conn.Flush())
		return len(h.events()) >= 10
	})
	require.NoError(t, conn.Publish("orders.a", []byte(order(1))))
	require.Contains(t, h.dead(1)[0].Reason, "no type is configured")
	h.stop()
	second.stop()
	counts := map[string]int{}
	for _, e := range h.events() {
		counts[e.ID]++
		require.Equal(t, "order.paid", e.Type)
	}
	require.Equal(t, len(h.events()), len(counts))
	require.LessOrEqual(t, h.door.called(), sent, "each comes to one process")
}
