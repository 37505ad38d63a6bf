package event

import "context"

type contextKey int

const (
	handledKey contextKey = iota
	originKey
)

// Origin is what the entrance of a request knows: on whose behalf things happen. Events published
// with the context take it over where they say nothing themselves.
type Origin struct {
	Tenant        string // from the credential
	Actor         string // who is calling
	CorrelationID string // given by the caller; empty: the first event's id
}

// WithOrigin returns a context that carries the origin.
func WithOrigin(ctx context.Context, o Origin) context.Context {
	return context.WithValue(ctx, originKey, o)
}

// OriginFrom returns the origin that the context carries; the zero Origin when there is none.
func OriginFrom(ctx context.Context) Origin {
	o, _ := ctx.Value(originKey).(Origin)
	return o
}

// WithHandled returns a context in which e is the event being handled. What is published with it
// carries e's correlation id, and e's id as its causation id.
func WithHandled(ctx context.Context, e Envelope) context.Context {
	return context.WithValue(ctx, handledKey, e)
}

// Handled returns the event that is being handled. ok is false outside a handler.
func Handled(ctx context.Context) (e Envelope, ok bool) {
	e, ok = ctx.Value(handledKey).(Envelope)
	return e, ok
}
