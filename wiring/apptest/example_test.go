package apptest_test

import (
	"context"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/handler"
)

// What a user writes, complete with log and transaction. A test counts the lines.

// begin
type Shipped struct {
	OrderID string `json:"order_id"`
	Email   string `json:"email"`
}

func (Shipped) EventType() string { return "order.shipped" }

var Definitions = event.Definitions{event.Define[Shipped](event.Business)}

type Invoices interface {
	Issue(ctx context.Context, orderID string) error
}

func Set(inv Invoices) handler.Set {
	return handler.NewSet("billing",
		handler.OnTx(func(ctx context.Context, e Shipped) error { return inv.Issue(ctx, e.OrderID) }),
	)
}

// end
