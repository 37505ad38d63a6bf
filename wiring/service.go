package wiring

import (
	"context"
	"io/fs"
	"log/slog"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jonboulle/clockwork"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/app/publish"
	"github.com/leat-dev/leat/app/router/middleware"
	"github.com/leat-dev/leat/app/sqltx"
	"github.com/leat-dev/leat/handlers/email"
	"github.com/leat-dev/leat/handlers/notify"
)

// Service is what a user of the framework brings: the events there are, and how the parts that
// react to them and answer for them are built.
type Service struct {
	// Name is the source of the service's events. Default: publish.source of the configuration.
	Name string
	// Definitions are the service's events; the framework adds its own.
	Definitions []event.Definitions
	// Build makes the service's parts. It runs once, before anything is started; nil: no parts.
	Build func(ctx context.Context, kit Kit) (Parts, error)
}

// Kit is what a service builds with.
type Kit struct {
	Publisher *publish.Publisher
	Store     sqltx.Store
	Clock     clockwork.Clock
	Logger    *slog.Logger
}

// Parts is what a service consists of. Everything is optional.
type Parts struct {
	Sets       []handler.Set     // its own handler sets
	Audit      []event.Pattern   // events that get an audit entry; none: no audit set
	Rules      []notify.Rule     // events that lead to mails
	Recipients notify.Recipients // whom they concern; needed when there are rules
	Templates  []fs.FS           // mail templates
	Routes     []func(huma.API)  // HTTP routes
}

// Overrides replaces parts of the outside world, for tests.
type Overrides struct {
	Clock    clockwork.Clock
	Sender   email.Sender // instead of SMTP
	Observer Observer     // is told of every attempt of every set
	// NoListeners leaves out everything that takes an address.
	NoListeners bool
}

// Observer is told of each attempt of a handler set.
type Observer = middleware.Observer

// And returns the parts of both.
func (p Parts) And(q Parts) Parts {
	p.Sets = append(p.Sets, q.Sets...)
	p.Audit = append(p.Audit, q.Audit...)
	p.Rules = append(p.Rules, q.Rules...)
	p.Templates = append(p.Templates, q.Templates...)
	p.Routes = append(p.Routes, q.Routes...)
	if q.Recipients != nil {
		p.Recipients = q.Recipients
	}
	return p
}
