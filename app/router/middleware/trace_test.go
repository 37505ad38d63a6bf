package middleware_test

import (
	"context"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/app/router/middleware"
)

// tracer keeps the last span.
type tracer struct {
	noop.Tracer
	last *span
}

type span struct {
	noop.Span
	name   string
	parent trace.SpanContext
	config trace.SpanConfig
	status codes.Code
	errs   []error
	ended  bool
}

func (t *tracer) Start(ctx context.Context, name string, options ...trace.SpanStartOption) (context.Context, trace.Span) {
	t.last = &span{name: name, parent: trace.SpanContextFromContext(ctx), config: trace.NewSpanStartConfig(options...)}
	return trace.ContextWithSpan(ctx, t.last), t.last
}

func (s *span) RecordError(err error, _ ...trace.EventOption) { s.errs = append(s.errs, err) }
func (s *span) SetStatus(code codes.Code, _ string)           { s.status = code }
func (s *span) End(...trace.SpanEndOption)                    { s.ended = true }

func TestTrace(t *testing.T) {
	t.Parallel()
	run := func(failed int, err error) *span {
		b := setup(t, failed, handler.On(nothing))
		var tracer tracer
		h := message.HandlerFunc(func(m *message.Message) ([]*message.Message, error) {
			require.Equal(t, tracer.last, trace.SpanFromContext(m.Context()))
			return nil, err
		})
		h = middleware.Retry(handler.DefaultPolicy(), b.clock, half, b.logger)(h)
		_, _ = middleware.Correlate()(middleware.Trace(&tracer, "one")(h))(b.m)
		require.True(t, tracer.last.ended)
		return tracer.last
	}

	s := run(0, nil)
	require.Equal(t, "process thing.made", s.name)
	require.Equal(t, trace.SpanKindConsumer, s.config.SpanKind())
	require.Equal(t, "0af7651916cd43dd8448eb211c80319c", s.parent.TraceID().String(), "one trace with the publisher")
	require.Equal(t, "b7ad6b7169203331", s.parent.SpanID().String())
	require.Contains(t, s.config.Attributes(), attribute.String("messaging.consumer.group.name", "one"))
	require.Contains(t, s.config.Attributes(), attribute.String("messaging.message.id", "e1"))
	require.Equal(t, codes.Unset, s.status)

	for name, s := range map[string]*span{
		"parked":    run(0, errTest),
		"given up":  run(2, errTest),
		"unsettled": run(0, handler.Unavailable(errTest)),
	} {
		require.Equal(t, codes.Error, s.status, name)
		require.ErrorIs(t, s.errs[0], errTest, name)
	}
}

func TestTraceWithoutAParent(t *testing.T) {
	t.Parallel()
	e := anEvent
	e.TraceParent = ""
	var tracer tracer
	_, err := middleware.Correlate()(middleware.Trace(&tracer, "feed")(fails(nil)))(event.ToMessage(e))
	require.NoError(t, err)
	require.False(t, tracer.last.parent.IsValid())
}
