package natsbus_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/natsbus"
	"github.com/leat-dev/leat/adapters/natsbus/natstest"
	"github.com/leat-dev/leat/adapters/postgres"
	"github.com/leat-dev/leat/adapters/postgres/postgrestest"
	"github.com/leat-dev/leat/adapters/sqlite"
	"github.com/leat-dev/leat/app/bus"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/app/sequence"
	"github.com/leat-dev/leat/domain"
)

// book is a log that only holds events.
type book struct {
	id     string
	events []event.Envelope
}

func (b *book) Identity(context.Context) (string, error) { return b.id, nil }

func (b *book) Bounds(context.Context) (first, last int64, err error) {
	if n := len(b.events); n > 0 {
		return b.events[0].Position, b.events[n-1].Position, nil
	}
	return 0, 0, nil
}

func (b *book) At(_ context.Context, positions ...int64) (found []event.Envelope, err error) {
	for _, e := range b.events {
		if slices.Contains(positions, e.Position) {
			found = append(found, e)
		}
	}
	return found, nil
}

// note appends what the bus is given.
func (b *book) note(entries []bus.Entry) []bus.Entry {
	for _, e := range entries {
		b.events = append(b.events, e.Envelope)
	}
	return entries
}

func openOf(t *testing.T, cfg natsbus.Config, log natsbus.Log) (*natsbus.Bus, *logs, error) {
	t.Helper()
	l, logger := newLogs(t)
	b, err := natsbus.Open(t.Context(), quick(cfg), natsbus.Hooks{Log: log}, logger)
	if err == nil {
		t.Cleanup(func() { require.NoError(t, b.Close()) })
	}
	return b, l, err
}

func TestAStreamOfAnotherLogIsRefused(t *testing.T) {
	t.Parallel()
	server := natstest.StartServer(t, natstest.Options{})
	cfg := natsbus.Config{URL: server.URL()}
	ours := &book{id: "log-1"}
	b, _, err := openOf(t, cfg, ours)
	require.NoError(t, err)
	require.NoError(t, b.Publish(t.Context(), ours.note((&chain{}).next(10, keys(3)))))

	_, _, err = openOf(t, cfg, &book{id: "log-2"})
	require.Equal(t, domain.Conflict, domain.KindOf(err))
	require.EqualError(t, err, "stream LEAT_EVENTS at "+server.URL()+" carries the events of the log log-1, and this database holds the log log-2. "+
		"Give each log its own account or server (nats.url), or, when the other log is no more, delete the stream (nats stream rm LEAT_EVENTS): every event is in its log")
	_, _, err = openOf(t, cfg, ours)
	require.NoError(t, err, "the same log again")
	require.NoError(t, b.Check(t.Context()))

	// The way out works; and the first one, when it still lives, says that it is cut off.
	require.NoError(t, jetStream(t, server.Connect(t)).DeleteStream(t.Context(), natsbus.Stream))
	_, _, err = openOf(t, cfg, &book{id: "log-2"})
	require.NoError(t, err)
	require.ErrorContains(t, b.Check(t.Context()), "carries the events of the log log-2")
}

// Two processes with different logs on one stream, as after a stream was deleted and made anew by the
// other one while both ran: no set is given an event of the other log.
func TestMessagesOfAnotherLogAreSteppedOver(t *testing.T) {
	t.Parallel()
	server := natstest.StartServer(t, natstest.Options{})
	cfg := natsbus.Config{URL: server.URL()}
	b, l, err := openOf(t, cfg, &book{id: "log-1"})
	require.NoError(t, err)
	r, live := read(t, b, seat{Set: "audit", Lanes: 1}), read(t, b, seat{Set: "feed", EveryInstance: true})
	nameless, _ := open(t, cfg)
	require.NoError(t, nameless.Publish(t.Context(), (&chain{last: 100}).next(5, keys(2))))
	require.NoError(t, b.Publish(t.Context(), (&chain{}).next(5, keys(2))))
	require.Equal(t, numbers(1, 5), r.take(5))
	require.Equal(t, numbers(1, 5), live.take(5))
	require.Contains(t, l.String(), "not of this log")
	r.stop()
	r = read(t, b, seat{Set: "audit", Lanes: 1})
	require.NoError(t, b.Publish(t.Context(), (&chain{last: 5}).next(1, keys(1))))
	require.Equal(t, []int64{6}, r.take(1), "they do not come again")
}

func TestAStreamThatIsAheadOfItsLogIsRefused(t *testing.T) {
	t.Parallel()
	server := natstest.StartServer(t, natstest.Options{})
	cfg := natsbus.Config{URL: server.URL()}
	log, c := &book{id: "log-1"}, &chain{}
	b, _, err := openOf(t, cfg, log)
	require.NoError(t, err)
	require.NoError(t, b.Publish(t.Context(), log.note(c.next(1000, keys(7)))))
	// Who takes over sends the last ones again, and may die over that.
	resent := &chain{last: 700}
	require.NoError(t, b.Publish(t.Context(), resent.next(50, keys(7))))
	conn := server.Connect(t)
	require.NoError(t, conn.PublishMsg(natsMessage("leat.events.acme.00.rubbish", "rubbish")))
	require.NoError(t, conn.Flush())
	_, _, err = openOf(t, cfg, log)
	require.NoError(t, err)

	whole := log.events
	log.events = whole[:800] // restored
	_, _, err = openOf(t, cfg, log)
	require.Equal(t, domain.Conflict, domain.KindOf(err))
	for _, want := range []string{"position 1000", `"id-1000"`, `"acme"`, "ends at 800", "restored from a backup", "nats stream backup LEAT_EVENTS", "nats stream rm LEAT_EVENTS"} {
		require.ErrorContains(t, err, want)
	}
	log.events = nil
	_, _, err = openOf(t, cfg, log)
	require.ErrorContains(t, err, "ends at 0")

	// The restored log has grown beyond the stream by itself.
	log.events = slices.Clone(whole)
	for i := 800; i < 1000; i++ {
		log.events[i].ID = fmt.Sprint("other-", i+1)
	}
	_, _, err = openOf(t, cfg, log)
	require.ErrorContains(t, err, `where the log has event "other-1000"`)

	// What is no longer kept in the log says nothing.
	log.events = append(slices.Clone(whole[:0]), event.Envelope{ID: "id-2000", Position: 2000})
	_, _, err = openOf(t, cfg, log)
	require.NoError(t, err)

	// Nothing was taken from the stream.
	stream, err := jetStream(t, conn).Stream(t.Context(), natsbus.Stream)
	require.NoError(t, err)
	require.Equal(t, uint64(1051), stream.CachedInfo().State.Msgs)
}

