package router

import (
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leat-dev/leat/app/handler"
)

// Chain returns the links of a set.
func (r *Router) Chain(set *handler.Bound) []message.HandlerMiddleware {
	return r.chain(set, handler.DefaultPolicy())
}

// PolicyFor returns the policy that a set works by.
func (c Config) PolicyFor(set handler.Set) handler.Policy { return c.policyOf(set) }
