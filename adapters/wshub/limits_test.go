package wshub_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/wshub"
	"github.com/leat-dev/leat/app/event"
)

const wshubTick = time.Second

// isCut tells whether the connection broke without a close frame.
func isCut(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE) || websocket.IsCloseError(err, websocket.CloseAbnormalClosure)
}

// wantError checks an answer that is no upgrade.
func wantError(t *testing.T, response *http.Response, status int, code string) {
	t.Helper()
	defer func() { _ = response.Body.Close() }()
	require.Equal(t, status, response.StatusCode)
	require.Equal(t, "application/json", response.Header.Get("Content-Type"))
	var body map[string]string
	require.NoError(t, json.NewDecoder(response.Body).Decode(&body))
	require.Equal(t, "error", body["status"])
	require.Equal(t, code, body["errorCode"])
	require.NotEmpty(t, body["message"])
}

func TestNoTenant(t *testing.T) {
	t.Parallel()
	b := setup(t, wshub.Config{})
	_, response, err := tryDial(b, "")
	require.ErrorIs(t, err, websocket.ErrBadHandshake)
	wantError(t, response, http.StatusUnauthorized, "UNAUTHENTICATED")
}

func TestNotAWebSocketRequest(t *testing.T) {
	t.Parallel()
	b := setup(t, wshub.Config{MaxClients: 1})
	for range 3 { // a failed upgrade takes nobody's place
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http"+strings.TrimPrefix(b.url, "ws"), nil)
		require.NoError(t, err)
		r.Header.Set("Test-Tenant", "acme")
		response, err := http.DefaultTransport.RoundTrip(r)
		require.NoError(t, err)
		wantError(t, response, http.StatusBadRequest, "NOT_A_WEBSOCKET_REQUEST")
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

func TestOrigins(t *testing.T) {
	t.Parallel()
	b := setup(t, wshub.Config{AllowedOrigins: []string{"https://app.example.com"}})
	host := strings.TrimSuffix(strings.TrimPrefix(b.url, "ws://"), "/v1/ws")
	for origin, allowed := range map[string]bool{
		"http://" + host:                        true,
		"https://app.example.com":               true,
		"https://APP.example.com":               true,
		"http://app.example.com":                false,
		"https://app.example.com:8443":          false,
		"https://app.example.com.evil.test":     false,
		"https://evil.test":                     false,
		"https://evil.test/" + host:             false,
		"https://" + host + "@evil.test":        false,
		"null":                                  false,
		"https://evil.test#" + "http://" + host: false,
	} {
		c, response, err := tryDial(b, "acme", "Origin", origin)
		if allowed {
			require.NoError(t, err, "origin %s", origin)
			require.NoError(t, c.Close())
			continue
		}
		require.ErrorIs(t, err, websocket.ErrBadHandshake, "origin %s", origin)
		wantError(t, response, http.StatusForbidden, "ORIGIN_NOT_ALLOWED")
	}

	open := setup(t, wshub.Config{AllowedOrigins: []string{"*"}})
	dial(t, open, "acme", "Origin", "https://anywhere.test").want("hello 0")
	dial(t, open, "acme").want("hello 0") // no browser
}

func TestMaxClients(t *testing.T) {
	t.Parallel()
	b := setup(t, wshub.Config{MaxClients: 2})
	first := dial(t, b, "acme")
	dial(t, b, "acme")
	_, response, err := tryDial(b, "acme")
	require.ErrorIs(t, err, websocket.ErrBadHandshake)
	wantError(t, response, http.StatusServiceUnavailable, "TOO_MANY_CLIENTS")
	require.NoError(t, first.Close())
	require.Eventually(t, func() bool {
		c, response, err := tryDial(b, "acme")
		_ = response.Body.Close()
		return err == nil && c.Close() == nil
	}, 10*time.Second, 5*time.Millisecond)
}

func TestBadFrames(t *testing.T) {
	t.Parallel()
	b := setup(t, wshub.Config{})
	c := dial(t, b, "acme")
	c.want("hello 0")
	many := func(n int, s string) string { return strings.TrimSuffix(strings.Repeat(s+",", n), ",") }
	for _, bad := range []struct{ frame, code string }{
		{``, "INVALID_JSON"},
		{`subscribe`, "INVALID_JSON"},
		{`{"op":"subscribe"}{}`, "INVALID_JSON"},
		{`[]`, "INVALID_JSON"},
		{`"subscribe"`, "INVALID_JSON"},
		{`null`, "UNKNOWN_OP"},
		{`{}`, "UNKNOWN_OP"},
		{`{"op":"publish"}`, "UNKNOWN_OP"},
		{`{"op":"subscribe","type":["build.*"]}`, "INVALID_FRAME"},
		{`{"op":"subscribe","types":"build.*"}`, "INVALID_FRAME"},
		{`{"op":"subscribe","after":"1"}`, "INVALID_FRAME"},
		{`{"op":"subscribe","after":-1}`, "INVALID_FRAME"},
		{`{"op":"subscribe","after":1e99}`, "INVALID_FRAME"},
		{`{"op":"subscribe","types":["build.*","Build"]}`, "INVALID_PATTERN"},
		{`{"op":"subscribe","types":[""]}`, "INVALID_PATTERN"},
		{`{"op":"subscribe","subjects":[""]}`, "INVALID_SUBJECT"},
		{`{"op":"subscribe","types":[` + many(65, `"*"`) + `]}`, "TOO_MANY_PATTERNS"},
		{`{"op":"subscribe","subjects":[` + many(257, `"s"`) + `]}`, "TOO_MANY_PATTERNS"},
	} {
		c.say(bad.frame)
		c.want("error " + bad.code)
		c.say(`{"op":"subscribe"}`) // the connection is as good as before
		c.want("position 0")
	}
	require.NoError(t, c.WriteMessage(websocket.BinaryMessage, []byte{1, 2}))
	c.want("error INVALID_JSON")

	for range 40 {
		if c.WriteMessage(websocket.TextMessage, []byte(`garbage`)) != nil {
			break
		}
	}
	c.wantClose(websocket.ClosePolicyViolation)
}

func TestReadLimit(t *testing.T) {
	t.Parallel()
	b := setup(t, wshub.Config{ReadLimit: 1000})
	c := dial(t, b, "acme")
	c.want("hello 0")
	c.say(`{"op":"subscribe"` + strings.Repeat(" ", 900) + `}`)
	c.want("position 0")
	c.say(`{"op":"subscribe"` + strings.Repeat(" ", 200000) + `}`)
	c.wantClose(websocket.CloseMessageTooBig)
}

func TestSlowClientIsClosedAndOthersGoOn(t *testing.T) {
	t.Parallel()
	b := setup(t, wshub.Config{Queue: 8})
	slow, quick := dial(t, b, "acme"), dial(t, b, "acme")
	for _, c := range []*client{slow, quick} {
		c.say(`{"op":"subscribe"}`)
		c.want("hello 0", "position 0")
	}
	big := `{"text":"` + strings.Repeat("x", 64<<10) + `"}`
	sent := 0
	for dropped := 0; dropped == 0; _, dropped, _ = b.counts.get() {
		require.Less(t, sent, 1000, "the slow client costs more than it may")
		sent++
		e := numbered(sent)
		e.Data = []byte(big)
		b.push(t, e)
		quick.want(fmt.Sprintf("event %d e%d", sent, sent))
	}
	b.push(t, numbered(sent+1))
	quick.want(fmt.Sprintf("event %d e%d", sent+1, sent+1))
	for n := 1; ; n++ {
		got, err := slow.next()
		if err != nil {
			require.True(t, websocket.IsCloseError(err, wshub.CloseTooSlow), "got %v", err)
			require.Less(t, n, sent)
			break
		}
		require.Equal(t, fmt.Sprintf("event %d e%d", n, n), got.short(), "what it got is in order and whole")
	}
	_, dropped, _ := b.counts.get()
	require.Equal(t, 1, dropped)
}

func TestClientThatNeverReadsIsCut(t *testing.T) {
	t.Parallel()
	b := setup(t, wshub.Config{Queue: 4, WriteTimeout: 50 * time.Millisecond})
	stuck := dial(t, b, "acme")
	stuck.say(`{"op":"subscribe"}`)
	stuck.want("hello 0", "position 0")
	big := numbered(0)
	big.Data = []byte(`{"text":"` + strings.Repeat("x", 64<<10) + `"}`)
	for clients := 1; clients > 0; clients, _, _ = b.counts.get() {
		big.ID += "x"
		b.push(t, big)
	}
}

func TestPings(t *testing.T) {
	t.Parallel()
	b := setup(t, wshub.Config{})
	alive, dead := dial(t, b, "acme"), dial(t, b, "acme")
	alive.want("hello 0")
	dead.want("hello 0")
	pinged := make(chan struct{}, 10)
	answer := alive.PingHandler()
	alive.SetPingHandler(func(text string) error {
		defer func() { pinged <- struct{}{} }()
		return answer(text)
	})
	dead.SetPingHandler(func(string) error { return nil })
	heard, cut := make(chan string, 10), make(chan error, 1)
	var reading sync.WaitGroup
	reading.Go(func() {
		for got, err := alive.next(); err == nil; got, err = alive.next() {
			heard <- got.short()
		}
	})
	reading.Go(func() {
		_, err := dead.next()
		cut <- err
	})
	require.NoError(t, b.clock.BlockUntilContext(t.Context(), 1))
	for second := 1; second <= 45; second++ {
		b.clock.Advance(time.Second)
		if second%20 == 0 {
			select {
			case <-pinged:
			case <-time.After(20 * time.Second):
				t.Fatalf("no ping after %d seconds", second)
			}
		}
		if second == 40 {
			alive.say(`{"op":"subscribe"}`)
			require.Equal(t, "position 0", <-heard, "by then the server has read what came before, the pongs")
		}
	}
	err := <-cut
	require.True(t, isCut(err), "got %v", err)
	b.push(t, numbered(1))
	require.Equal(t, "event 1 e1", <-heard)
	require.NoError(t, alive.Close())
	reading.Wait()
}

func TestClose(t *testing.T) {
	t.Parallel()
	b := setup(t, wshub.Config{})
	var clients []*client
	for i := range 5 {
		c := dial(t, b, fmt.Sprintf("tenant-%d", i%2))
		if i > 2 {
			c.say(`{"op":"subscribe","after":0}`)
		}
		c.want("hello 0")
		clients = append(clients, c)
	}
	done := make(chan error, 1)
	go func() { done <- b.hub.Close(t.Context()) }()
	for _, c := range clients {
		c.wantClose(websocket.CloseGoingAway)
	}
	require.NoError(t, <-done)
	n, _, _ := b.counts.get()
	require.Zero(t, n)
	require.NoError(t, b.hub.Push(t.Context(), numbered(1)), "nobody is left to hear it")
	_, response, err := tryDial(b, "acme")
	require.ErrorIs(t, err, websocket.ErrBadHandshake)
	wantError(t, response, http.StatusServiceUnavailable, "SHUTTING_DOWN")
	require.NoError(t, b.hub.Close(t.Context()), "a second time")
}

func TestCloseCutsWhoDoesNotAnswer(t *testing.T) {
	t.Parallel()
	b := setup(t, wshub.Config{})
	c := dial(t, b, "acme") // never reads, so never answers the close frame
	release := make(chan struct{})
	entered := make(chan struct{})
	b.feed.set(func() {
		b.feed.onRead = func() {
			close(entered)
			<-release // a log that hangs
		}
	})
	c.say(`{"op":"subscribe","after":0}`)
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, b.hub.Close(ctx), context.Canceled)
	close(release)
	require.NoError(t, b.hub.Close(t.Context()))
}

func TestRevoke(t *testing.T) {
	t.Parallel()
	b := setup(t, wshub.Config{})
	ada, eve := dial(t, b, "acme", "Test-Actor", "ada"), dial(t, b, "acme", "Test-Actor", "eve")
	for _, c := range []*client{ada, eve} {
		c.say(`{"op":"subscribe"}`)
		c.want("hello 0", "position 0")
	}
	isEve := func(o event.Origin) bool { return o.Tenant == "acme" && o.Actor == "eve" }
	require.Equal(t, 1, b.hub.Revoke(isEve))
	eve.wantClose(wshub.CloseNotAllowed)
	b.push(t, numbered(1))
	ada.want("event 1 e1")
	require.Zero(t, b.hub.Revoke(isEve))
}

func TestRequestDeadlineIsNotTheConnections(t *testing.T) {
	t.Parallel()
	hub := wshub.New(wshub.Config{}, &feed{}, clockwork.NewFakeClock(), slog.New(slog.DiscardHandler), nil)
	ended := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancel(event.WithOrigin(r.Context(), event.Origin{Tenant: "acme"}))
		hub.ServeHTTP(wrapped{w}, r.WithContext(ctx)) // and returns, though the client stays
		cancel()
		close(ended)
	}))
	defer server.Close()
	conn, response, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http"), nil)
	require.NoError(t, err)
	_ = response.Body.Close()
	<-ended
	c := &client{Conn: conn, t: t}
	c.say(`{"op":"subscribe","after":0}`)
	c.want("hello 0", "position 0")
	done := make(chan error, 1)
	go func() { done <- hub.Close(t.Context()) }()
	c.wantClose(websocket.CloseGoingAway)
	require.NoError(t, <-done)
	require.NoError(t, conn.Close())
}

