package wiring

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/leat-dev/leat/app"
	"github.com/leat-dev/leat/app/deadletter"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/app/publish"
	"github.com/leat-dev/leat/app/settle"
	"github.com/leat-dev/leat/app/sqltx"
	"github.com/leat-dev/leat/configs"
)

// Leat is a service put together and not started: App runs it. The other fields are for those who
// work with it in the same process.
type Leat struct {
	App         *app.App
	Publisher   *publish.Publisher
	Catalogue   *event.Catalogue
	Store       Store
	DeadLetters deadletter.Store
	Servers     *Servers
}

// Store is where everything is kept.
type Store interface {
	eventlog.Log
	eventlog.Identified
	settle.Store
	settle.Backlogs
	settle.Deliveries
	deadletter.Store
	deadletter.Strays
	sqltx.Store
	// Changed returns a channel that is closed at the next commit of this process that touched the
	// topic; "commit" is touched by each.
	Changed(topic string) <-chan struct{}
}

// Open puts a service together as the configuration says. It opens the store, and starts nothing.
// closeAll lets go of what Open took; call it after App.Run has returned.
func Open(ctx context.Context, cfg *configs.Config, s Service, o Overrides, logger *slog.Logger) (l *Leat, closeAll func(), err error) {
	open := pick(cfg)
	if open == nil {
		return nil, nil, fmt.Errorf("bus.kind: there is no bus %q", cfg.Bus.Kind)
	}
	return open(ctx, cfg, s, o, logger)
}

type injector func(context.Context, *configs.Config, Service, Overrides, *slog.Logger) (*Leat, func(), error)

// pick returns the injector for the configured store and bus, nil when there is no such bus.
func pick(cfg *configs.Config) injector {
	onSQLite, onPostgres := injector(nil), injector(nil)
	switch cfg.Bus.Kind {
	case configs.BusSQL:
		onSQLite, onPostgres = openSQLiteSQL, openPostgresSQL
	case configs.BusGoChannel:
		onSQLite, onPostgres = openSQLiteGoChannel, openPostgresGoChannel
	case configs.BusNATS:
		onSQLite, onPostgres = openSQLiteNATS, openPostgresNATS
	}
	if cfg.Store.IsPostgres() {
		return onPostgres
	}
	return onSQLite
}
