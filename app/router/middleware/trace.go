package middleware

import (
	"context"

	"github.com/ThreeDotsLabs/watermill/message"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/leat-dev/leat/app/event"
)

// Trace opens a span for each attempt. Its parent is the span in which the event was published.
// A tracer of package noop costs nothing.
func Trace(tracer trace.Tracer, set string) message.HandlerMiddleware {
	_, off := tracer.(noop.Tracer)
	return func(next message.HandlerFunc) message.HandlerFunc {
		if off {
			return func(m *message.Message) ([]*message.Message, error) {
				m.SetContext(remote(m.Context(), eventOf(m)))
				return next(m)
			}
		}
		return func(m *message.Message) ([]*message.Message, error) {
			e := eventOf(m)
			ctx, span := tracer.Start(remote(m.Context(), e), "process "+e.Type,
				trace.WithSpanKind(trace.SpanKindConsumer),
				trace.WithAttributes(
					attribute.String("messaging.system", "leat"),
					attribute.String("messaging.operation.type", "process"),
					attribute.String("messaging.destination.name", e.Type),
					attribute.String("messaging.consumer.group.name", set),
					attribute.String("messaging.message.id", e.ID),
					attribute.String("messaging.message.conversation_id", e.CorrelationID),
				))
			defer span.End()
			m.SetContext(ctx)
			out, err := next(m)
			if err != nil {
				span.RecordError(err)
				span.SetStatus(codes.Error, err.Error())
			}
			return out, err
		}
	}
}

func remote(ctx context.Context, e event.Envelope) context.Context {
	if e.TraceParent == "" {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": e.TraceParent})
}