// A panic over what a client said cuts that client and nobody else.
func TestPanic(t *testing.T) {
	t.Parallel()
	clock := &trap{Clock: clockwork.NewFakeClock()}
	hub := wshub.New(wshub.Config{}, &feed{}, clock, slog.New(slog.DiscardHandler), nil)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hub.ServeHTTP(w, r.WithContext(event.WithOrigin(r.Context(), event.Origin{Tenant: "acme"})))
	}))
	defer server.Close()
	b := &bundle{hub: hub, url: "ws" + strings.TrimPrefix(server.URL, "http")}
	one, other := dial(t, b, "acme"), dial(t, b, "acme")
	for _, c := range []*client{one, other} {
		c.say(`{"op":"subscribe"}`)
		c.want("hello 0", "position 0")
	}
	clock.set.Store(true)
	one.say(`{"op":"subscribe"}`)
	_, err := one.next()
	require.True(t, isCut(err), "got %v", err)
	require.False(t, clock.set.Load())
	e := numbered(1)
	e.Position = 1
	require.NoError(t, hub.Push(t.Context(), e))
	other.want("event 1 e1")
	done := make(chan error, 1)
	go func() { done <- hub.Close(t.Context()) }()
	other.wantClose(websocket.CloseGoingAway)
	require.NoError(t, <-done)
}

