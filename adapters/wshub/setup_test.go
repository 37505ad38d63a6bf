package wshub_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leat-dev/leat/adapters/wshub"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// feed is a log in memory.
type feed struct {
	mu     sync.Mutex
	events []event.Envelope
	first  int64 // the first position still kept
	fail   error
	onRead func() // called before each read, outside the lock
}

func (f *feed) Read(_ context.Context, after int64, _ eventlog.SlotSet, limit int) ([]event.Envelope, int64, error) {
	f.mu.Lock()
	hook := f.onRead
	f.mu.Unlock()
	if hook != nil {
		hook()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return nil, 0, f.fail
	}
	var out []event.Envelope
	for _, e := range f.events {
		if e.Position > after && e.Position >= f.first {
			if out = append(out, e); len(out) == limit {
				return out, e.Position, nil
			}
		}
	}
	return out, f.last(), nil
}

func (f *feed) At(context.Context, ...int64) ([]event.Envelope, error) {
	return nil, errors.New("not needed here")
}

func (f *feed) Bounds(context.Context) (first, last int64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return 0, 0, f.fail
	}
	if len(f.events) == 0 || f.first > f.last() {
		return 0, 0, nil
	}
	return max(f.first, 1), f.last(), nil
}

func (f *feed) last() int64 {
	if len(f.events) == 0 {
		return 0
	}
	return f.events[len(f.events)-1].Position
}

// append gives the events positions, keeps them and returns them.
func (f *feed) append(events ...event.Envelope) []event.Envelope {
	f.mu.Lock()
	defer f.mu.Unlock()
	events = slices.Clone(events)
	for i := range events {
		events[i].Position = f.last() + 1
		f.events = append(f.events, events[i])
	}
	return events
}

func (f *feed) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

type counts struct {
	mu         sync.Mutex
	clients    int
	dropped    int
	broadcasts int
}

func (c *counts) Clients(n int)           { c.mu.Lock(); c.clients = n; c.mu.Unlock() }
func (c *counts) Dropped()                { c.mu.Lock(); c.dropped++; c.mu.Unlock() }
func (c *counts) Broadcast(time.Duration) { c.mu.Lock(); c.broadcasts++; c.mu.Unlock() }

func (c *counts) get() (clients, dropped, broadcasts int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.clients, c.dropped, c.broadcasts
}

type bundle struct {
	hub    *wshub.Hub
	feed   *feed
	clock  *clockwork.FakeClock
	counts *counts
	url    string
}

func setup(t *testing.T, cfg wshub.Config) *bundle {
	t.Helper()
	b := &bundle{feed: &feed{}, clock: clockwork.NewFakeClock(), counts: &counts{}}
	b.hub = wshub.New(cfg, b.feed, b.clock, slog.New(slog.DiscardHandler), b.counts)
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/ws", func(w http.ResponseWriter, r *http.Request) {
		ctx := event.WithOrigin(r.Context(), event.Origin{Tenant: r.Header.Get("Test-Tenant"), Actor: r.Header.Get("Test-Actor")})
		b.hub.ServeHTTP(w, r.WithContext(ctx))
	})
	server := httptest.NewUnstartedServer(mux)
	server.Config.ConnState = func(c net.Conn, s http.ConnState) {
		if tcp, ok := c.(*net.TCPConn); ok && s == http.StateNew {
			_ = tcp.SetWriteBuffer(64 << 10) // so that a client that does not read is soon felt
		}
	}
	server.Start()
	b.url = "ws" + strings.TrimPrefix(server.URL, "http") + "/v1/ws"
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		require.NoError(t, b.hub.Close(ctx))
		server.Close()
	})
	return b
}

// push appends events and pushes them.
func (b *bundle) push(t *testing.T, events ...event.Envelope) {
	t.Helper()
	for _, e := range b.feed.append(events...) {
		require.NoError(t, b.hub.Push(t.Context(), e))
	}
}

func ev(id, typ, subject string) event.Envelope {
	return event.Envelope{
		ID: id, Type: typ, SchemaVersion: 1, Kind: event.Business, Source: "test", Subject: subject, Tenant: "acme",
		Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), PartitionKey: subject, CorrelationID: id, Data: []byte(`{}`),
	}
}

func of(tenant string, e event.Envelope) event.Envelope {
	e.Tenant = tenant
	return e
}

// client is a WebSocket client of a tenant.
type client struct {
	*websocket.Conn
	t *testing.T
}

func dial(t *testing.T, b *bundle, tenant string, header ...string) *client {
	t.Helper()
	c, response, err := tryDial(b, tenant, header...)
	require.NoError(t, err)
	_ = response.Body.Close()
	t.Cleanup(func() { _ = c.Close() })
	return &client{Conn: c, t: t}
}

func tryDial(b *bundle, tenant string, header ...string) (*websocket.Conn, *http.Response, error) {
	dialer := websocket.Dialer{
		Subprotocols: []string{wshub.Subprotocol},
		NetDial: func(network, address string) (net.Conn, error) {
			c, err := net.Dial(network, address)
			if tcp, ok := c.(*net.TCPConn); ok {
				_ = tcp.SetReadBuffer(64 << 10)
			}
			return c, err
		},
	}
	h := http.Header{"Test-Tenant": {tenant}}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return dialer.Dial(b.url, h)
}

// received is any frame from the server.
type received struct {
	Op       string          `json:"op"`
	Position int64           `json:"position"`
	From     int64           `json:"from"`
	To       int64           `json:"to"`
	Code     string          `json:"code"`
	Message  string          `json:"message"`
	Event    *event.Envelope `json:"event"`
	text     string
}

// short names a frame in one word: "event 3 a" is the event a at position 3.
func (r received) short() string {
	switch r.Op {
	case "event":
		return fmt.Sprintf("event %d %s", r.Position, r.Event.ID)
	case "gap":
		return fmt.Sprintf("gap %d-%d", r.From, r.To)
	case "error":
		return "error " + r.Code
	default:
		return fmt.Sprintf("%s %d", r.Op, r.Position)
	}
}

func (c *client) next() (received, error) {
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	_, text, err := c.ReadMessage()
	if err != nil {
		return received{}, err
	}
	r := received{text: string(text)}
	return r, json.Unmarshal(text, &r)
}

// want reads one frame for each of the short names.
func (c *client) want(want ...string) {
	c.t.Helper()
	for i, w := range want {
		got, err := c.next()
		require.NoError(c.t, err, "frame %d, want %s", i, w)
		require.Equal(c.t, w, got.short(), "frame %d: %s", i, got.text)
	}
}

func (c *client) say(text string) {
	c.t.Helper()
	require.NoError(c.t, c.WriteMessage(websocket.TextMessage, []byte(text)))
}

// wantClose reads on until the server closes and checks the code.
func (c *client) wantClose(code int) {
	c.t.Helper()
	for {
		if _, err := c.next(); err != nil {
			require.True(c.t, websocket.IsCloseError(err, code), "got %v, want close code %d", err, code)
			return
		}
	}
}
