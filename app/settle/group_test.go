package settle_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leat-dev/leat/app/bus"
	"github.com/leat-dev/leat/app/bus/bustest/memory"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/app/settle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errTest = errors.New("no luck")

type made struct{}

func (made) EventType() string { return "thing.made" }

// hand is a bus whose messages the test sends.
type hand struct {
	messages chan *message.Message
	err      error
}

func (h *hand) Subscribe(context.Context, string) (<-chan *message.Message, error) {
	return h.messages, h.err
}
func (h *hand) Close() error { return nil }

// bundle is the group of the set "one", mostly with one lane, whose messages the test answers.
type bundle struct {
	t     *testing.T
	clock *clockwork.FakeClock
	store *memory.Store
	bus   *hand
	set   *handler.Bound
	cfg   settle.Config
	lanes int
	log   io.Writer

	cancel context.CancelFunc
	out    <-chan *message.Message
	given  []*message.Message
}

func setup(t *testing.T) *bundle {
	b := &bundle{t: t, clock: clockwork.NewFakeClock(), bus: &hand{messages: make(chan *message.Message)}, cfg: settle.Config{Owner: "me"}, lanes: 1, log: io.Discard}
	b.store = memory.New(b.clock)
	catalogue, err := event.NewCatalogue(event.Definitions{event.Define[made](event.Business)})
	require.NoError(t, err)
	b.set, err = handler.NewSet("one", handler.On(func(context.Context, made) error { return nil })).Bind(catalogue)
	require.NoError(t, err)
	require.NoError(t, b.store.Register(context.Background(), settle.Registration{Set: "one"}))
	return b
}

func (b *bundle) subscriber(kind string) message.Subscriber {
	policy := handler.DefaultPolicy()
	policy.Lanes = b.lanes
	logger := slog.New(slog.NewTextHandler(b.log, nil))
	if kind == "tail" {
		return settle.NewTail(b.cfg, b.set, b.store, b.bus, b.clock, logger)
	}
	return settle.NewGroup(b.cfg, b.set, policy, b.store, b.store, b.bus, b.clock, logger)
}

func (b *bundle) start(kind string) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	out, err := b.subscriber(kind).Subscribe(ctx, "one")
	require.NoError(b.t, err)
	b.out = out
	b.t.Cleanup(func() {
		cancel()
		for _, m := range b.given {
			m.Nack()
		}
		for m := range out {
			m.Nack()
		}
	})
}

// begin starts the group and brings it one event, so that its lane stands at the end of the log.
func (b *bundle) begin() {
	b.t.Helper()
	b.append("a")
	b.start("group")
	b.handle(b.next())
}

func (b *bundle) append(keys ...string) []event.Envelope {
	var events []event.Envelope
	for _, k := range keys {
		events = append(events, event.Envelope{ID: "e", Type: "thing.made", SchemaVersion: 1, Tenant: "t", PartitionKey: k})
	}
	return b.store.Append(events...)
}

// send brings an event over the bus.
func (b *bundle) send(e event.Envelope) *message.Message {
	b.t.Helper()
	m := bus.Encode(bus.Entry{Envelope: e, Prev: e.Position - 1, SlotPrev: e.Position - 1})
	select {
	case b.bus.messages <- m:
	case <-time.After(10 * time.Second):
		b.t.Fatal("the group does not take from the bus")
	}
	return m
}

// next returns the message that the set's handler gets.
func (b *bundle) next() *message.Message {
	b.t.Helper()
	select {
	case m, open := <-b.out:
		require.True(b.t, open)
		b.given = append(b.given, m)
		return m
	case <-time.After(10 * time.Second):
		b.t.Fatal("no message came")
		return nil
	}
}

// eventually is next while time passes.
func (b *bundle) eventually() *message.Message {
	b.t.Helper()
	for range 1000 {
		select {
		case m := <-b.out:
			b.given = append(b.given, m)
			return m
		case <-time.After(5 * time.Millisecond):
			b.clock.Advance(time.Second)
		}
	}
	b.t.Fatal("no message came")
	return nil
}

func (b *bundle) handle(m *message.Message) {
	b.t.Helper()
	require.NoError(b.t, settle.AttemptFrom(m.Context()).Handled(context.Background(), nil))
	m.Ack()
}

