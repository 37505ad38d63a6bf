package wshub_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/wshub"
	"github.com/leat-dev/leat/app/event"
)

// pipes is a network in memory, whose deadlines go by the time of the bubble that it is in.
type pipes struct {
	dialled chan net.Conn
	closed  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.dialled:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial(t *testing.T) *websocket.Conn {
	t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{wshub.Subprotocol}, NetDial: func(string, string) (net.Conn, error) {
		here, there := net.Pipe()
		p.dialled <- there
		return here, nil
	}}
	conn, response, err := dialer.Dial("ws://hub/", nil)
	require.NoError(t, err)
	_ = response.Body.Close()
	return conn
}

// bubble runs a hub on the bubble's time.
func bubble(t *testing.T, cfg wshub.Config, test func(t *testing.T, hub *wshub.Hub, log *feed, network *pipes)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		log := &feed{}
		hub := wshub.New(cfg, log, clockwork.NewRealClock(), slog.New(slog.DiscardHandler), nil)
		network := &pipes{dialled: make(chan net.Conn), closed: make(chan struct{})}
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			hub.ServeHTTP(w, r.WithContext(event.WithOrigin(r.Context(), event.Origin{Tenant: "acme"})))
		})}
		ended := make(chan error, 1)
		go func() { ended <- server.Serve(network) }()
		test(t, hub, log, network)
		require.NoError(t, hub.Close(t.Context()))
		require.NoError(t, server.Close())
		require.ErrorIs(t, <-ended, http.ErrServerClosed)
	})
}

// A client that takes nothing holds its connection for no longer than a write may take, and the hub's
// end for no longer than that and a moment for its answer.
func TestAClientThatTakesNothing(t *testing.T) {
	t.Parallel()
	bubble(t, wshub.Config{WriteTimeout: 7 * time.Second}, func(t *testing.T, hub *wshub.Hub, log *feed, network *pipes) {
		conn := network.dial(t)
		require.NoError(t, conn.WriteMessage(websocket.TextMessage, []byte(`{"op":"subscribe"}`)))
		// It reads nothing: the hello is on the way for ever.
		began := time.Now()
		say := func() error { return conn.WriteControl(websocket.PongMessage, nil, time.Now().Add(time.Minute)) }
		err := say() // the server reads until it has cut the line
		for err == nil {
			time.Sleep(time.Second)
			err = say()
		}
		require.LessOrEqual(t, time.Since(began), 9*time.Second)
		require.GreaterOrEqual(t, time.Since(began), 6*time.Second)
		require.NoError(t, conn.NetConn().Close())
	})
	bubble(t, wshub.Config{WriteTimeout: 7 * time.Second}, func(t *testing.T, hub *wshub.Hub, log *feed, network *pipes) {
		conn := network.dial(t)
		began := time.Now()
		require.NoError(t, hub.Close(t.Context()))
		require.LessOrEqual(t, time.Since(began), 16*time.Second, "a write and the goodbye")
		require.NoError(t, conn.NetConn().Close())
	})
}

// A client that answers pings stays for days; one that does not is cut after the pong timeout.
func TestPingsInADay(t *testing.T) {
	t.Parallel()
	bubble(t, wshub.Config{}, func(t *testing.T, hub *wshub.Hub, log *feed, network *pipes) {
		alive, dead := network.dial(t), network.dial(t)
		dead.SetPingHandler(func(string) error { return nil })
		cut := make(chan time.Duration, 1)
		began := time.Now()
		positions := make(chan int, 1)
		go func() {
			n := 0
			for {
				_, text, err := alive.ReadMessage()
				if err != nil {
					positions <- n
					return
				}
				if strings.Contains(string(text), `"event"`) {
					n++
				}
			}
		}()
		go func() {
			for {
				if _, _, err := dead.ReadMessage(); err != nil {
					cut <- time.Since(began)
					return
				}
			}
		}()
		require.NoError(t, alive.WriteMessage(websocket.TextMessage, []byte(`{"op":"subscribe"}`)))
		time.Sleep(24 * time.Hour)
		after := <-cut
		require.LessOrEqual(t, after, time.Minute)
		require.GreaterOrEqual(t, after, 20*time.Second)
		for _, e := range log.append(numbered(1), numbered(2)) {
			require.NoError(t, hub.Push(context.Background(), e))
		}
		synctest.Wait()
		require.NoError(t, alive.Close())
		require.Equal(t, 2, <-positions)
		require.NoError(t, dead.Close())
	})
}
