package httpapi_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/httpapi"
	"github.com/leat-dev/leat/app/event"
)

// start runs until stop is called; stop returns what Run returned.
func start(t *testing.T, s interface {
	Listen() error
	Addr() string
	Run(ctx context.Context) error
},
) (url string, stop func() error) {
	t.Helper()
	require.Empty(t, s.Addr())
	require.NoError(t, s.Listen())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	return "http://" + s.Addr(), func() error {
		cancel()
		select {
		case err := <-ended:
			return err
		case <-time.After(20 * time.Second):
			return errors.New("Run does not return")
		}
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(url)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(body)
}

func TestRun(t *testing.T) {
	t.Parallel()
	s := setup().server(t)
	url, stop := start(t, s)
	status, body := get(t, url+"/v1/handlers")
	require.Equal(t, 200, status, body)
	require.NoError(t, stop())
	_, err := net.Dial("tcp", s.Addr())
	require.Error(t, err, "nobody listens any more")
}

func TestABusyPortIsAnErrorAtStart(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	b := setup()
	b.cfg.Listen = taken.Addr().String()
	err = b.server(t).Listen()
	require.ErrorContains(t, err, "http.listen")
	require.ErrorContains(t, err, taken.Addr().String())

	ops, err := httpapi.NewOps(httpapi.OpsConfig{Listen: taken.Addr().String()}, opsDeps(nil), b.logger())
	require.NoError(t, err)
	require.ErrorContains(t, ops.Run(t.Context()), "ops.listen: listen on "+taken.Addr().String())
}

func TestCloseLetsGoOfTheAddress(t *testing.T) {
	t.Parallel()
	s := setup().server(t)
	require.NoError(t, s.Close(), "nothing is taken yet")
	require.NoError(t, s.Listen())
	require.NoError(t, s.Listen(), "twice is once")
	require.NoError(t, s.Close())
	again, err := net.Listen("tcp", s.Addr())
	require.NoError(t, err)
	require.NoError(t, again.Close())
}

// slow adds an operation that waits.
func slow(entered chan<- struct{}, release <-chan struct{}) func(huma.API) {
	return route("/v1/slow", func(ctx context.Context) (string, error) {
		close(entered)
		select {
		case <-release:
			return "done", ctx.Err()
		case <-ctx.Done():
			return "", ctx.Err()
		}
	})
}

type result struct {
	status int
	body   string
	err    error
}

func getLater(url string) <-chan result {
	out := make(chan result, 1)
	go func() {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		res, err := client.Get(url)
		if err != nil {
			out <- result{err: err}
			return
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		out <- result{res.StatusCode, string(body), err}
	}()
	return out
}

func TestShutdownFinishesWhatIsInHand(t *testing.T) {
	t.Parallel()
	b := setup()
	entered, release := make(chan struct{}), make(chan struct{})
	b.deps.Routes = []func(huma.API){slow(entered, release)}
	s := b.server(t)
	url, stop := start(t, s)
	answer := getLater(url + "/v1/slow")
	<-entered

	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", s.Addr())
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	}, 10*time.Second, 5*time.Millisecond, "new connections are refused")
	select {
	case err := <-stopped:
		t.Fatalf("Run returned with a request in hand: %v", err)
	default:
	}
	close(release)
	got := <-answer
	require.NoError(t, got.err)
	require.Equal(t, 200, got.status, got.body)
	require.JSONEq(t, `"done"`, got.body)
	require.NoError(t, <-stopped)
}

func TestShutdownHasADeadline(t *testing.T) {
	t.Parallel()
	b := setup()
	b.cfg.ShutdownTimeout = 20 * time.Millisecond
	entered := make(chan struct{})
	b.deps.Routes = []func(huma.API){slow(entered, nil)}
	url, stop := start(t, b.server(t))
	answer := getLater(url + "/v1/slow")
	<-entered
	err := stop()
	require.ErrorContains(t, err, "http.listen")
	require.ErrorContains(t, err, "in hand")
	<-answer
}

