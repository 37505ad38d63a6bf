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
	return context.WithValue(ctx, handledKey, &e)
}

// Handling returns a context in which the event is being handled, as WithHandled does, and its
// tenant, actor and correlation id are the origin. The event is shared and must not be changed.
func Handling(ctx context.Context, e *Envelope) context.Context { return handling{ctx, e} }

// handling is one link where there would be two, in the context of every event.
type handling struct {
	context.Context
	event *Envelope
}

func (h handling) Value(key any) any {
	switch key {
	case handledKey:
		return h.event
	case originKey:
		return Origin{Tenant: h.event.Tenant, Actor: h.event.Actor, CorrelationID: h.event.CorrelationID}
	}
	return h.Context.Value(key)
}

// Handled returns the event that is being handled. ok is false outside a handler.
func Handled(ctx context.Context) (e Envelope, ok bool) {
	p, ok := ctx.Value(handledKey).(*Envelope)
	if !ok {
		return Envelope{}, false
	}
	return *p, true
}
