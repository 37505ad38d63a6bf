package natsbus_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/natsbus"
	"github.com/leat-dev/leat/adapters/natsbus/natstest"
	"github.com/leat-dev/leat/app/bus"
	"github.com/leat-dev/leat/domain"
)

func TestAServerThatIsNotThere(t *testing.T) {
	t.Parallel()
	server := natstest.NewServer(t, natstest.Options{})
	cfg := natsbus.Config{URL: server.URL(), User: "leat", Password: "secret-word", StartWait: 300 * time.Millisecond}
	err := refused(t, cfg)
	require.Equal(t, domain.Unavailable, domain.KindOf(err))
	require.ErrorContains(t, err, "the NATS server at "+server.URL()+" does not answer")
	require.NotContains(t, err.Error(), "secret-word")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, logger := newLogs(t)
	cfg.StartWait = time.Hour
	_, err = natsbus.Open(ctx, cfg, natsbus.Hooks{}, logger)
	require.ErrorIs(t, err, context.Canceled)
}

func TestAServerThatComesLate(t *testing.T) {
	t.Parallel()
	server := natstest.NewServer(t, natstest.Options{})
	_, logger := newLogs(t)
	opened := make(chan error, 1)
	var b *natsbus.Bus
	go func() {
		var err error
		b, err = natsbus.Open(t.Context(), quick(natsbus.Config{URL: server.URL(), StartWait: patience}), natsbus.Hooks{}, logger)
		opened <- err
	}()
	server.Start()
	require.NoError(t, <-opened)
	require.NoError(t, b.Check(t.Context()))
	require.NoError(t, b.Close())
}

func TestWrongCredentials(t *testing.T) {
	t.Parallel()
	server := natstest.StartServer(t, natstest.Options{User: "leat", Password: "right"})
	begin := time.Now()
	for _, cfg := range []natsbus.Config{{User: "leat", Password: "wrong-word"}, {Token: "wrong-word"}, {}} {
		cfg.URL, cfg.StartWait = server.URL(), time.Hour
		err := refused(t, cfg)
		require.Equal(t, domain.Forbidden, domain.KindOf(err))
		require.ErrorContains(t, err, "the NATS server at "+server.URL()+" refuses the log-in")
		require.NotContains(t, err.Error(), "wrong-word")
	}
	require.Less(t, time.Since(begin), patience, "at once")
	open(t, natsbus.Config{URL: server.URL(), User: "leat", Password: "right"})

	token := natstest.StartServer(t, natstest.Options{Token: "right"})
	open(t, natsbus.Config{URL: token.URL(), Token: "right"})
}

func TestTheConnectionIsTakenUpAgain(t *testing.T) {
	t.Parallel()
	server := natstest.StartServer(t, natstest.Options{})
	b, l := open(t, natsbus.Config{URL: server.URL()})
	r := read(t, b, seat{Set: "audit", Lanes: 1})
	feed := read(t, b, seat{Set: "feed", EveryInstance: true})
	c := &chain{}
	for range 3 {
		require.NoError(t, b.Publish(t.Context(), c.next(1, keys(1))))
		r.from(c.last, 1)
		feed.from(c.last, 1)
		server.Kill()
		until(t, "the loss is noticed", func() bool { return !b.Connected() })
		require.Equal(t, domain.Unavailable, domain.KindOf(b.Check(t.Context())))
		err := b.Publish(t.Context(), (&chain{last: 1000}).next(1, keys(1)))
		require.Equal(t, domain.Unavailable, domain.KindOf(err))
		server.Start()
		until(t, "the connection is up", func() bool { return b.Connected() && b.Check(t.Context()) == nil })
		entries := c.next(1, keys(1))
		// Everybody gets something new at some time; what came before may have come to the log only.
		for _, r := range []*reader{r, feed} {
			delivered(t, b, r, entries[0])
		}
	}
	require.Contains(t, l.String(), "level=WARN msg=\"the connection to NATS is down")
	require.Contains(t, l.String(), "level=INFO msg=\"the connection to NATS is up again\"")
}

// delivered publishes an entry again and again until the reader gets it. More of it may come.
func delivered(t *testing.T, b *natsbus.Bus, r *reader, e bus.Entry) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case m := <-r.out:
			got, err := bus.Decode(m)
			require.NoError(t, err)
			m.Ack()
			if got.Position == e.Position {
				return
			}
		case <-tick.C:
			if err := b.Publish(t.Context(), []bus.Entry{e}); err != nil {
				require.Equal(t, domain.Unavailable, domain.KindOf(err))
			}
		case <-deadline:
			require.FailNow(t, "nothing is delivered")
		}
	}
}

func TestAWordThatIsChanged(t *testing.T) {
	t.Parallel()
	server := natstest.StartServer(t, natstest.Options{User: "leat", Password: "one"})
	b, _ := open(t, natsbus.Config{URL: server.URL(), User: "leat", Password: "one"})
	server.Kill()
	server.Set(func(o *natstest.Options) { o.Password = "two" })
	server.Start()
	require.Never(t, b.Connected, time.Second, 50*time.Millisecond)
	server.Kill()
	server.Set(func(o *natstest.Options) { o.Password = "one" })
	server.Start()
	until(t, "the connection is up", b.Connected)
}
