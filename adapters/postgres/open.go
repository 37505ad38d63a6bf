package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jonboulle/clockwork"

	"github.com/leat-dev/leat/app/fault"
	"github.com/leat-dev/leat/domain"
)

const minVersion = 15

// DB is an open store. It is safe for concurrent use.
type DB struct {
	where  string // host and database, for errors
	prefix string
	clock  clockwork.Clock
	logger *slog.Logger
	q      queries

	// leases tells the time for leases instead of the database, in tests.
	leases clockwork.Clock

	pool     *pgxpool.Pool // transactions
	reads    *pgxpool.Pool // what is read outside transactions; read-only
	appends  *pgxpool.Pool // shared appends: they need not wait for a transaction to end
	topics   *topics
	appender *appender
	settlers *settlers
	notifier *notifier

	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	pooled  atomic.Bool // the pools are there
	closed  atomic.Bool
	closing sync.Once
}

// Open connects to the database and migrates the store's tables. It waits Config.StartWait for a server
// that cannot be reached or is starting. Until Close it keeps one connection that listens for what
// other processes do. Errors name the host and the database, never the password:
//
//   - domain.Unavailable, code STORE_UNAVAILABLE: it cannot be reached, is too old, read-only, or
//     set up in a way that breaks the promises of this package;
//   - domain.Forbidden, code STORE_REFUSED: it refuses the user or the password;
//   - domain.Unavailable, code SCHEMA_TOO_NEW: a newer version of the program migrated it; nothing
//     is changed;
//   - domain.Invalid: the configuration is wrong.
func Open(ctx context.Context, cfg Config, clock clockwork.Clock, logger *slog.Logger) (*DB, error) {
	if faults := cfg.Validate(); len(faults) > 0 {
		return nil, domain.Errorf(domain.Invalid, "INVALID_CONFIG", "%w", errors.Join(faults...))
	}
	cfg = cfg.withDefaults()
	conf, err := pgxpool.ParseConfig(cfg.URL)
	if err != nil {
		return nil, domain.Errorf(domain.Invalid, "INVALID_CONFIG", "store.url: it cannot be read") // Validate has read it
	}
	db := &DB{
		where: placeOf(conf.ConnConfig), prefix: cfg.TablePrefix, clock: clock, logger: logger, q: newQueries(cfg.TablePrefix),
		topics: &topics{channels: map[string]chan struct{}{}},
	}
	db.ctx, db.cancel = context.WithCancel(context.Background())
	if err := db.start(ctx, cfg, conf); err != nil {
		_ = db.Close()
		return nil, err
	}
	return db, nil
}

func placeOf(c *pgx.ConnConfig) string {
	return fmt.Sprintf("PostgreSQL database %q at %s", c.Database, net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port))))
}

func (db *DB) unavailable(err error) error {
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) && connect.Unwrap() != nil {
		err = connect.Unwrap() // its own text names user, host and database once more
	}
	switch sqlState(err) {
	case "28000", "28P01":
		return domain.Errorf(domain.Forbidden, "STORE_REFUSED", "open %s: the server refuses the log-in (authentication; user and password of store.url): %w", db.where, err)
	}
	return domain.Errorf(domain.Unavailable, "STORE_UNAVAILABLE", "open %s: %w", db.where, err)
}

func (db *DB) start(ctx context.Context, cfg Config, conf *pgxpool.Config) (err error) {
	if _, set := conf.ConnConfig.RuntimeParams["application_name"]; !set {
		conf.ConnConfig.RuntimeParams["application_name"] = "leat"
	}
	if conf.ConnConfig.ConnectTimeout == 0 {
		conf.ConnConfig.ConnectTimeout = 5 * time.Second
	}
	conf.ConnConfig.DialFunc = dialPatiently(0, nil)
	if err := db.firstContact(ctx, cfg.StartWait, conf.ConnConfig); err != nil {
		return err
	}
	for _, p := range []struct {
		pool **pgxpool.Pool
		size int
		lock time.Duration
		read bool
	}{
		{&db.pool, cfg.MaxConns, cfg.StatementTimeout, false},
		{&db.reads, max(4, cfg.MaxConns/2), cfg.StatementTimeout, true},
		{&db.appends, appendWorkers, appendPatience, false},
	} {
		c := conf.Copy()
		c.MaxConns, c.ShouldPing = int32(p.size), db.isGone
		c.ConnConfig.DialFunc = dialPatiently(statementPatience(c.ConnConfig.RuntimeParams, cfg.StatementTimeout), db.renew)
		c.AfterConnect = settings{statement: cfg.StatementTimeout, idle: cfg.IdleTimeout, lock: p.lock, readOnly: p.read}.apply
		if *p.pool, err = pgxpool.NewWithConfig(db.ctx, c); err != nil {
			return db.unavailable(err)
		}
	}
	db.pooled.Store(true)
	if err := db.migrate(ctx, migrations(), db.prefix+"migrations"); err != nil {
		return err
	}
	var head int64
	if err := db.reads.QueryRow(ctx, db.q.head).Scan(&head); err != nil {
		return db.unavailable(err)
	}
	db.topics.saw(head)
	db.appender = newAppender(db)
	db.settlers = &settlers{db: db, sets: map[string]*settler{}, marks: marks{sets: map[string]*marked{}}, patience: settleFor}
	self, err := uuid.NewRandom()
	if err != nil {
		return err
	}
	if db.notifier, err = newNotifier(ctx, db, conf.ConnConfig.Copy(), self.String()); err != nil {
		return db.unavailable(err)
	}
	return nil
}

