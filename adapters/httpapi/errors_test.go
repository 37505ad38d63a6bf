package httpapi_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/httpapi"
	"github.com/leat-dev/leat/domain"
)

func TestNothingThere(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/v1", "/v1/", "/v1/nothing", "/v1/events/a/b", "/nothing", "/", "/docs", "/openapi.yaml", "/v1/../v1/nothing"} {
		errorOf(t, setup().call(t, "GET", path, ""), 404, "NOT_FOUND")
	}
}

func TestMethodNotAllowed(t *testing.T) {
	t.Parallel()
	b := setup()
	w := b.call(t, "DELETE", "/v1/events", "")
	errorOf(t, w, 405, "METHOD_NOT_ALLOWED")
	require.Equal(t, "GET, HEAD, POST", w.Header().Get("Allow"))
	errorOf(t, b.call(t, "OPTIONS", "/v1/audit", ""), 405, "METHOD_NOT_ALLOWED")
	errorOf(t, b.call(t, "GET", "/v1/dead-letters/audit.7/retry", ""), 405, "METHOD_NOT_ALLOWED")
	errorOf(t, b.call(t, "POST", "/openapi.json", "{}"), 405, "METHOD_NOT_ALLOWED")
}

func TestOwnRoutes(t *testing.T) {
	t.Parallel()
	type thing struct {
		Name string `json:"name"`
	}
	b := setup()
	b.deps.Routes = []func(huma.API){
		route("/v1/things/ok", func(context.Context) (thing, error) { return thing{Name: "<a & b>"}, nil }),
		route("/v1/things/conflict", func(context.Context) (thing, error) {
			return thing{}, domain.Errorf(domain.Conflict, "BUILD_NOT_RUNNING", "the build is not running").InField("state")
		}),
		route("/v1/things/broken", func(context.Context) (thing, error) { return thing{}, errors.New("secret") }),
		route("/v1/things/status", func(context.Context) (thing, error) { return thing{}, huma.Error402PaymentRequired("pay first") }),
		route("/v1/things/panic", func(context.Context) (thing, error) { panic("secret panic") }),
		func(api huma.API) {
			huma.Register(api, huma.Operation{OperationID: "plain", Method: http.MethodGet, Path: "/v1/things/plain"},
				func(context.Context, *struct{}) (*struct{}, error) { return nil, errors.New("secret") })
		},
	}
	okJSON(t, b.call(t, "GET", "/v1/things/ok", ""), 200, `{"name":"<a & b>"}`)
	body := errorOf(t, b.call(t, "GET", "/v1/things/conflict", ""), 409, "BUILD_NOT_RUNNING")
	require.Equal(t, &httpapi.ErrorDetails{Field: "state", Error: "the build is not running"}, body.Details)
	body = errorOf(t, b.call(t, "GET", "/v1/things/status", ""), 402, "PAYMENT_REQUIRED")
	require.Equal(t, "pay first", body.Message)

	for _, path := range []string{"/v1/things/broken", "/v1/things/panic", "/v1/things/plain"} {
		w := b.call(t, "GET", path, "")
		body := errorOf(t, w, 500, "INTERNAL_ERROR")
		require.NotContains(t, w.Body.String(), "secret", path)
		require.Contains(t, b.log.String(), body.TraceID, path)
	}
	require.Contains(t, b.log.String(), "secret panic")
}

func TestAPanicInTheMiddleOfAnAnswerCutsTheConnection(t *testing.T) {
	t.Parallel()
	b := setup()
	b.deps.Page = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("half"))
		panic("in the middle")
	})
	require.PanicsWithError(t, http.ErrAbortHandler.Error(), func() { b.call(t, "GET", "/", "") })
	require.Contains(t, b.log.String(), "in the middle")
}

func TestAClashOfRoutesIsAnError(t *testing.T) {
	t.Parallel()
	b := setup()
	b.deps.Routes = []func(huma.API){route("/v1/audit", func(context.Context) (string, error) { return "", nil })}
	_, err := httpapi.New(b.cfg, httpapi.AuthConfig{}, b.deps, b.logger())
	require.ErrorContains(t, err, "/v1/audit")
}

func TestRequestsAreLogged(t *testing.T) {
	t.Parallel()
	b := setup()
	b.call(t, "GET", "/v1/handlers", "")
	require.Contains(t, b.log.String(), `"level":"DEBUG","msg":"request","method":"GET","path":"/v1/handlers"`)
	b.sets.failed = errors.New("down")
	b.call(t, "GET", "/v1/handlers", "")
	require.Contains(t, b.log.String(), `"level":"INFO","msg":"request"`)
}

func TestACallerWhoHasGoneIsNoError(t *testing.T) {
	t.Parallel()
	b := setup()
	b.deps.Routes = []func(huma.API){route("/v1/slow", func(ctx context.Context) (string, error) {
		return "", context.Canceled
	})}
	s := b.server(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	serveWith(ctx, s, "/v1/slow")
	require.NotContains(t, b.log.String(), `"level":"ERROR"`)
	require.NotContains(t, b.log.String(), `"level":"INFO"`)
}
