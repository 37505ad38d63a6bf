package wiring

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/leat-dev/leat/adapters/devinbox"
	"github.com/leat-dev/leat/adapters/httpapi"
	"github.com/leat-dev/leat/adapters/prom"
	"github.com/leat-dev/leat/adapters/webui"
	"github.com/leat-dev/leat/adapters/wshub"
	"github.com/leat-dev/leat/app"
	"github.com/leat-dev/leat/app/deadletter"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/app/fault"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/app/live"
	"github.com/leat-dev/leat/app/publish"
	"github.com/leat-dev/leat/app/router"
	"github.com/leat-dev/leat/app/sequence"
	"github.com/leat-dev/leat/app/settle"
	"github.com/leat-dev/leat/configs"
	"github.com/leat-dev/leat/domain"
	"github.com/leat-dev/leat/handlers/audit"
	"github.com/leat-dev/leat/handlers/email"
)

// Servers is what a process listens with. A field is nil where the process has no such role.
type Servers struct {
	API   *httpapi.Server // the API, the live feed, or both
	Ops   *httpapi.Ops
	Inbox *devinbox.Inbox
}

// gate tells the ops server whether the app is ready, which is built after it.
type gate struct {
	app       *app.App
	log       eventlog.Log
	transport Transport
}

func provideGate(t Transport, log eventlog.Log) *gate { return &gate{transport: t, log: log} }

func provideServers(cfg *configs.Config, o Overrides, sets Sets, parts Parts, p *publish.Publisher, log eventlog.Log,
	deliveries settle.Deliveries, entries audit.Reader, mails email.Reader, letters deadletter.Store, strays deadletter.Strays, store settle.Store,
	backlogs settle.Backlogs, seq *sequence.Sequencer, hub *wshub.Hub, inbox *devinbox.Inbox, m *prom.Metrics, g *gate,
	clock clockwork.Clock, logger *slog.Logger,
) (*Servers, error) {
	s := &Servers{Inbox: inbox}
	if o.NoListeners {
		return s, nil
	}
	err := m.Watch(gauges(cfg, store, backlogs, letters, log, seq, clock), logger)
	if err != nil {
		return nil, err
	}
	if s.Ops, err = httpapi.NewOps(cfg.Ops, httpapi.OpsDeps{
		Ready: g.check, Metrics: m.Handler(),
	}, logger); err != nil {
		return nil, err
	}
	switch broadcasts := cfg.HasRole(configs.RoleBroadcast); {
	case cfg.HasRole(configs.RoleAPI):
	case broadcasts:
		s.API, err = httpapi.NewFeed(cfg.HTTP, cfg.Auth, hub, logger)
		return s, err
	default:
		return s, nil
	}
	deps := httpapi.Deps{
		Publisher: p, Events: log, Deliveries: deliveryPage{deliveries}, Audit: entries, Emails: mails,
		DeadLetters: deadletter.Desk{Store: letters, Strays: strays, TakeIn: g.transport.TakeIn},
		Handlers:    control{sets: sets, store: store, backlogs: backlogs, letters: letters},
		Page:        webui.Handler(), Routes: parts.Routes, Version: Version(),
	}
	if cfg.HasRole(configs.RoleBroadcast) {
		deps.WebSocket = http.Handler(hub)
	}
	if inbox != nil {
		deps.Inbox = inboxPage{inbox}
	}
	s.API, err = httpapi.New(cfg.HTTP, cfg.Auth, deps, logger)
	return s, err
}

// provideApp says in which order things run. They stop in the opposite one: first nobody comes in
// any more, then what is in hand is finished, and those who ask how it goes get an answer to the end.
func provideApp(cfg *configs.Config, sets Sets, servers *Servers, store settle.Store, r *router.Router, seq *sequence.Sequencer,
	worker *email.Worker, hub *wshub.Hub, path *live.Path, others remote, g *gate, clock clockwork.Clock, logger *slog.Logger,
) *app.App {
	var parts []app.Part
	if servers.Ops != nil {
		parts = append(parts, app.Part{Name: "ops", Run: servers.Ops.Run})
	}
	if servers.Inbox != nil {
		parts = append(parts, app.Part{Name: "inbox", Run: servers.Inbox.Run})
	}
	if path != nil {
		parts = append(parts, app.Part{Name: "fast path", Run: path.Run})
	}
	if others != nil && cfg.HasRole(configs.RoleBroadcast) {
		parts = append(parts, app.Part{Name: "fast path of others", Run: hear(others, hub, logger)})
	}
	if slices.ContainsFunc(sets, func(s *handler.Bound) bool { return cfg.HasRole(s.Name()) }) {
		parts = append(parts, app.Part{Name: "router", Run: r.Run, Ready: r.Running()})
	}
	if feeds(cfg) {
		parts = append(parts, app.Part{Name: "sequencer", Run: seq.Run, Ready: seq.Ready()})
	}
	parts = append(parts, g.transport.Parts...)
	if cfg.HasRole(configs.RoleEmail) {
		parts = append(parts, app.Part{Name: "email", Run: worker.Run})
	}
	if servers.API != nil {
		parts = append(parts, app.Part{Name: "api", Run: servers.API.Run})
	}
	if servers.API != nil && cfg.HasRole(configs.RoleBroadcast) {
		parts = append(parts, app.Part{Name: "live feed", Run: func(ctx context.Context) error {
			<-ctx.Done()
			closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), hubCloses)
			defer cancel()
			return hub.Close(closing)
		}})
	}
	g.app = app.New(func(ctx context.Context) error { return prepare(ctx, sets, store, servers) }, parts, clock, logger)
	return g.app
}

// hubCloses is how long clients of the live feed get to see that the server goes.
const hubCloses = 5 * time.Second

// prepare makes the sets known and takes the addresses. Every process makes all sets known,
// whichever it works: what is published before another process has started is then theirs too.
func prepare(ctx context.Context, sets Sets, store settle.Store, servers *Servers) error {
	for _, set := range sets {
		if set.RunsEverywhere() {
			continue
		}
		if err := store.Register(ctx, settle.Registration{
			Set: set.Name(), Types: set.Types(), FromStart: set.BeginsAtStart(),
		}); err != nil {
			return fmt.Errorf("register handler set %s: %w", set.Name(), err)
		}
	}
	fault.Point("wiring.sets-registered")
	if servers.Ops != nil {
		if err := servers.Ops.Listen(); err != nil {
			return taken(err)
		}
	}
	if servers.API != nil {
		if err := servers.API.Listen(); err != nil {
			if servers.Ops != nil {
				err = errors.Join(err, servers.Ops.Close())
			}
			return taken(err)
		}
	}
	return nil
}

// taken says that an address cannot be had now, and may be later.
func taken(err error) error {
	return &domain.Error{Kind: domain.Unavailable, Code: "ADDRESS_UNAVAILABLE", Message: err.Error()}
}