// isGone asks the server over a connection that was idle whether it is there.
func (db *DB) isGone(ctx context.Context, p pgxpool.ShouldPingParams) bool {
	if p.IdleDuration < unasked {
		return false
	}
	ping, cancel := context.WithTimeout(ctx, pingPatience)
	defer cancel()
	if p.Conn.Ping(ping) == nil {
		return false
	}
	if ctx.Err() == nil {
		db.renew()
	}
	return true // the pool finds it closed and takes another
}

// renew gives the connections up that are idle, and the others when they are given back: where one has
// fallen silent, the others have too, and each would have to be found out by somebody who waits.
func (db *DB) renew() {
	if !db.pooled.Load() {
		return
	}
	for _, pool := range []*pgxpool.Pool{db.appends, db.reads, db.pool} {
		pool.Reset()
	}
}

// firstContact waits for the server and looks whether the promises can be kept on it.
func (db *DB) firstContact(ctx context.Context, wait time.Duration, conf *pgx.ConnConfig) error {
	deadline := time.NewTimer(wait) // of the machine: the server's start is no part of what is stored
	defer deadline.Stop()
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := db.inspect(ctx, conf)
		if err == nil {
			return nil
		}
		if state := sqlState(err); ctx.Err() != nil || state != "" && state != "57P03" && state != "53300" {
			return db.unavailable(err) // it answers, and another time it would say the same
		}
		var refused *refusal
		if errors.As(err, &refused) {
			return db.unavailable(err)
		}
		select {
		case <-ctx.Done():
			return db.unavailable(errors.Join(ctx.Err(), err))
		case <-deadline.C:
			return db.unavailable(err)
		case <-time.After(pause):
			db.logger.Warn("wait for the database", "at", db.where, "error", err)
		}
	}
}

// refusal is a reason not to run on a server.
type refusal struct{ reason string }

func (r *refusal) Error() string { return r.reason }

func (db *DB) inspect(ctx context.Context, conf *pgx.ConnConfig) error {
	ctx, cancel := context.WithTimeout(ctx, greetPatience)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, conf.Copy())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var (
		version                          int
		text, fsync, pages, commit, code string
		standby                          bool
	)
	if err := conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_setting('server_version'),
		current_setting('fsync'), current_setting('full_page_writes'), current_setting('server_encoding'), pg_is_in_recovery(),
		(SELECT reset_val FROM pg_settings WHERE name = 'synchronous_commit')`).
		Scan(&version, &text, &fsync, &pages, &code, &standby, &commit); err != nil {
		return err
	}
	switch {
	case version/10000 < minVersion:
		return &refusal{fmt.Sprintf("the server runs PostgreSQL %s; want %d or newer", text, minVersion)}
	case fsync != "on":
		return &refusal{"the server runs with fsync=off: what it confirms may be lost, which breaks the promise that what is accepted is kept. Turn fsync on"}
	case code != "UTF8":
		return &refusal{fmt.Sprintf("the database has the encoding %s; want UTF8", code)}
	case standby:
		return &refusal{"the server is a standby and can only be read"}
	}
	if commit == "off" || commit == "local" {
		db.logger.Warn("the server's synchronous_commit is weak; the store sets it to on for its own sessions, but what others write may be lost",
			"at", db.where, "synchronous_commit", commit)
	}
	if pages != "on" {
		db.logger.Warn("the server runs with full_page_writes=off: a crash in the middle of a write may damage the database", "at", db.where)
	}
	return nil
}

// settings are what every session of a pool begins with.
type settings struct {
	statement, idle, lock time.Duration
	readOnly              bool
}

func (s settings) apply(ctx context.Context, conn *pgx.Conn) error {
	given := conn.Config().RuntimeParams
	own := func(name string, d time.Duration) string {
		if value, set := given[name]; set {
			return value
		}
		return strconv.FormatInt(d.Milliseconds(), 10)
	}
	_, err := conn.Exec(ctx, `SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false),
		set_config('statement_timeout', $1, false), set_config('idle_in_transaction_session_timeout', $2, false), set_config('lock_timeout', $3, false),
		set_config('default_transaction_isolation', 'read committed', false), set_config('default_transaction_read_only', $4, false),
		set_config('tcp_keepalives_idle', '5', false), set_config('tcp_keepalives_interval', '2', false), set_config('tcp_keepalives_count', '3', false),
		set_config('tcp_user_timeout', '10000', false), set_config('TimeZone', 'UTC', false)`,
		own("statement_timeout", s.statement), own("idle_in_transaction_session_timeout", s.idle), own("lock_timeout", s.lock), strconv.FormatBool(s.readOnly))
	return err
}

// Table returns a table's full name.
func (db *DB) Table(name string) string { return db.prefix + name }

// Close waits for the work that was accepted and closes the connections. Calls that come later get
// ErrClosed. Transactions that are open must end first: Close waits for them.
func (db *DB) Close() error {
	db.closing.Do(func() {
		db.closed.Store(true)
		if db.appender != nil {
			db.appender.close()
		}
		if db.settlers != nil {
			db.settlers.close()
		}
		fault.Point("postgres.closing")
		db.cancel()
		if db.notifier != nil {
			db.notifier.close()
		}
		for _, pool := range []*pgxpool.Pool{db.appends, db.reads, db.pool} {
			if pool != nil {
				pool.Close()
			}
		}
	})
	return nil
}

func (db *DB) now() int64 { return db.clock.Now().UnixMicro() }

// leaseNow is the time that statements with leases go by: nothing, so that the database tells it.
func (db *DB) leaseNow() any {
	if db.leases == nil {
		return nil
	}
	return db.leases.Now().UnixMicro()
}

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
