package sqlite

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"

	"github.com/pressly/goose/v3"

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
// version table of their own, and the text "leat_" in them stands for the table prefix. A database
// that a newer version of the service has migrated is a domain.Unavailable error, code SCHEMA_TOO_NEW.
func (db *DB) Migrate(ctx context.Context, fsys fs.FS, name string) error {
	if !serviceName.MatchString(name) {
		return fmt.Errorf("migrate %q: want 1 to 32 lowercase letters, digits and underscores", name)
	}
	return db.committer.exclusively(ctx, func() error {
		return db.migrate(context.WithoutCancel(ctx), fsys, db.prefix+name+"_migrations")
	})
}

var serviceName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)

func (db *DB) migrate(ctx context.Context, fsys fs.FS, table string) error {
	failed := func(err error) error {
		return fmt.Errorf("migrate %s (version table %s): %w", db.path, table, doing("run migrations", err))
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db.writers, prefixed{fsys: fsys, prefix: db.prefix},
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
			db.path, have, table, known)
	}
	if _, err := p.Up(ctx); err != nil {
		return failed(err)
	}
	fault.Point("sqlite.migrated")
	return nil
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
	fault.Point("sqlite.migration-read")
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