// A stream that nobody has marked, as an operator makes it, is marked by the first log that it fits.
func TestAStreamWithoutAnOwnerIsTaken(t *testing.T) {
	t.Parallel()
	server := natstest.StartServer(t, natstest.Options{})
	js := jetStream(t, server.Connect(t))
	cfg := natsbus.Config{URL: server.URL()}
	owner := func() (string, jetstream.StreamConfig) {
		stream, err := js.Stream(t.Context(), natsbus.Stream)
		require.NoError(t, err)
		return stream.CachedInfo().Config.Metadata["leat-log"], stream.CachedInfo().Config
	}
	log := &book{id: "log-1"}
	nameless, _ := open(t, cfg)
	require.NoError(t, nameless.Publish(t.Context(), log.note((&chain{}).next(3, keys(1)))))
	_, before := owner()

	_, _, err := openOf(t, cfg, &book{id: "log-2"})
	require.ErrorContains(t, err, "ends at 0")
	none, _ := owner()
	require.Empty(t, none)
	_, _, err = openOf(t, cfg, log)
	require.NoError(t, err)
	id, after := owner()
	require.Equal(t, "log-1", id)
	after.Metadata, before.Metadata = nil, nil
	require.Equal(t, before, after, "all else is as the operator made it")
}

// A backup of the database is put back while the embedded server keeps its data, on both stores.
func TestARestoredBackup(t *testing.T) {
	t.Parallel()
	type log interface {
		natsbus.Log
		eventlog.Appender
		sequence.Log
	}
	envelope := func(n int) event.Envelope {
		return event.Envelope{
			ID: fmt.Sprint("id-", n), Type: "build.started", SchemaVersion: 1, Kind: event.Business, Source: "test", Tenant: "acme",
			Time: time.Now().UTC(), PartitionKey: "k", CorrelationID: "c", Data: []byte(`{}`), Slot: event.SlotOf("acme", "k"),
		}
	}
	// live runs the log with a bus over the folder until all its events are in the stream.
	live := func(t *testing.T, l log, dir string, from, to int) error {
		b, _, err := openOf(t, natsbus.Config{Dir: dir}, l)
		if err != nil {
			return err
		}
		_, logger := newLogs(t)
		s := sequence.New(sequence.Config{Poll: 20 * time.Millisecond}, l, b, clockwork.NewRealClock(), logger)
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		<-s.Ready()
		for n := from; n <= to; n++ {
			_, err := l.Append(t.Context(), []event.Envelope{envelope(n)})
			require.NoError(t, err)
		}
		until(t, "the stream is fed", func() bool { return s.Position() >= int64(to) })
		cancel()
		<-ended
		return b.Close()
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		_, logger := newLogs(t)
		dir := t.TempDir()
		file, copied, broker := filepath.Join(dir, "leat.db"), filepath.Join(dir, "copy.db"), filepath.Join(dir, "nats")
		run := func(from, to int) error {
			db, err := sqlite.Open(t.Context(), sqlite.Config{Path: file}, clockwork.NewRealClock(), logger)
			require.NoError(t, err)
			defer func() { require.NoError(t, db.Close()) }()
			return live(t, db, broker, from, to)
		}
		require.NoError(t, run(1, 5))
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(copied, text, 0o600))
		require.NoError(t, run(6, 8))
		require.NoError(t, os.Rename(copied, file))
		err = run(6, 8)
		require.Equal(t, domain.Conflict, domain.KindOf(err))
		require.ErrorContains(t, err, "up to position 8")
		require.ErrorContains(t, err, "ends at 5")
		require.ErrorContains(t, err, broker)
		require.NoError(t, os.Rename(broker, broker+".saved")) // as the error says
		require.NoError(t, run(6, 8))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		_, logger := newLogs(t)
		broker := filepath.Join(t.TempDir(), "nats")
		url := postgrestest.Start(t)
		db, err := postgres.Open(t.Context(), postgres.Config{URL: url}, clockwork.NewRealClock(), logger)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		require.NoError(t, live(t, db, broker, 1, 8))
		// What a restore of an older copy leaves: the identity, and fewer events.
		require.NoError(t, db.InTx(t.Context(), func(ctx context.Context) error {
			_, err := db.SQL(ctx).Exec(ctx, "DELETE FROM leat_positions WHERE position > 5")
			return err
		}))
		err = live(t, db, broker, 9, 9)
		require.Equal(t, domain.Conflict, domain.KindOf(err))
		require.ErrorContains(t, err, "up to position 8")
		require.ErrorContains(t, err, "ends at 5")
	})
}
