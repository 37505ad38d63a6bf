package httpapi_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/httpapi"
	"github.com/leat-dev/leat/app/event"
)

func serveWith(ctx context.Context, s *httpapi.Server, path string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", path, nil).WithContext(ctx)
	r.Host = "localhost"
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

func TestDevMode(t *testing.T) {
	t.Parallel()
	b := setup()
	var got event.Origin
	b.deps.WebSocket = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = event.OriginFrom(r.Context()) })
	for _, test := range []struct {
		headers []string
		want    event.Origin
	}{
		{nil, event.Origin{Tenant: "dev", Actor: "dev"}},
		{[]string{"Leat-Tenant", "acme"}, event.Origin{Tenant: "acme", Actor: "dev"}},
		{[]string{"Leat-Tenant", "_system", "Leat-Actor", "bob", "X-Correlation-Id", "c 1"}, event.Origin{Tenant: "_system", Actor: "bob", CorrelationID: "c 1"}},
	} {
		require.Equal(t, 200, b.call(t, "GET", "/v1/ws", "", test.headers...).Code)
		require.Equal(t, test.want, got)
	}
}

func TestIdentityHeadersAreChecked(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ header, value, field string }{
		{"Leat-Tenant", "a/b", "tenant"},
		{"Leat-Tenant", strings.Repeat("x", 65), "tenant"},
		{"Leat-Actor", "a\x00b", "Leat-Actor"},
		{"Leat-Actor", "a\xff", "Leat-Actor"},
		{"Leat-Actor", strings.Repeat("x", 257), "Leat-Actor"},
		{"X-Correlation-Id", strings.Repeat("x", 129), "X-Correlation-Id"},
		{"X-Correlation-Id", "a\tb", "X-Correlation-Id"},
	} {
		w := setup().call(t, "GET", "/v1/handlers", "", test.header, test.value)
		require.Equal(t, 422, w.Code, "%s %q", test.header, test.value)
		require.Contains(t, w.Body.String(), `"field":"`+test.field+`"`)
	}
}

func TestOnlyThisMachineIsAnswered(t *testing.T) {
	t.Parallel()
	b := setup()
	b.deps.Page = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	for _, host := range []string{"localhost", "localhost:8080", "LOCALHOST:1", "127.0.0.1:8080", "127.0.0.2", "[::1]:8080", "[::1]"} {
		require.Equal(t, 200, b.call(t, "GET", "/v1/handlers", "", "Host", host).Code, host)
	}
	for _, host := range []string{"", "evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "192.168.0.1:8080", "0.0.0.0:8080"} {
		errorOf(t, b.call(t, "GET", "/v1/handlers", "", "Host", host), 403, "HOST_NOT_ALLOWED")
		errorOf(t, b.call(t, "GET", "/", "", "Host", host), 403, "HOST_NOT_ALLOWED")
	}
}

func TestPagesOfOtherSitesChangeNothing(t *testing.T) {
	t.Parallel()
	b := setup()
	b.deps.WebSocket = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	post := func(headers ...string) *httptest.ResponseRecorder {
		return b.call(t, "POST", "/v1/events", wholeEvent, headers...)
	}
	require.Equal(t, 202, post().Code)
	require.Equal(t, 202, post("Origin", "http://localhost:8080").Code)
	require.Equal(t, 202, post("Sec-Fetch-Site", "same-origin", "Origin", "http://localhost:8080").Code)
	for _, headers := range [][]string{
		{"Origin", "http://evil.example"},
		{"Origin", "http://localhost:9999"},
		{"Origin", "null"},
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site", "Origin", "http://localhost:3000"},
	} {
		errorOf(t, post(headers...), 403, "ORIGIN_NOT_ALLOWED")
	}
	require.Len(t, b.pub.raws, 3)

	require.Equal(t, 200, b.call(t, "GET", "/v1/handlers", "", "Origin", "http://evil.example").Code, "reading: the browser keeps the answer from the page")
	require.Equal(t, 200, b.call(t, "GET", "/v1/ws", "", "Upgrade", "websocket", "Origin", "http://localhost:8080").Code)
	errorOf(t, b.call(t, "GET", "/v1/ws", "", "Upgrade", "websocket", "Origin", "http://evil.example"), 403, "ORIGIN_NOT_ALLOWED")
}

func TestPage(t *testing.T) {
	t.Parallel()
	b := setup()
	b.deps.Page = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("page " + r.URL.Path)) })
	for _, path := range []string{"/", "/assets/main.js", "/v10", "/docs"} {
		w := b.call(t, "GET", path, "")
		require.Equal(t, 200, w.Code)
		require.Equal(t, "page "+path, w.Body.String())
		csp := w.Header().Get("Content-Security-Policy")
		require.Contains(t, csp, "default-src 'self';")
		require.Contains(t, csp, "connect-src 'self' ws:")
		require.Contains(t, csp, "frame-ancestors 'none'")
		require.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
	}
	w := b.call(t, "POST", "/", "{}")
	errorOf(t, w, 405, "METHOD_NOT_ALLOWED")
	require.Equal(t, "GET, HEAD", w.Header().Get("Allow"))
	errorOf(t, b.call(t, "GET", "/v1/nothing", ""), 404, "NOT_FOUND")
	require.Equal(t, "nosniff", b.call(t, "GET", "/v1/handlers", "").Header().Get("X-Content-Type-Options"))
}

func TestConfigFaults(t *testing.T) {
	t.Parallel()
	b := setup()
	_, err := httpapi.New(httpapi.Config{Listen: "here", MaxBody: -1, ReadTimeout: -1}, httpapi.AuthConfig{Mode: "open"}, httpapi.Deps{}, b.logger())
	for _, want := range []string{"http.listen:", "http.max_body:", "http.read_timeout:", "auth.mode:", "Publisher", "Handlers"} {
		require.ErrorContains(t, err, want)
	}
	for _, listen := range []string{":8080", "0.0.0.0:8080", "192.168.0.1:80", "[::]:8080", "example.com:80"} {
		_, err := httpapi.New(httpapi.Config{Listen: listen}, httpapi.AuthConfig{Mode: "dev"}, b.deps, b.logger())
		require.ErrorContains(t, err, "auth.mode", listen)
		require.ErrorContains(t, err, "http.listen", listen)
	}
	for _, listen := range []string{"", "127.0.0.1:0", "[::1]:0", "localhost:8080", "127.9.9.9:1"} {
		require.Empty(t, httpapi.Config{Listen: listen}.Validate(), listen)
		require.Empty(t, httpapi.AuthConfig{}.ValidateListen(httpapi.Config{Listen: listen}), listen)
	}
	require.ErrorContains(t, httpapi.OpsConfig{Listen: "x:y"}.Validate()[0], "ops.listen:")
}