// trap is a clock that panics once when it is set.
type trap struct {
	clockwork.Clock
	set atomic.Bool
}

func (c *trap) Now() time.Time {
	if c.set.CompareAndSwap(true, false) {
		panic("a trap")
	}
	return c.Clock.Now()
}

// wrapped is a response writer as middleware makes them.
type wrapped struct{ http.ResponseWriter }

func (w wrapped) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	require.Empty(t, wshub.Config{}.Validate())
	require.Empty(t, wshub.Config{AllowedOrigins: []string{"*", "https://a.example", "http://localhost:5173"}}.Validate())
	bad := wshub.Config{
		ReadLimit: -1, WriteTimeout: -1, PingInterval: time.Minute, PositionInterval: -1, Queue: -1, MaxClients: -1,
		AllowedOrigins: []string{"app.example", "https://app.example/", ""},
	}
	var got []string
	for _, err := range bad.Validate() {
		key, _, _ := strings.Cut(err.Error(), ":")
		got = append(got, key)
	}
	require.Equal(t, []string{
		"ws.read_limit", "ws.write_timeout", "ws.position_interval", "ws.pong_timeout", "ws.queue", "ws.max_clients",
		"ws.allowed_origins", "ws.allowed_origins", "ws.allowed_origins",
	}, got)
}
