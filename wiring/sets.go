package wiring

import (
	"github.com/google/wire"

	"github.com/leat-dev/leat/adapters/gochannelbus"
	"github.com/leat-dev/leat/adapters/natsbus"
	"github.com/leat-dev/leat/adapters/postgres"
	"github.com/leat-dev/leat/adapters/sqlbus"
	"github.com/leat-dev/leat/adapters/sqlite"
	"github.com/leat-dev/leat/app/bus"
	"github.com/leat-dev/leat/app/deadletter"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/app/settle"
	"github.com/leat-dev/leat/app/sqltx"
	"github.com/leat-dev/leat/handlers/audit"
	"github.com/leat-dev/leat/handlers/email"
	"github.com/leat-dev/leat/handlers/notify"
)

// framework is everything that does not depend on the store or the bus.
var framework = wire.NewSet(
	provideClock,
	provideCatalogue,
	provideMetrics,
	provideLive,
	providePublisher,
	provideParts,
	provideTemplates,
	provideSets,
	provideRouter,
	provideSequencer,
	provideHub,
	provideInbox,
	provideSender,
	provideWorker,
	provideGate,
	provideServers,
	provideApp,
	wire.Struct(new(Leat), "*"),
)

// sqliteStore keeps everything in one SQLite file.
var sqliteStore = wire.NewSet(
	openSQLite,
	sqlite.NewAudit,
	sqlite.NewEmailQueue,
	wire.Bind(new(Store), new(*sqlite.DB)),
	wire.Bind(new(eventlog.Log), new(*sqlite.DB)),
	wire.Bind(new(eventlog.Reader), new(*sqlite.DB)),
	wire.Bind(new(sqltx.Store), new(*sqlite.DB)),
	wire.Bind(new(settle.Store), new(*sqlite.DB)),
	wire.Bind(new(settle.Backlogs), new(*sqlite.DB)),
	wire.Bind(new(settle.Deliveries), new(*sqlite.DB)),
	wire.Bind(new(deadletter.Store), new(*sqlite.DB)),
	wire.Bind(new(deadletter.Strays), new(*sqlite.DB)),
	wire.Bind(new(audit.Store), new(*sqlite.Audit)),
	wire.Bind(new(audit.Reader), new(*sqlite.Audit)),
	wire.Bind(new(notify.Queue), new(*sqlite.EmailQueue)),
	wire.Bind(new(email.Queue), new(*sqlite.EmailQueue)),
	wire.Bind(new(email.Reader), new(*sqlite.EmailQueue)),
)

// postgresStore keeps everything in a PostgreSQL database.
var postgresStore = wire.NewSet(
	openPostgres,
	postgres.NewAudit,
	postgres.NewEmailQueue,
	wire.Bind(new(Store), new(*postgres.DB)),
	wire.Bind(new(eventlog.Log), new(*postgres.DB)),
	wire.Bind(new(settle.Store), new(*postgres.DB)),
	wire.Bind(new(settle.Backlogs), new(*postgres.DB)),
	wire.Bind(new(settle.Deliveries), new(*postgres.DB)),
	wire.Bind(new(deadletter.Store), new(*postgres.DB)),
	wire.Bind(new(deadletter.Strays), new(*postgres.DB)),
	wire.Bind(new(sqltx.Store), new(*postgres.DB)),
	wire.Bind(new(audit.Store), new(*postgres.Audit)),
	wire.Bind(new(audit.Reader), new(*postgres.Audit)),
	wire.Bind(new(notify.Queue), new(*postgres.EmailQueue)),
	wire.Bind(new(email.Queue), new(*postgres.EmailQueue)),
	wire.Bind(new(email.Reader), new(*postgres.EmailQueue)),
)

// sqlBus lets the handler sets read the log.
var sqlBus = wire.NewSet(
	provideSQLBus,
	provideNoTransport,
	provideNoRemote,
	wire.Bind(new(bus.Bus), new(*sqlbus.Bus)),
)

// natsBus carries the events over NATS JetStream.
var natsBus = wire.NewSet(
	provideNATSBus,
	provideNATSTransport,
	wire.Bind(new(bus.Bus), new(*natsbus.Bus)),
	wire.Bind(new(remote), new(*natsbus.Bus)),
)

// goChannelBus carries the events over Watermill's GoChannel.
var goChannelBus = wire.NewSet(
	provideGoChannelBus,
	provideNoTransport,
	provideNoRemote,
	wire.Bind(new(bus.Bus), new(*gochannelbus.Bus)),
)
