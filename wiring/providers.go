package wiring

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jonboulle/clockwork"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/leat-dev/leat/adapters/devinbox"
	"github.com/leat-dev/leat/adapters/gochannelbus"
	"github.com/leat-dev/leat/adapters/natsbus"
	"github.com/leat-dev/leat/adapters/postgres"
	"github.com/leat-dev/leat/adapters/prom"
	"github.com/leat-dev/leat/adapters/smtpmail"
	"github.com/leat-dev/leat/adapters/sqlbus"
	"github.com/leat-dev/leat/adapters/sqlite"
	"github.com/leat-dev/leat/adapters/wshub"
	"github.com/leat-dev/leat/app/bus"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/app/fault"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/app/live"
	"github.com/leat-dev/leat/app/publish"
	"github.com/leat-dev/leat/app/router"
	"github.com/leat-dev/leat/app/sequence"
	"github.com/leat-dev/leat/app/settle"
	"github.com/leat-dev/leat/app/sqltx"
	"github.com/leat-dev/leat/configs"
	"github.com/leat-dev/leat/handlers/audit"
	"github.com/leat-dev/leat/handlers/broadcast"
	"github.com/leat-dev/leat/handlers/email"
	"github.com/leat-dev/leat/handlers/notify"
)

func provideClock(o Overrides) clockwork.Clock {
	if o.Clock != nil {
		return o.Clock
	}
	return clockwork.NewRealClock()
}

func openSQLite(ctx context.Context, cfg *configs.Config, clock clockwork.Clock, logger *slog.Logger) (*sqlite.DB, func(), error) {
	path, err := cfg.Store.SQLitePath()
	if err != nil {
		return nil, nil, err
	}
	db, err := sqlite.Open(ctx, sqlite.Config{Path: path, TablePrefix: cfg.Store.TablePrefix}, clock, logger)
	if err != nil {
		return nil, nil, err
	}
	return db, func() {
		if err := db.Close(); err != nil {
			logger.Error("close the store", "error", err)
		}
	}, nil
}

func openPostgres(ctx context.Context, cfg *configs.Config, c *event.Catalogue, clock clockwork.Clock, logger *slog.Logger) (*postgres.DB, func(), error) {
	db, err := postgres.Open(ctx, cfg.Postgres(), clock, logger)
	if err != nil {
		return nil, nil, err
	}
	cleanup := closing("store", db.Close, logger)
	if err := db.DescribeTypes(ctx, c); err != nil {
		cleanup()
		return nil, nil, err
	}
	return db, cleanup, nil
}

func provideCatalogue(s Service) (*event.Catalogue, error) {
	lists := append([]event.Definitions{notify.Definitions, email.Definitions}, s.Definitions...)
	return event.NewCatalogue(lists...)
}

func provideMetrics(c *event.Catalogue) *prom.Metrics { return prom.New(c.Types()) }

func providePublisher(cfg *configs.Config, s Service, c *event.Catalogue, log eventlog.Log, path *live.Path, clock clockwork.Clock, m *prom.Metrics) *publish.Publisher {
	config := cfg.Publish.Config
	config.Unrecorded = cfg.Publish.OnFailure == configs.OnFailureContinue
	if s.Name != "" {
		config.Source = s.Name
	}
	if path == nil {
		return publish.New(config, c, log, clock, m)
	}
	return publish.New(config, c, log, clock, m, publish.WithLive(path, log))
}

// provideParts lets the service build what it brings.
func provideParts(ctx context.Context, s Service, store sqltx.Store, p *publish.Publisher, clock clockwork.Clock, logger *slog.Logger) (Parts, error) {
	if s.Build == nil {
		return Parts{}, nil
	}
	parts, err := s.Build(ctx, Kit{Publisher: p, Store: store, Clock: clock, Logger: logger})
	if err != nil {
		return Parts{}, fmt.Errorf("build the service: %w", err)
	}
	if len(parts.Rules) > 0 && parts.Recipients == nil {
		return Parts{}, errors.New("build the service: there are notify rules, but nobody knows the recipients (Parts.Recipients)")
	}
	return parts, nil
}

