package main

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "modernc.org/sqlite"

	"github.com/leat-dev/leat/app/event"
)

func rowsP2() []Row {
	const work, peer = "single events published durably by 64 callers at once", "one caller, one commit for each event: the row inserted into a table like the log, no checks"
	return []Row{
		{
			ID: "P2", Variant: "sqlite", Work: work, Peer: peer, AtLeast: 8, Guard: 3, Limits: []Limit{{Name: "p99 ms", Below: 10}}, N: 60_000, Note: "CPU: committer 62 % (inserts 35 %, the commit 20 %), checking and encoding 18 %",
			Ours: publishing("sqlite", 64), Them: inserting("sqlite", 1, 12),
		},
		{
			ID: "P2", Variant: "postgres", Work: work, Peer: peer, AtLeast: 15, Guard: 2, Limits: []Limit{{Name: "p99 ms", Below: 10}}, N: 40_000, Note: "CPU here: checking and encoding 33 %, inserts 20 %, the sequencer 19 %, GC 8 %; the server shares the cores",
			Ours: publishing("postgres", 64), Them: inserting("postgres", 1, 12),
		},
	}
}

// publishing lets callers publish one event at a time.
func publishing(store string, callers int) Side {
	return func(ctx context.Context, env *Env, n int) (Figure, error) {
		w, err := env.open(ctx, setup{store: store, bus: "sql"})
		if err != nil {
			return Figure{}, err
		}
		took := make([][]time.Duration, callers)
		m := env.begin()
		err = spreadOut(callers, n, func(worker, i int) error {
			start := time.Now()
			_, err := w.Publisher.Publish(w.ctx, draftOf(i%1000, i))
			took[worker] = append(took[worker], time.Since(start))
			return err
		})
		f := m.end(n)
		f.latencies("", flat(took))
		if err == nil {
			err = w.holds(ctx, n)
		}
		return f, firstOf(err, w.stop())
	}
}

// holds checks that the log has n events, each at its position.
func (w *world) holds(ctx context.Context, n int) error {
	for deadline := time.Now().Add(30 * time.Second); ; {
		_, last, err := w.Store.Bounds(ctx)
		if err != nil || last >= int64(n) {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the log holds %d events, want %d", last, n)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func flat(all [][]time.Duration) []time.Duration {
	var out []time.Duration
	for _, some := range all {
		out = append(out, some...)
	}
	return out
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// The log's columns, without what gives it its order.
const (
	logColumns = "slot, id, source, tenant, type, schema_version, kind, severity, subject, actor, time, partition_key, correlation_id, causation_id, depth, trace_parent, recorded, data"
	logTable   = `(%s, slot INTEGER NOT NULL, id TEXT NOT NULL, source TEXT NOT NULL, tenant TEXT NOT NULL, type TEXT NOT NULL,
		schema_version INTEGER NOT NULL, kind TEXT NOT NULL, severity TEXT NOT NULL, subject TEXT NOT NULL, actor TEXT NOT NULL, time BIGINT NOT NULL,
		partition_key TEXT NOT NULL, correlation_id TEXT NOT NULL, causation_id TEXT NOT NULL, depth INTEGER NOT NULL, trace_parent TEXT NOT NULL,
		recorded BIGINT NOT NULL, data %s NOT NULL)`
	sqlitePragmas = "?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"
)

func rowOf(i int) ([]any, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	now, key := time.Now().UnixMicro(), keyName(i%1000)
	data := fmt.Appendf(nil, `{"key":%q,"number":%d,"from":"warehouse-0123456789","to":"warehouse-9876543210"}`, key, i)
	return []any{
		event.SlotOf(tenant, key), id.String(), "bench", tenant, "item.moved", 1, "business", "", key, "bench", now, key, id.String(), "", 0, "", now, data,
	}, nil
}

// inserting lets callers insert rows, each with a commit of its own. As it is slow, it does a share
// of the work.
func inserting(store string, callers, share int) Side {
	return func(ctx context.Context, env *Env, n int) (Figure, error) {
		n = max(1, n/share)
		insert, cleanup, err := inserter(ctx, env, store, callers)
		if err != nil {
			return Figure{}, err
		}
		m := env.begin()
		err = spreadOut(callers, n, func(worker, i int) error {
			args, err := rowOf(i)
			if err != nil {
				return err
			}
			return insert(args)
		})
		f := m.end(n)
		return f, firstOf(err, cleanup())
	}
}

func inserter(ctx context.Context, env *Env, store string, callers int) (insert func(args []any) error, cleanup func() error, err error) {
	if store == "sqlite" {
		db, err := sql.Open("sqlite", "file:"+filepath.Join(env.Dir, "peer.db")+sqlitePragmas)
		if err != nil {
			return nil, nil, err
		}
		db.SetMaxOpenConns(1)
		table := fmt.Sprintf(logTable, "position INTEGER PRIMARY KEY AUTOINCREMENT", "BLOB")
		if _, err := db.ExecContext(ctx, "CREATE TABLE log "+table+"; CREATE UNIQUE INDEX identity ON log (id, source, tenant)"); err != nil {
			return nil, nil, err
		}
		stmt, err := db.PrepareContext(ctx, "INSERT INTO log ("+logColumns+") VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)")
		if err != nil {
			return nil, nil, err
		}
		return func(args []any) error {
			_, err := stmt.ExecContext(ctx, args...)
			return err
		}, db.Close, nil
	}
	u, drop, err := database(ctx)
	if err != nil {
		return nil, nil, err
	}
	cfg, err := pgxpool.ParseConfig(u)
	if err != nil {
		return nil, nil, err
	}
	cfg.MaxConns = int32(callers)
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, nil, err
	}
	table := fmt.Sprintf(logTable, "position BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", "BYTEA")
	if _, err := pool.Exec(ctx, "CREATE TABLE log "+table+"; CREATE UNIQUE INDEX identity ON log (id, source, tenant)"); err != nil {
		return nil, nil, err
	}
	var once sync.Once
	return func(args []any) error {
			_, err := pool.Exec(ctx, "INSERT INTO log ("+logColumns+") VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17,$18)", args...)
			return err
		}, func() error {
			once.Do(pool.Close)
			return drop()
		}, nil
}
