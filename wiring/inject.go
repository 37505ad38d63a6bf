//go:build wireinject

package wiring

import (
	"context"
	"log/slog"

	"github.com/google/wire"

	"github.com/leat-dev/leat/configs"
)

// openSQLiteSQL wires a service on SQLite whose handler sets read the log.
func openSQLiteSQL(ctx context.Context, cfg *configs.Config, s Service, o Overrides, l *slog.Logger) (*Leat, func(), error) {
	panic(wire.Build(framework, sqliteStore, sqlBus))
}

// openSQLiteGoChannel wires a service on SQLite with GoChannel as the bus.
func openSQLiteGoChannel(ctx context.Context, cfg *configs.Config, s Service, o Overrides, l *slog.Logger) (*Leat, func(), error) {
	panic(wire.Build(framework, sqliteStore, goChannelBus))
}

// openSQLiteNATS wires a service on SQLite with NATS JetStream as the bus.
func openSQLiteNATS(ctx context.Context, cfg *configs.Config, s Service, o Overrides, l *slog.Logger) (*Leat, func(), error) {
	panic(wire.Build(framework, sqliteStore, natsBus))
}

// openPostgresSQL wires a service on PostgreSQL whose handler sets read the log.
func openPostgresSQL(ctx context.Context, cfg *configs.Config, s Service, o Overrides, l *slog.Logger) (*Leat, func(), error) {
	panic(wire.Build(framework, postgresStore, sqlBus))
}

// openPostgresGoChannel wires a service on PostgreSQL with GoChannel as the bus.
func openPostgresGoChannel(ctx context.Context, cfg *configs.Config, s Service, o Overrides, l *slog.Logger) (*Leat, func(), error) {
	panic(wire.Build(framework, postgresStore, goChannelBus))
}

// openPostgresNATS wires a service on PostgreSQL with NATS JetStream as the bus.
func openPostgresNATS(ctx context.Context, cfg *configs.Config, s Service, o Overrides, l *slog.Logger) (*Leat, func(), error) {
	panic(wire.Build(framework, postgresStore, natsBus))
}