func (b *bundle) wait(c <-chan struct{}, what string) {
	b.t.Helper()
	select {
	case <-c:
	case <-time.After(10 * time.Second):
		b.t.Fatal("waited too long for " + what)
	}
}

// position is the place of the event in a message.
func position(m *message.Message) int64 { return settle.AttemptFrom(m.Context()).Event.Position }

func acked(m *message.Message) bool {
	select {
	case <-m.Acked():
		return true
	default:
		return false
	}
}

func TestGroupSubscribeFails(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.bus.err = errTest
	for _, kind := range []string{"group", "tail"} {
		_, err := b.subscriber(kind).Subscribe(context.Background(), "one")
		require.ErrorIs(t, err, errTest)
		require.ErrorContains(t, err, "one")
	}
	b.bus.err = nil
	b.store.OnRead = func() error { return errTest }
	_, err := b.subscriber("tail").Subscribe(context.Background(), "one")
	require.ErrorIs(t, err, errTest)
}

func TestGroupAcks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.begin()
	one, two := b.send(b.append("a")[0]), b.send(b.append("a")[0])
	m := b.next()
	require.Equal(t, int64(2), position(m))
	require.False(t, acked(one))
	b.handle(m)
	b.wait(one.Acked(), "the ack")
	require.False(t, acked(two))
	m = b.next()
	require.False(t, acked(two), "not settled yet")
	b.handle(m)
	b.wait(two.Acked(), "the ack")
	repeat := bus.Encode(bus.Entry{Envelope: settle.AttemptFrom(m.Context()).Event})
	b.bus.messages <- repeat
	b.wait(repeat.Acked(), "the ack of a repeat")
}

// A lane that is lost gives its messages back to the log, and nothing stays with the bus for ever.
func TestGroupLosesALane(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.begin()
	first := b.send(b.append("a")[0])
	m := b.next()
	left := []*message.Message{b.send(b.append("a")[0]), b.send(b.append("a")[0])}
	rubbish := message.NewMessage("rubbish", nil)
	b.bus.messages <- rubbish
	b.wait(rubbish.Acked(), "all to be dealt")
	other := b.store.Steal("one", 0, "other")
	require.ErrorIs(t, settle.AttemptFrom(m.Context()).Handled(context.Background(), nil), settle.ErrFenced)
	m.Nack()
	for _, m := range append(left, first) {
		b.wait(m.Acked(), "the ack: the log has them for the next owner")
	}
	require.NoError(t, b.store.Release(context.Background(), other))
	for p := int64(2); p <= 4; p++ {
		m := b.eventually()
		require.Equal(t, p, position(m))
		b.handle(m)
	}
}

// A process that stops acks nothing that is not settled.
func TestGroupStops(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.begin()
	events := b.append("a", "a", "a")
	messages := []*message.Message{b.send(events[0]), b.send(events[1]), b.send(events[2])}
	m := b.next()
	b.cancel()
	b.handle(m)
	for range b.out {
		t.Fatal("nothing more is given")
	}
	require.True(t, acked(messages[0]))
	require.False(t, acked(messages[1]))
	require.False(t, acked(messages[2]))
	require.Len(t, b.store.Works(), 2)
}

func TestGroupUnsettledComesAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.begin()
	b.send(b.append("a")[0])
	for range 5 {
		m := b.next()
		a := settle.AttemptFrom(m.Context())
		require.Equal(t, 1, a.Number)
		require.Equal(t, settle.Unsettled, a.Outcome())
		require.Equal(t, handler.Delivery{Set: "one", Attempt: 1}, handler.DeliveryFrom(m.Context()))
		m.Nack()
		require.NoError(t, b.clock.BlockUntilContext(context.Background(), 4))
		b.clock.Advance(10 * time.Second)
	}
	b.handle(b.next())
}

// A slot belongs to one lane: each event is given once, and those of a key in their order.
func TestGroupGivesASlotToOneLane(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.lanes = 8
	const keys, n = 64, 2
	for range n {
		for k := range keys {
			b.append(fmt.Sprint("key", k))
		}
	}
	b.start("group")
	var inHand []*message.Message
	for range b.lanes {
		inHand = append(inHand, b.next())
	}
	last := map[string]int64{}
	for i := range n * keys {
		if i >= len(inHand) { // the first of all lanes were in hand at once
			inHand = append(inHand, b.next())
		}
		m := inHand[i]
		key := settle.AttemptFrom(m.Context()).Event.PartitionKey
		require.Greater(t, position(m), last[key], "the one after event %d of %s", last[key], key)
		last[key] = position(m)
		b.handle(m)
	}
	require.Len(t, b.store.Works(), n*keys)
}

