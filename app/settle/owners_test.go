package settle_test

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/bus/bustest/memory"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/app/settle"
	"github.com/leat-dev/leat/app/settle/settletest"
)

// The store of these tests says of owners what the real ones say.
func TestMemoryOwners(t *testing.T) {
	t.Parallel()
	settletest.RunOwners(t, func(_ *testing.T, clock clockwork.Clock) settle.Store { return memory.New(clock) })
}

type renamed struct{}

func (renamed) EventType() string { return "thing.renamed" }

// lines collects what is logged.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// count tells how many lines hold the text.
func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), text)
}

// version is another process beside the bundle's: it has the same store and handles more. Its set is
// made known, as the start of a process does.
type version struct {
	*bundle
	said *lines
}

func (b *bundle) version(owner string, lanes int, more ...handler.Option) version {
	b.t.Helper()
	v := version{said: &lines{}}
	v.bundle = &bundle{
		t: b.t, clock: b.clock, store: b.store, bus: &hand{messages: make(chan *message.Message)}, cfg: b.cfg, lanes: lanes, log: v.said,
	}
	v.cfg.Owner = owner
	catalogue, err := event.NewCatalogue(event.Definitions{event.Define[made](event.Business), event.Define[renamed](event.Business)})
	require.NoError(b.t, err)
	reactions := append([]handler.Option{handler.On(func(context.Context, made) error { return nil })}, more...)
	v.set, err = handler.NewSet("one", reactions...).Bind(catalogue)
	require.NoError(b.t, err)
	require.NoError(b.t, v.store.Register(context.Background(), settle.Registration{Set: "one", Types: v.set.Types()}))
	return v
}

func knowsRenamed() handler.Option {
	return handler.On(func(context.Context, renamed) error { return nil })
}

// until lets time pass until is is true.
func (b *bundle) until(what string, is func() bool) {
	b.t.Helper()
	for range 4000 {
		if is() {
			return
		}
		<-time.After(5 * time.Millisecond)
		b.clock.Advance(time.Second)
	}
	b.t.Fatal("waited too long: " + what)
}

func (b *bundle) types(types ...string) []event.Envelope {
	var events []event.Envelope
	for _, typ := range types {
		events = append(events, event.Envelope{ID: "e", Type: typ, SchemaVersion: 1, Tenant: "t", PartitionKey: "a"})
	}
	return b.store.Append(events...)
}

// by returns who has settled what.
func (b *bundle) by() (owners []string, positions []int64) {
	for _, w := range b.store.Works() {
		owners, positions = append(owners, w.Lease.Owner), append(positions, w.Event.Position)
	}
	return owners, positions
}

const (
	standsBy  = "handled by another version"
	otherSize = "worked with another number of lanes"
	forgotten = "the handler set was forgotten"
	goesOn    = "no longer stands by"
	died      = "owner died"
)

// A process that knows fewer types stands by and says so once; when they are forgotten it goes on.
func TestGroupStandsBy(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b := setup(t).version("old", 1)
	require.NoError(t, b.store.Register(ctx, settle.Registration{Set: "one", Types: []string{"thing.renamed", "thing.lost"}}))
	b.append("a")
	b.start("group")
	b.until("it says so", func() bool { return b.said.count(standsBy) == 1 })
	require.Equal(t, 1, b.said.count("leat handlers forget one --type thing.lost --type thing.renamed"))
	looks := b.store.Claims()
	b.until("it has looked again", func() bool { return b.store.Claims() > looks+3 })
	require.Equal(t, 1, b.said.count(standsBy), "once is enough")

	_, err := b.store.Forget(ctx, "one", "thing.lost")
	require.NoError(t, err)
	b.until("it says what has changed", func() bool { return b.said.count(standsBy) == 2 })
	require.Equal(t, 1, b.said.count("forget one --type thing.renamed"))
	require.Empty(t, b.store.Works())

	// It hears of it at once: no time passes.
	_, err = b.store.Forget(ctx, "one", "thing.renamed")
	require.NoError(t, err)
	b.handle(b.next())
	require.Equal(t, 1, b.said.count(goesOn))
	require.Equal(t, 2, b.said.count(standsBy))
}

// A new version comes while the old one has an event in hand: the old one commits nothing more and
// stands by, and the new one does that event, and those of the new type that come after it.
func TestNewVersionFencesTheOldOne(t *testing.T) {
	t.Parallel()
	old := setup(t).version("old", 1)
	old.begin()
	first := old.types("thing.made", "thing.renamed", "thing.made")[0]
	old.send(first)
	m := old.next()
	require.Equal(t, first.Position, position(m))

	young := old.version("young", 1, knowsRenamed())
	require.ErrorIs(t, settle.AttemptFrom(m.Context()).Handled(context.Background(), nil), settle.ErrFenced)
	m.Nack()
	old.until("the old one stands by", func() bool { return old.said.count(standsBy) == 1 })
	young.start("group")
	for p := int64(2); p <= 4; p++ {
		m := young.eventually()
		require.Equal(t, p, position(m))
		young.handle(m)
	}
	owners, positions := old.by()
	require.Equal(t, []string{"old", "young", "young", "young"}, owners)
	require.Equal(t, []int64{1, 2, 3, 4}, positions)
	require.Zero(t, young.said.count(died), "nobody has died")
	require.Zero(t, young.said.count(standsBy))
	require.Equal(t, 1, old.said.count(standsBy))
}

