package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

func rowsP6b() []Row {
	const limit = "CPU here: a round trip for each effect 27 %, lanes 13 %, allocation 13 %; some 44 works share a commit; the server shares the cores"
	const work = "end to end on PostgreSQL, durable, four handler sets whose effect is a row, exactly once, 1,000 keys; 4 callers with batches of 100"
	const peer = "River, a job for each event and set that inserts the same row; InsertManyFast with batches of 100 events, cooldown 2 ms, poll 20 ms, 100 workers a set; "
	return []Row{
		{
			ID: "P6b", Work: work, Peer: peer + "at least once", AtLeast: 1.5, Guard: 0.4, N: 10_000, Batch: 100, Note: limit,
			Ours: endToEnd("postgres", "sql", 1000, 100), Them: riverJobs(false),
		},
		{
			ID: "P6b", Variant: "exactly-once", Work: work, Peer: peer + "exactly once (JobCompleteTx)", AtLeast: 1.5, Guard: 0.4, N: 10_000, Batch: 100, Note: limit,
			Ours: endToEnd("postgres", "sql", 1000, 100), Them: riverJobs(true),
		},
	}
}

type jobArgs struct {
	Set   string `json:"set"`
	moved        // the event
}

func (jobArgs) Kind() string { return "item_moved" }

type jobWorker struct {
	river.WorkerDefaults[jobArgs]
	pool *pgxpool.Pool
	once bool
	done *atomic.Int64
}

// Work inserts the row, in the transaction that completes the job when it shall be once.
func (w *jobWorker) Work(ctx context.Context, job *river.Job[jobArgs]) error {
	insert := "INSERT INTO leat_effects_" + job.Args.Set + " (position, key, number) VALUES ($1, $2, $3)"
	if !w.once {
		_, err := w.pool.Exec(ctx, insert, job.ID, job.Args.Key, job.Args.Number)
		return err
	}
	return pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, insert, job.ID, job.Args.Key, job.Args.Number); err != nil {
			return err
		}
		_, err := river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, job)
		return err
	})
}

func riverJobs(once bool) Side {
	return func(ctx context.Context, env *Env, n int) (f Figure, err error) {
		u, drop, err := database(ctx)
		if err != nil {
			return Figure{}, err
		}
		defer func() { err = firstOf(err, drop()) }()
		cfg, err := pgxpool.ParseConfig(u)
		if err != nil {
			return Figure{}, err
		}
		cfg.MaxConns = 40
		pool, err := pgxpool.NewWithConfig(ctx, cfg)
		if err != nil {
			return Figure{}, err
		}
		defer pool.Close()
		migrator, err := rivermigrate.New(riverpgxv5.New(pool), nil)
		if err != nil {
			return Figure{}, err
		}
		if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
			return Figure{}, err
		}
		queues := map[string]river.QueueConfig{}
		for _, name := range effectNames {
			queues[name] = river.QueueConfig{MaxWorkers: 100}
			if _, err := pool.Exec(ctx, "CREATE TABLE leat_effects_"+name+" (position BIGINT NOT NULL, key TEXT NOT NULL, number BIGINT NOT NULL)"); err != nil {
				return Figure{}, err
			}
		}
		workers := river.NewWorkers()
		river.AddWorker(workers, &jobWorker{pool: pool, once: once})
		client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
			Queues: queues, Workers: workers, FetchCooldown: 2 * time.Millisecond, FetchPollInterval: 20 * time.Millisecond,
			Logger: slog.New(slog.DiscardHandler), JobTimeout: -1,
		})
		if err != nil {
			return Figure{}, err
		}
		completed, unsubscribe := client.SubscribeConfig(&river.SubscribeConfig{
			Kinds: []river.EventKind{river.EventKindJobCompleted, river.EventKindJobFailed}, ChanSize: 1_000_000,
		})
		defer unsubscribe()
		if err := client.Start(ctx); err != nil {
			return Figure{}, err
		}
		m := env.begin()
		if err := insertJobs(ctx, client, n); err != nil {
			return Figure{}, err
		}
		for range n * len(effectNames) {
			select {
			case e := <-completed:
				if e.Kind != river.EventKindJobCompleted {
					return Figure{}, fmt.Errorf("a job failed: %v", e.Job.Errors)
				}
			case <-ctx.Done():
				return Figure{}, ctx.Err()
			}
		}
		f = m.end(n)
		stopping, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		if err := client.Stop(stopping); err != nil && !errors.Is(err, context.Canceled) {
			return f, err
		}
		for _, name := range effectNames {
			var rows int
			if err := pool.QueryRow(ctx, "SELECT count(*) FROM leat_effects_"+name).Scan(&rows); err != nil {
				return f, err
			}
			if rows != n {
				return f, fmt.Errorf("%d effects of %s, want %d", rows, name, n)
			}
		}
		return f, nil
	}
}

func insertJobs(ctx context.Context, client *river.Client[pgx.Tx], n int) error {
	const batch = 100
	return spreadOut(4, n/batch, func(_, b int) error {
		params := make([]river.InsertManyParams, 0, batch*len(effectNames))
		for i := range batch {
			e := movedOf(rand.IntN(1000), b*batch+i)
			for _, name := range effectNames {
				params = append(params, river.InsertManyParams{
					Args: jobArgs{Set: name, moved: e}, InsertOpts: &river.InsertOpts{Queue: name},
				})
			}
		}
		_, err := client.InsertManyFast(ctx, params)
		return err
	})
}