// A lane that is interrupted in the middle of a page goes on there, and not behind the page.
func TestGroupIsInterrupted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	paused := &heard{words: "handler set paused", said: make(chan struct{})}
	b.log = paused
	b.append("a", "a", "a")
	b.start("group")
	m := b.next()
	require.NoError(t, b.store.SetPaused(context.Background(), "one", true))
	b.wait(paused.said, "the pause")
	b.handle(m)
	require.NoError(t, b.store.SetPaused(context.Background(), "one", false))
	for p := int64(2); p <= 3; p++ {
		m := b.next()
		require.Equal(t, p, position(m))
		b.handle(m)
	}
}

// heard is a log that tells when some words are said.
type heard struct {
	words string
	once  sync.Once
	said  chan struct{}
}

func (h *heard) Write(line []byte) (int, error) {
	if strings.Contains(string(line), h.words) {
		h.once.Do(func() { close(h.said) })
	}
	return len(line), nil
}

// The log cannot be read for a while: the lane rests and goes on.
func TestGroupLogFails(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var failing atomic.Bool
	failing.Store(true)
	b.store.OnRead = func() error {
		if failing.Load() {
			return errTest
		}
		return nil
	}
	b.append("a", "a")
	b.start("group")
	require.NoError(t, b.clock.BlockUntilContext(context.Background(), 4)) // poll, renew, flush, rest
	failing.Store(false)
	b.clock.Advance(time.Second)
	b.handle(b.next())
	b.handle(b.next())
}

// More than the inbox holds is read from the log; it is acked at once, and nothing waits for the lane.
func TestGroupInboxIsBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cfg.Inbox = 3
	b.begin()
	b.send(b.append("a")[0])
	m := b.next()
	var sent []*message.Message
	for range 10 {
		sent = append(sent, b.send(b.append("a")[0]))
	}
	for i, m := range sent {
		if i >= 3 {
			b.wait(m.Acked(), "the ack of what did not fit")
		} else {
			require.False(t, acked(m))
		}
	}
	b.handle(m)
	for p := int64(3); p <= 12; p++ {
		m := b.next()
		require.Equal(t, p, position(m))
		b.handle(m)
	}
	for _, m := range sent {
		b.wait(m.Acked(), "the ack")
	}
}

// The bus ends its subscription, against its contract: polling goes on.
func TestBusEnds(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"group", "tail"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.start(kind)
			e := b.append("a")[0]
			b.send(e)
			if m := b.next(); kind == "group" {
				b.handle(m)
			} else {
				m.Ack()
			}
			close(b.bus.messages)
			b.append("a")
			require.NoError(t, b.clock.BlockUntilContext(context.Background(), 1))
			b.clock.Advance(time.Second)
			b.next().Nack()
		})
	}
}

// Idle slots move along with what the bus has told, so that a later gap is not read from afar.
func TestGroupReadsNoMoreThanTheGap(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cfg.Page = 10
	looked := make(chan struct{}, 1)
	b.store.OnRead = func() error {
		select {
		case looked <- struct{}{}:
		default:
		}
		return nil
	}
	b.begin()
	for i := range 200 {
		b.send(b.append("a")[0])
		b.handle(b.next())
		if i == 10 {
			require.NoError(t, b.clock.BlockUntilContext(context.Background(), 3))
			select {
			case <-looked: // as it began
			default:
			}
			b.clock.Advance(time.Second)
			b.wait(looked, "the group to look where the log ends")
		}
	}
	reads := b.store.Reads()
	b.append("a") // not told
	b.send(b.append("a")[0])
	b.handle(b.next())
	b.handle(b.next())
	require.LessOrEqual(t, b.store.Reads()-reads, 3, "reads of the log for a gap of one event")
}

