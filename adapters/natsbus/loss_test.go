package natsbus_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/natsbus"
	"github.com/leat-dev/leat/adapters/natsbus/natstest"
)

// TestLoss takes away the stream in every way and shows that bus, lanes and live sets go on by
// themselves.
func TestLoss(t *testing.T) {
	t.Parallel()
	losses := map[string]func(t *testing.T, server *natstest.Server){
		"the stream is deleted": func(t *testing.T, server *natstest.Server) {
			require.NoError(t, jetStream(t, server.Connect(t)).DeleteStream(t.Context(), natsbus.Stream))
		},
		"the consumers are deleted": func(t *testing.T, server *natstest.Server) {
			js := jetStream(t, server.Connect(t))
			stream, err := js.Stream(t.Context(), natsbus.Stream)
			require.NoError(t, err)
			for name := range stream.ConsumerNames(t.Context()).Name() {
				require.NoError(t, stream.DeleteConsumer(t.Context(), name))
			}
		},
		"the server is wiped": func(_ *testing.T, server *natstest.Server) {
			server.Kill()
			server.Wipe()
			server.Start()
		},
	}
	for name, lose := range losses {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := natstest.StartServer(t, natstest.Options{})
			b, _ := open(t, natsbus.Config{URL: server.URL()})
			r := read(t, b, seat{Set: "audit", Lane: 0, Lanes: 1})
			idle := read(t, b, seat{Set: "notify", Lane: 0, Lanes: 1})
			feed := read(t, b, seat{Set: "feed", EveryInstance: true})
			c := &chain{}
			require.NoError(t, b.Publish(t.Context(), c.next(200, keys(9))))
			r.take(100) // and some are in hand
			feed.take(200)
			for range 2 {
				lose(t, server)
				entries := c.next(1, keys(1))
				for _, r := range []*reader{r, idle, feed} {
					delivered(t, b, r, entries[0])
				}
				until(t, "the bus is well", func() bool { return b.Check(t.Context()) == nil })
				// And in the usual way again.
				require.NoError(t, b.Publish(t.Context(), c.next(50, keys(3))))
				for _, r := range []*reader{r, idle, feed} {
					require.Equal(t, numbers(c.last-49, c.last), r.from(c.last-49, 50))
				}
			}
		})
	}
}
