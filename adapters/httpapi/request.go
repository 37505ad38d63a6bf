package httpapi

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"log/slog"
	"math/rand/v2"
	"net/http"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/leat-dev/leat/app/event"
)

// info is what is known of a request wherever it is handled.
type info struct {
	traceID string // of the caller's trace, else made up: it ties an answer to the log
	method  string
	path    string
}

type infoKey struct{}

func infoFrom(ctx context.Context) info {
	i, _ := ctx.Value(infoKey{}).(info)
	return i
}

func (i info) attrs(more ...slog.Attr) []slog.Attr {
	return append([]slog.Attr{
		slog.String("method", i.method), slog.String("path", i.path), slog.String("traceId", i.traceID),
	}, more...)
}

// withInfo returns the request with a context that carries the caller's trace context and what
// infoFrom returns.
func withInfo(r *http.Request) *http.Request {
	ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	i := info{method: r.Method, path: r.URL.Path}
	if span := trace.SpanContextFromContext(ctx); span.HasTraceID() {
		i.traceID = span.TraceID().String()
	} else {
		i.traceID = newTraceID()
	}
	return r.WithContext(context.WithValue(ctx, infoKey{}, i))
}

// newTraceID returns 16 random bytes in hex. It names a request and guards nothing.
func newTraceID() string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], rand.Uint64())
	binary.BigEndian.PutUint64(b[8:], rand.Uint64()|1) // a trace id is never all zeros
	return hex.EncodeToString(b[:])
}

// traceParent returns the trace context that an event published with ctx belongs to, "" when there
// is none.
func traceParent(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return ""
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier["traceparent"]
}

// withOrigin puts into the context on whose behalf the request is made.
func (s *Server) withOrigin(r *http.Request) (*http.Request, error) {
	o, err := s.auth.origin(r)
	if err != nil {
		return nil, err
	}
	if id := r.Header.Get(headerCorrelation); id != "" {
		if err := checkHeader(headerCorrelation, id, event.MaxID); err != nil {
			return nil, err
		}
		o.CorrelationID = id
	}
	return r.WithContext(event.WithOrigin(r.Context(), o)), nil
}