// A long backlog is not worked carefully to its end because a process died at its beginning.
func TestCarefulForAWhile(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b := setup(t)
	for range 300 {
		b.append("a")
	}
	dead, ok, err := b.store.Acquire(ctx, settle.Claim{Set: "one", Lanes: 1, Types: b.set.Types(), Owner: "dead", TTL: time.Second})
	require.NoError(t, err)
	require.True(t, ok)
	require.NoError(t, b.store.NoteInHand(ctx, dead, 1, 0))
	b.clock.Advance(2 * time.Second)
	b.start("group")
	for i := range 300 {
		m := b.next()
		want := 1
		if i == 0 {
			want = 2
		}
		require.Equal(t, want, handler.DeliveryFrom(m.Context()).Attempt)
		b.handle(m)
	}
	require.Greater(t, b.store.Notes(), 100)
	require.Less(t, b.store.Notes(), 150)
}

// Whatever an error says can be stored, or its event would come again for ever.
func TestReasons(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ reason, want string }{
		"plain":         {"no luck", "no luck"},
		"zero bytes":    {"key t\x00a", "key t\uFFFDa"},
		"broken":        {"\xff!", "\uFFFD!"},
		"too long":      {strings.Repeat("x", 10_000), strings.Repeat("x", 4096) + "…"},
		"cut in a rune": {strings.Repeat("x", 4095) + "ä", strings.Repeat("x", 4095) + "\uFFFD…"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.append("a", "b")
			b.start("group")
			m := b.next()
			require.NoError(t, settle.AttemptFrom(m.Context()).Park(context.Background(), b.clock.Now(), test.reason, true))
			m.Ack()
			m = b.next()
			require.NoError(t, settle.AttemptFrom(m.Context()).Bury(context.Background(), test.reason))
			m.Ack()
			require.Equal(t, test.want, b.store.Works()[0].Park.Reason)
			require.Equal(t, test.want, b.store.Letters()[0].Reason)
		})
	}
}

func TestTail(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.append("a", "b")
	b.start("tail")
	give := func(p int64) {
		t.Helper()
		m := b.next()
		require.Nil(t, settle.AttemptFrom(m.Context()))
		e, handled := event.Handled(m.Context())
		require.True(t, handled)
		require.Equal(t, p, e.Position)
		require.Equal(t, handler.Delivery{Set: "one", Attempt: 1}, handler.DeliveryFrom(m.Context()))
		m.Nack() // a failure is not repeated
	}
	e := b.append("c", "d", "e", "f")
	sent := b.send(e[0])
	give(3)
	b.wait(sent.Acked(), "the ack")
	all := make(chan struct{})
	go func() {
		defer close(all)
		b.bus.messages <- bus.Encode(bus.Entry{Envelope: e[2], Prev: 4, SlotPrev: 4})
		b.bus.messages <- bus.Encode(bus.Entry{Envelope: e[1], Prev: 3, SlotPrev: 3})
		b.bus.messages <- message.NewMessage("rubbish", nil)
	}()
	give(4)
	give(5)
	give(6)
	b.wait(all, "the rest of the messages")
	require.NoError(t, b.clock.BlockUntilContext(context.Background(), 1))
	b.append("g")
	b.clock.Advance(time.Second)
	give(7)
}

// Who waits for an event gets it, and is told when to wait no longer.
func TestTailAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tail := b.subscriber("tail").(*settle.Tail)
	ctx, cancel := context.WithCancel(context.Background())
	out, err := tail.Subscribe(ctx, "one")
	require.NoError(t, err)
	for _, e := range b.append("a", "b", "c") {
		sent := b.send(e)
		select {
		case m := <-tail.Again():
			got, _ := event.Handled(m.Context())
			require.Equal(t, e, got)
			require.False(t, acked(sent))
			m.Ack()
		case <-time.After(10 * time.Second):
			t.Fatal("no message came")
		}
		b.wait(sent.Acked(), "the ack")
	}
	cancel()
	b.wait(tail.Stops(), "the end")
	_, open := <-out
	require.False(t, open)
}

// What the bus has left out before its last message is looked for at once, by every lane.
func TestGroupLooksIntoGaps(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.lanes = 8
	b.begin()
	b.send(b.append("a")[0])
	b.handle(b.next())
	var keys []string
	for i := range 50 {
		keys = append(keys, fmt.Sprint("key-", i))
	}
	events := b.append(keys...)
	b.send(events[len(events)-1])
	for range events {
		b.handle(b.next()) // although no time passes
	}
}
