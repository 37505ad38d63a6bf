package postgres

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"regexp"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/leat-dev/leat/app/fault"
	"github.com/leat-dev/leat/domain"
)

//go:embed migrations/*.sql
var files embed.FS

func migrations() fs.FS {
	sub, err := fs.Sub(files, "migrations")
	if err != nil {
		panic(err) // the folder is embedded
	}
	return sub
}

// Migrate brings the tables of a service up to date: fsys holds goose's SQL migrations at its top, and
// name is theirs among those of other services (lowercase letters, digits, underscores). They have a
// version table of their own, and the text "leat_" in them stands for the table prefix. Processes
// that migrate at once wait for one another. A database that a newer version of the service has
// migrated is a domain.Unavailable error, code SCHEMA_TOO_NEW.
func (db *DB) Migrate(ctx context.Context, fsys fs.FS, name string) error {
	if !serviceName.MatchString(name) {
		return fmt.Errorf("migrate %q: want 1 to 32 lowercase letters, digits and underscores", name)
	}
	return db.migrate(ctx, fsys, db.prefix+name+"_migrations")
}

var serviceName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)

func (db *DB) migrate(ctx context.Context, fsys fs.FS, table string) error {
	failed := func(err error) error {
		return fmt.Errorf("migrate %s (version table %s): %w", db.where, table, doing("run migrations", err))
	}
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockID(lockKey("migrations "+table)), lock.WithLockTimeout(1, 60), lock.WithUnlockTimeout(1, 5))
	if err != nil {
		return failed(err)
	}
	pool := stdlib.OpenDBFromPool(db.pool)
	defer func() { _ = pool.Close() }()
	p, err := goose.NewProvider(goose.DialectPostgres, pool, prefixed{fsys: fsys, prefix: db.prefix}, goose.WithSessionLocker(locker),
		goose.WithTableName(table), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return failed(err)
	}
	have, known, err := p.GetVersions(ctx)
	if err != nil {
		return failed(err)
	}
	if have > known {
		return domain.Errorf(domain.Unavailable, "SCHEMA_TOO_NEW",
			"%s has version %d of the schema in %s, and this program knows versions up to %d: run the newer program, or go back to a copy from before",
			db.where, have, table, known)
	}
	if have == known {
		return nil
	}
	if _, err := p.Up(ctx); err != nil {
		return failed(err)
	}
	fault.Point("postgres.migrated")
	return nil
}

// lockKey names an advisory lock of this package.
func lockKey(name string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte("leat " + name))
	return int64(h.Sum64())
}

// prefixed shows SQL files with the table prefix in the place of "leat_".
type prefixed struct {
	fsys   fs.FS
	prefix string
}

// Open implements fs.FS.
func (p prefixed) Open(name string) (fs.File, error) {
	f, err := p.fsys.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil || info.IsDir() {
		return f, errors.Join(err)
	}
	text, err := io.ReadAll(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	fault.Point("postgres.migration-read")
	text = bytes.ReplaceAll(text, []byte(defaultPrefix), []byte(p.prefix))
	return &sqlFile{Reader: bytes.NewReader(text), info: sqlInfo{FileInfo: info, size: int64(len(text))}}, nil
}

type sqlFile struct {
	*bytes.Reader
	info sqlInfo
}

func (f *sqlFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *sqlFile) Close() error               { return nil }

type sqlInfo struct {
	fs.FileInfo
	size int64
}

func (i sqlInfo) Size() int64 { return i.size }