// A process with another number of lanes waits until nobody works by the old one.
func TestOtherNumberOfLanes(t *testing.T) {
	t.Parallel()
	old := setup(t).version("old", 2)
	old.append("a", "b", "c", "d")
	old.start("group")
	for range 4 {
		old.handle(old.next())
	}
	young := old.version("young", 3)
	young.start("group")
	young.until("it says that it waits", func() bool { return young.said.count(otherSize) == 1 })
	looks := old.store.Claims()
	young.until("it has looked again", func() bool { return old.store.Claims() > looks+3 })
	require.Equal(t, 1, young.said.count(otherSize))

	// The old one works on, and ends.
	old.append("e")
	old.handle(old.eventually())
	old.append("f", "g", "h")
	old.cancel()
	for m := range old.out {
		m.Nack()
	}
	settled := len(old.store.Works())
	for range 8 - settled {
		young.handle(young.eventually())
	}
	owners, positions := young.by()
	slices.Sort(positions)
	require.Equal(t, []int64{1, 2, 3, 4, 5, 6, 7, 8}, positions)
	require.Equal(t, "young", owners[7])
	require.Equal(t, 1, young.said.count(goesOn))
	require.Zero(t, young.said.count(died))
	require.Zero(t, old.said.count(otherSize))
}

// A set that is forgotten while a process stands by leaves that process where it is.
func TestForgottenWhileStandingBy(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b := setup(t).version("old", 2)
	require.NoError(t, b.store.Register(ctx, settle.Registration{Set: "one", Types: []string{"thing.renamed"}}))
	b.append("a")
	b.start("group")
	b.until("it stands by", func() bool { return b.said.count(standsBy) == 1 })
	_, err := b.store.Forget(ctx, "one")
	require.NoError(t, err)
	b.until("it says so", func() bool { return b.said.count(forgotten) == 1 })
	looks := b.store.Claims()
	b.until("it has looked again", func() bool { return b.store.Claims() > looks+3 })
	require.Equal(t, 1, b.said.count(forgotten))
	require.NoError(t, b.store.Register(ctx, settle.Registration{Set: "one", Types: b.set.Types()}))
	b.handle(b.eventually())
}

// The answer to the commit of another attempt is lost: the lane finds that nothing is parked any more.
func TestLostAnswerToAnAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t).version("me", 1)
	b.begin()
	var lost atomic.Bool
	b.store.OnSettle = func(w settle.Work) error {
		if w.First || lost.Swap(true) {
			return nil
		}
		require.NoError(t, b.store.Settle(context.Background(), w))
		return errTest
	}
	events := b.append("a", "a")
	b.send(events[0])
	m := b.next()
	require.NoError(t, settle.AttemptFrom(m.Context()).Park(context.Background(), time.Time{}, "no luck", true))
	m.Ack()
	effects := 0
	handle := func(m *message.Message) error {
		defer m.Nack()
		return settle.AttemptFrom(m.Context()).Handled(context.Background(), func(context.Context) error {
			effects++
			return nil
		})
	}
	require.ErrorIs(t, handle(b.eventually()), errTest)
	again := b.eventually()
	require.Equal(t, int64(2), position(again))
	require.ErrorIs(t, handle(again), settle.ErrSettled)
	b.send(events[1])
	next := b.eventually()
	require.Equal(t, int64(3), position(next), "its key is free")
	b.handle(next)
	require.Equal(t, 1, effects)
	require.Zero(t, b.said.count("stopped working a lane"), "it keeps its lane")
}

// The answer to a commit is lost: the lane finds that the event is settled, and goes on behind it.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	b := setup(t).version("me", 1)
	b.begin()
	var lost atomic.Bool
	b.store.OnSettle = func(w settle.Work) error {
		if w.Event.Position != 2 || lost.Swap(true) {
			return nil
		}
		require.NoError(t, b.store.Settle(context.Background(), w))
		return errTest
	}
	events := b.append("a", "a")
	sent := []*message.Message{b.send(events[0]), b.send(events[1])}
	effects := 0
	handle := func(m *message.Message) error {
		defer m.Nack()
		err := settle.AttemptFrom(m.Context()).Handled(context.Background(), func(context.Context) error {
			effects++
			return nil
		})
		if err == nil {
			m.Ack()
		}
		return err
	}
	require.ErrorIs(t, handle(b.next()), errTest)
	again := b.eventually()
	require.Equal(t, int64(2), position(again))
	require.ErrorIs(t, handle(again), settle.ErrSettled)
	next := b.eventually()
	require.Equal(t, int64(3), position(next))
	require.NoError(t, handle(next))
	for _, m := range sent {
		b.wait(m.Acked(), "the ack")
	}
	_, positions := b.by()
	require.Equal(t, []int64{1, 2, 3}, positions)
	require.Equal(t, 2, effects, "of the second and the third event, once each")
	require.Equal(t, 1, b.said.count("settled already"))
	require.Zero(t, b.said.count("stopped working a lane"), "it keeps its lane")
}
