package handler

import "context"

// Delivery tells a handler how an event came to it.
type Delivery struct {
	Set      string
	Attempt  int  // from 1
	Redriven bool // given back from the dead letters: later events of its key may have been handled
}

type deliveryKey struct{}

// WithDelivery returns a context that carries the delivery.
func WithDelivery(ctx context.Context, d Delivery) context.Context {
	return context.WithValue(ctx, deliveryKey{}, d)
}

// DeliveryFrom returns how the event being handled came; the zero Delivery outside a handler.
func DeliveryFrom(ctx context.Context) Delivery {
	d, _ := ctx.Value(deliveryKey{}).(Delivery)
	return d
}
