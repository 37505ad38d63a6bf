package httpapi_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/httpapi"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
)

// BenchmarkPublish is what a published event costs between net/http's server and the publisher.
func BenchmarkPublish(tb *testing.B) {
	const body = `{"eventType":"item.moved","source":"clients","id":"e-1","subject":"item-1","data":{"key":"item-1","number":1,"from":"warehouse-0123456789","to":"warehouse-9876543210"}}`
	b := setup()
	receipts := []eventlog.Receipt{{EventID: "e-1", Receipt: "rcpt_abcdefghijklmnop", Recorded: noon}}
	b.deps.Publisher = accepting(receipts)
	s, err := httpapi.New(b.cfg, httpapi.AuthConfig{}, b.deps, slog.New(slog.DiscardHandler))
	require.NoError(tb, err)
	handler := s.Handler()
	tb.ReportAllocs()
	for tb.Loop() {
		r := httptest.NewRequest(http.MethodPost, "/v1/events", strings.NewReader(body))
		r.Host = "127.0.0.1:8080"
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != http.StatusAccepted {
			tb.Fatal(w.Body)
		}
	}
}

// accepting has the same receipts for everything.
type accepting []eventlog.Receipt

func (a accepting) PublishRaw(context.Context, ...event.Raw) ([]eventlog.Receipt, error) {
	return a, nil
}