func provideTemplates(parts Parts) (*email.Templates, error) {
	templates, err := email.NewTemplates(parts.Templates...)
	if err != nil {
		return nil, err
	}
	return templates, errors.Join(notify.CheckRules(parts.Rules, templates)...)
}

// Sets is all handler sets of the service, bound to its events.
type Sets []*handler.Bound

// provideSets is the one list of the handler sets: Wire has no multi-bindings.
func provideSets(parts Parts, c *event.Catalogue, store audit.Store, p *publish.Publisher, q notify.Queue, t *email.Templates, hub *wshub.Hub) (Sets, error) {
	all := append([]handler.Set{
		broadcast.Set(hub),
		notify.Set(parts.Rules, parts.Recipients, p, q, notify.WithTemplates(t)),
	}, parts.Sets...)
	if len(parts.Audit) > 0 {
		all = append(all, audit.Set(store, parts.Audit...))
	}
	var sets Sets
	var faults []error
	names := map[string]bool{}
	for _, set := range all {
		if reserved := set.Name() == configs.RoleAPI || set.Name() == configs.RoleSequencer || set.Name() == configs.RoleEmail || set.Name() == configs.RoleAll; reserved {
			faults = append(faults, fmt.Errorf("handler set %q: the name is that of a role", set.Name()))
		}
		if set.Name() == natsbus.SetStream || set.Name() == natsbus.SetForeign {
			faults = append(faults, fmt.Errorf("handler set %q: the name stands for messages from outside in the dead letters", set.Name()))
		}
		if names[set.Name()] {
			faults = append(faults, fmt.Errorf("handler set %q: there are two of that name", set.Name()))
			continue
		}
		names[set.Name()] = true
		bound, err := set.Bind(c)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		sets = append(sets, bound)
	}
	return sets, errors.Join(faults...)
}

// Names returns the names of the sets.
func (s Sets) Names() []string {
	names := make([]string, len(s))
	for i, set := range s {
		names[i] = set.Name()
	}
	return names
}

func provideSQLBus(log eventlog.Log, clock clockwork.Clock, logger *slog.Logger) (*sqlbus.Bus, func()) {
	b := sqlbus.New(sqlbus.Config{}, log, clock, logger)
	return b, closing("bus", b.Close, logger)
}

func provideGoChannelBus(logger *slog.Logger) (*gochannelbus.Bus, func()) {
	b := gochannelbus.New(gochannelbus.Config{}, logger)
	return b, closing("bus", b.Close, logger)
}

func closing(what string, closeIt func() error, logger *slog.Logger) func() {
	return func() {
		fault.Point("wiring.closing")
		if err := closeIt(); err != nil {
			logger.Error("close the "+what, "error", err)
		}
	}
}

// provideRouter runs the sets that are roles of this process.
func provideRouter(cfg *configs.Config, o Overrides, sets Sets, b bus.Bus, log eventlog.Log, store settle.Store, clock clockwork.Clock, m *prom.Metrics, logger *slog.Logger) (*router.Router, error) {
	if err := cfg.ValidateRoles(sets.Names()); err != nil {
		return nil, err
	}
	owner, err := ownerName()
	if err != nil {
		return nil, err
	}
	var mine Sets
	for _, set := range sets {
		if cfg.HasRole(set.Name()) {
			mine = append(mine, set)
		}
	}
	lanes := cfg.Lanes
	lanes.Owner = owner
	return router.New(router.Config{
		DrainTimeout: cfg.Drain.Timeout,
		Settle:       lanes,
		PolicyOf:     func(s handler.Set) handler.Policy { return cfg.Policy(s.Name(), s.Policy()) },
	}, router.Parts{
		Bus: b, Log: log, Store: store, Clock: clock, Tracer: noop.NewTracerProvider().Tracer("leat"),
		Observer: observers{m, o.Observer}, Random: rand.Float64, Logger: logger,
	}, mine)
}

// observers tells several about each attempt.
type observers []Observer

