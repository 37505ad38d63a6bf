package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"
	"github.com/jonboulle/clockwork"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/leat-dev/leat/app/fault"
	"github.com/leat-dev/leat/domain"
)

const (
	readConnections = 4
	busyTimeout     = 10 * time.Second
)

var errReadOnly = errors.New("a write outside a transaction: use InTx")

// DB is an open store. It is safe for concurrent use.
type DB struct {
	path   string
	prefix string
	clock  clockwork.Clock
	logger *slog.Logger
	q      queries

	lock      *flock.Flock
	writers   *sql.DB // the committer's connection, and one for migrations
	readers   *sql.DB
	committer *committer
	topics    *topics

	head   atomic.Int64 // the last position that was committed
	recent recent       // the newest events

	closed   atomic.Bool
	closing  sync.Once
	closeErr error
}

// Open opens the store, or creates it, and migrates its tables. It takes the lock of the file until
// Close; every lease in the file then belongs to a dead process and counts as expired. The errors
// name the file:
//
//   - domain.Unavailable, code STORE_LOCKED: another process has it;
//   - domain.Unavailable, code SCHEMA_TOO_NEW: a newer version of the program migrated it; nothing
//     is changed;
//   - domain.Unavailable, code STORE_UNAVAILABLE: it cannot be read or written;
//   - domain.Invalid: the configuration is wrong.
func Open(ctx context.Context, cfg Config, clock clockwork.Clock, logger *slog.Logger) (*DB, error) {
	cfg = cfg.withDefaults()
	if faults := cfg.Validate(); len(faults) > 0 {
		return nil, domain.Errorf(domain.Invalid, "INVALID_CONFIG", "%w", errors.Join(faults...))
	}
	path, err := resolve(cfg.Path)
	if err != nil {
		return nil, unavailable(cfg.Path, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, unavailable(path, err)
	}
	lock, err := acquire(path + ".lock")
	if err != nil {
		return nil, err
	}
	db := &DB{
		path: path, prefix: cfg.TablePrefix, clock: clock, logger: logger, lock: lock,
		q: newQueries(cfg.TablePrefix), topics: &topics{channels: map[string]chan struct{}{}},
	}
	if err := db.start(ctx); err != nil {
		_ = db.Close()
		return nil, err
	}
	return db, nil
}

func acquire(name string) (*flock.Flock, error) {
	lock := flock.New(name)
	ok, err := lock.TryLock()
	switch {
	case err != nil:
		return nil, unavailable(name, err)
	case !ok:
		return nil, domain.Errorf(domain.Unavailable, "STORE_LOCKED",
			"another process has the store open: it holds the lock %s (one process per SQLite file)", name)
	}
	return lock, nil
}

func unavailable(path string, err error) error {
	return domain.Errorf(domain.Unavailable, "STORE_UNAVAILABLE", "open %s: %w", path, err)
}

func (db *DB) start(ctx context.Context) (err error) {
	if db.writers, err = sql.Open("sqlite", db.dsn("")); err != nil {
		return unavailable(db.path, err)
	}
	if err := checkVersion(ctx, db.writers); err != nil {
		return unavailable(db.path, err)
	}
	if err := db.migrate(ctx, migrations(), db.prefix+"migrations"); err != nil {
		return err
	}
	if err := checkDurability(ctx, db.writers); err != nil {
		return unavailable(db.path, err)
	}
	conn, err := db.writers.Conn(ctx)
	if err != nil {
		return unavailable(db.path, err)
	}
	w, err := newWriter(conn, db.Table("log"))
	if err != nil {
		return unavailable(db.path, errors.Join(err, conn.Close()))
	}
	if db.readers, err = sql.Open("sqlite", db.dsn("&_pragma=query_only(1)")); err != nil {
		return unavailable(db.path, errors.Join(err, w.close()))
	}
	db.readers.SetMaxOpenConns(readConnections)
	db.readers.SetMaxIdleConns(readConnections)
	db.committer = newCommitter(db, w)
	if err := db.expireLeases(ctx); err != nil {
		return err
	}
	var head int64
	if err := one(ctx, db.querier(ctx), db.q.head, &head); err != nil {
		return unavailable(db.path, err)
	}
	db.head.Store(head)
	db.recent.forget(head)
	return nil
}

func (db *DB) dsn(more string) string {
	name := url.URL{Scheme: "file", Path: filepath.ToSlash(db.path)}
	return fmt.Sprintf("%s?_txlock=immediate&_pragma=busy_timeout(%d)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)%s",
		name.String(), busyTimeout.Milliseconds(), more)
}

// minVersion is the first release without the WAL-reset fault, by which SQLite could corrupt a database.
var minVersion = [3]int{3, 51, 3}

func checkVersion(ctx context.Context, db *sql.DB) error {
	var text string
	if err := db.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&text); err != nil {
		return err
	}
	var have [3]int
	for i, part := range strings.SplitN(text, ".", 3) {
		have[i], _ = strconv.Atoi(part)
	}
	for i := range have {
		if have[i] != minVersion[i] {
			if have[i] > minVersion[i] {
				break
			}
			return fmt.Errorf("SQLite %s is too old, want %d.%d.%d or newer", text, minVersion[0], minVersion[1], minVersion[2])
		}
	}
	return nil
}

// checkDurability makes sure of what SQLite may silently not have done: a file system without shared memory,
// for one, has no WAL.
func checkDurability(ctx context.Context, db *sql.DB) error {
	var journal string
	var synchronous int
	if err := db.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&journal); err != nil {
		return err
	}
	if err := db.QueryRowContext(ctx, "PRAGMA synchronous").Scan(&synchronous); err != nil {
		return err
	}
	if journal != "wal" || synchronous < 2 {
		return fmt.Errorf("journal mode %q and synchronous %d: want \"wal\" and 2 (FULL); does the file system support WAL?", journal, synchronous)
	}
	return nil
}

// Table returns a table's full name.
func (db *DB) Table(name string) string { return db.prefix + name }

// Close waits for the work that was accepted, closes the file and lets go of its lock. Calls that
// come later get ErrClosed.
func (db *DB) Close() error {
	db.closing.Do(func() {
		db.closed.Store(true)
		var errs []error
		if db.committer != nil {
			db.committer.close()
			errs = append(errs, db.committer.w.close())
		}
		fault.Point("sqlite.closing")
		for _, pool := range []*sql.DB{db.readers, db.writers} { // the writer last: it folds the WAL into the file
			if pool != nil {
				errs = append(errs, pool.Close())
			}
		}
		errs = append(errs, db.lock.Unlock())
		if err := errors.Join(errs...); err != nil {
			db.closeErr = fmt.Errorf("close %s: %w", db.path, err)
		}
	})
	return db.closeErr
}

func (db *DB) now() int64 { return db.clock.Now().UnixMicro() }

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// fromMicros is the inverse of micros.
func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