func TestWebSocketHandlersCanHijack(t *testing.T) {
	t.Parallel()
	b := setup()
	b.deps.WebSocket = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nraw")
		_ = conn.Close()
	})
	url, stop := start(t, b.server(t))
	_, body := get(t, url+"/v1/ws")
	require.Equal(t, "raw", body)
	require.NoError(t, stop())
	b.deps.WebSocket = nil
	require.Contains(t, errorOf(t, b.call(t, "GET", "/v1/ws", ""), 404, "NO_LIVE_FEED_HERE").Message, "role broadcast")
}

// A process that broadcasts and has no API serves the live feed, guarded as ever, and nothing else.
func TestFeedAlone(t *testing.T) {
	t.Parallel()
	b := setup()
	var got event.Origin
	s, err := httpapi.NewFeed(b.cfg, httpapi.AuthConfig{}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = event.OriginFrom(r.Context())
	}), b.logger())
	require.NoError(t, err)
	require.Equal(t, 200, serve(s, "GET", "/v1/ws", "", "Leat-Tenant", "acme").Code)
	require.Equal(t, event.Origin{Tenant: "acme", Actor: "dev"}, got)
	errorOf(t, serve(s, "GET", "/v1/ws", "", "Host", "evil.example"), 403, "HOST_NOT_ALLOWED")
	errorOf(t, serve(s, "GET", "/v1/ws", "", "Upgrade", "websocket", "Origin", "http://evil.example"), 403, "ORIGIN_NOT_ALLOWED")
	errorOf(t, serve(s, "POST", "/v1/ws", ""), 405, "METHOD_NOT_ALLOWED")
	for _, path := range []string{"/v1/events", "/v1/ws/more", "/openapi.json", "/"} {
		require.Contains(t, errorOf(t, serve(s, "GET", path, ""), 404, "NO_API_HERE").Message, "role api")
	}

	_, err = httpapi.NewFeed(httpapi.Config{Listen: "0.0.0.0:1"}, httpapi.AuthConfig{}, nil, b.logger())
	require.ErrorContains(t, err, "auth.mode")
	require.ErrorContains(t, err, "who serves it")
}

func opsDeps(notReady error) httpapi.OpsDeps {
	return httpapi.OpsDeps{
		Ready:   func(context.Context) error { return notReady },
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("queue_depth 1\n")) }),
	}
}

func TestOps(t *testing.T) {
	t.Parallel()
	b := setup()
	ask := func(notReady error, path string) (int, string) {
		ops, err := httpapi.NewOps(httpapi.OpsConfig{}, opsDeps(notReady), b.logger())
		require.NoError(t, err)
		w := httptest.NewRecorder()
		ops.Handler().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w.Code, strings.TrimSpace(w.Body.String())
	}
	for _, test := range []struct {
		notReady error
		path     string
		status   int
		body     string
	}{
		{nil, "/healthz", 200, `{"status":"ok"}`},
		{errors.New("stopping"), "/healthz", 200, `{"status":"ok"}`},
		{nil, "/readyz", 200, `{"status":"ready"}`},
		{errors.New("starting"), "/readyz", 503, `{"status":"not ready","reason":"starting"}`},
		{nil, "/metrics", 200, "queue_depth 1"},
	} {
		status, body := ask(test.notReady, test.path)
		require.Equal(t, test.status, status, test.path)
		require.Equal(t, test.body, body, test.path)
	}
	status, _ := ask(nil, "/v1/events")
	require.Equal(t, 404, status)

	_, err := httpapi.NewOps(httpapi.OpsConfig{Listen: "x"}, httpapi.OpsDeps{}, b.logger())
	require.ErrorContains(t, err, "ops.listen")
	require.ErrorContains(t, err, "Ready")

	ops, err := httpapi.NewOps(httpapi.OpsConfig{Listen: "127.0.0.1:0"}, opsDeps(nil), b.logger())
	require.NoError(t, err)
	url, stop := start(t, ops)
	status, _ = get(t, url+"/healthz")
	require.Equal(t, 200, status)
	require.NoError(t, stop())
}