func (all observers) Began(set, typ string) {
	for _, o := range all {
		if o != nil {
			o.Began(set, typ)
		}
	}
}

func (all observers) Handled(set, typ, result string, attempt int, took time.Duration) {
	for _, o := range all {
		if o != nil {
			o.Handled(set, typ, result, attempt, took)
		}
	}
}

// ownerName names this process in leases: readable, and never used twice.
func ownerName() (string, error) {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	id, err := uuid.NewRandom()
	if err != nil {
		return "", fmt.Errorf("name this process: %w", err)
	}
	return fmt.Sprintf("%s/%d/%s", host, os.Getpid(), id.String()[:8]), nil
}

// provideSequencer feeds the bus, and gives positions where the store does not give them with the
// append. A bus of one process is fed in each; a process without the role only follows.
func provideSequencer(cfg *configs.Config, log eventlog.Log, b bus.Bus, clock clockwork.Clock, logger *slog.Logger) *sequence.Sequencer {
	config := sequence.Config{EveryProcess: ownBus(cfg)}
	if !cfg.HasRole(configs.RoleSequencer) {
		return sequence.New(config, struct{ sequence.Log }{log}, b, clock, logger)
	}
	return sequence.New(config, log, b, clock, logger)
}

// feeds tells whether the process has a bus to feed.
func feeds(cfg *configs.Config) bool {
	return cfg.HasRole(configs.RoleSequencer) || cfg.Store.IsPostgres() && ownBus(cfg)
}

// ownBus tells whether the bus reaches this process only: an embedded NATS server that does not
// listen is no way to another one.
func ownBus(cfg *configs.Config) bool {
	return cfg.Bus.Kind != configs.BusNATS || cfg.NATS.URL == "" && cfg.NATS.Listen == ""
}

func provideHub(cfg *configs.Config, log eventlog.Log, clock clockwork.Clock, m *prom.Metrics, logger *slog.Logger) *wshub.Hub {
	return wshub.New(cfg.WS, log, clock, logger, m)
}

// provideInbox returns nil where mails go to a real server. The inbox takes its address here, since
// the sender must know it.
func provideInbox(cfg *configs.Config, o Overrides, clock clockwork.Clock, logger *slog.Logger) (*devinbox.Inbox, func(), error) {
	if !cfg.BuiltInInbox() || !cfg.HasRole(configs.RoleEmail) || o.NoListeners {
		return nil, func() {}, nil
	}
	inbox, err := devinbox.New(cfg.Inbox, clock, logger)
	if err != nil {
		return nil, nil, err
	}
	if err := inbox.Listen(); err != nil {
		return nil, nil, taken(err)
	}
	return inbox, closing("inbox", inbox.Close, logger), nil
}

// provideSender sends to the configured server, else to the built-in inbox.
func provideSender(cfg *configs.Config, o Overrides, inbox *devinbox.Inbox, clock clockwork.Clock, logger *slog.Logger) (email.Sender, func(), error) {
	if o.Sender != nil || !cfg.HasRole(configs.RoleEmail) {
		return o.Sender, func() {}, nil
	}
	server := cfg.SMTP
	if inbox != nil {
		host, port, err := net.SplitHostPort(inbox.Addr())
		if err != nil {
			return nil, nil, fmt.Errorf("inbox.listen: %w", err)
		}
		server.Host, server.TLS = host, "none"
		if server.Port, err = strconv.Atoi(port); err != nil {
			return nil, nil, fmt.Errorf("inbox.listen: %w", err)
		}
	}
	mailer, err := smtpmail.New(server, clock)
	if err != nil {
		return nil, nil, err
	}
	return mailer, closing("connection to the mail server", mailer.Close, logger), nil
}

func provideWorker(cfg *configs.Config, q email.Queue, s email.Sender, t *email.Templates, p *publish.Publisher, log eventlog.Log, clock clockwork.Clock, m *prom.Metrics, logger *slog.Logger) (*email.Worker, error) {
	return email.New(cfg.EmailWorker(), q, s, t, p, log, clock, logger, m)
}
