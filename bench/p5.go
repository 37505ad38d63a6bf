package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/ThreeDotsLabs/watermill"
	wsql "github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/wiring"
)

func rowsP5() []Row {
	const limit = "waiting for the server and for the cores that it shares: the program is busy 21 % of one core, of which router and chain 41 % (decoding 17 %)"
	return []Row{
		{
			ID: "P5", Work: "a handler set on PostgreSQL reads into a backlog of 500,000 events, the record of each outcome included; from its first event to the fifty-thousandth",
			Peer:    "stock watermill-sql subscriber with its defaults, a backlog of 500,000 messages; from its first message to the thousandth",
			AtLeast: 40, Guard: 0.3, N: 50_000, Note: limit, Ours: readingBacklog(500_000, 1), Them: stockBacklog(500_000, 50),
		},
		{
			ID: "P5", Variant: "million", Work: "the same into a backlog of 1,000,000", Peer: "the same set, a backlog of 10,000",
			AtLeast: 0.9, N: 50_000, Note: limit, Ours: readingBacklog(1_000_000, 1), Them: readingBacklog(10_000, 5),
		},
	}
}

// sizeOf is how large a backlog is: a guard takes a tenth.
func (e *Env) sizeOf(size int) int {
	if e.quick {
		return size / 10
	}
	return size
}

// readings numbers the sets, so that each starts at the beginning of the log.
var readings atomic.Int64

// readingBacklog takes the time from the first outcome to the last of n, or of all there are.
func readingBacklog(size, share int) Side {
	return func(ctx context.Context, env *Env, n int) (Figure, error) {
		size := env.sizeOf(size)
		b, err := env.backlog(ctx, env.row, "postgres", size)
		if err != nil {
			return Figure{}, err
		}
		return env.readBacklog(ctx, b, "sql", min(n/share, size))
	}
}

func (e *Env) readBacklog(ctx context.Context, b *backlog, busKind string, n int) (Figure, error) {
	name := fmt.Sprint("reader-", readings.Add(1))
	order, began := newOrder(1000), make(chan struct{})
	begin := sync.OnceFunc(func() { close(began) })
	w, err := e.open(ctx, setup{url: b.url, bus: busKind, sets: []string{name}, build: func(context.Context, wiring.Kit) (wiring.Parts, error) {
		return wiring.Parts{Sets: []handler.Set{handler.NewSet(name, handler.FromStart(), handler.On(func(_ context.Context, e moved) error {
			begin()
			return order.saw(e)
		}))}}, nil
	}})
	if err != nil {
		return Figure{}, err
	}
	select {
	case <-began:
	case <-ctx.Done():
		return Figure{}, errors.Join(ctx.Err(), w.stop())
	}
	m := e.begin()
	before := int(w.count.handled.Load())
	err = w.count.wait(ctx, n)
	f := m.end(int(w.count.handled.Load()) - before)
	return f, firstOf(err, order.check(n), w.stop())
}

// order sees whether the events of a key come in order, each once.
type order struct {
	last  []atomic.Int64 // by key; -1 before the first
	count atomic.Int64
}

func newOrder(keys int) *order {
	o := &order{last: make([]atomic.Int64, keys)}
	for i := range o.last {
		o.last[i].Store(-1)
	}
	return o
}

func (o *order) saw(e moved) error {
	var key int
	if _, err := fmt.Sscanf(e.Key, "item-%d", &key); err != nil {
		return handler.Permanent(err)
	}
	o.count.Add(1)
	if last := o.last[key].Swap(int64(e.Number)); last >= int64(e.Number) {
		return handler.Permanent(fmt.Errorf("number %d of %s came after %d", e.Number, e.Key, last))
	}
	return nil
}

// check wants at least n events; what came out of order was no success, and is missing.
func (o *order) check(n int) error {
	if got := o.count.Load(); got < int64(n) {
		return fmt.Errorf("%d events came, want %d", got, n)
	}
	return nil
}

// stockBacklog is the peer. As it is slow, it does a share of the work.
func stockBacklog(size, share int) Side {
	return func(ctx context.Context, env *Env, n int) (f Figure, err error) {
		n, size := max(200, n/share), env.sizeOf(size)
		made, err := env.row.once(fmt.Sprint("watermill-sql ", size), func() (any, func() error, error) {
			u, drop, err := database(ctx)
			if err != nil {
				return nil, nil, err
			}
			if err := fillStock(ctx, u, size); err != nil {
				return nil, nil, errors.Join(err, drop())
			}
			return u, drop, nil
		})
		if err != nil {
			return Figure{}, err
		}
		db, err := sql.Open("pgx", made.(string))
		if err != nil {
			return Figure{}, err
		}
		defer func() { err = firstOf(err, db.Close()) }()
		sub, err := wsql.NewSubscriber(wsql.BeginnerFromStdSQL(db), wsql.SubscriberConfig{
			ConsumerGroup: fmt.Sprint("reader-", readings.Add(1)),
			SchemaAdapter: wsql.DefaultPostgreSQLSchema{}, OffsetsAdapter: wsql.DefaultPostgreSQLOffsetsAdapter{}, InitializeSchema: true,
		}, watermill.NopLogger{})
		if err != nil {
			return Figure{}, err
		}
		defer func() { err = firstOf(err, sub.Close()) }()
		messages, err := sub.Subscribe(ctx, stockTopic)
		if err != nil {
			return Figure{}, err
		}
		var m meter
		for i := range n + 1 {
			select {
			case msg := <-messages:
				var e moved
				if err := json.Unmarshal(msg.Payload, &e); err != nil {
					return Figure{}, err
				}
				if e.Number != i {
					return Figure{}, fmt.Errorf("number %d came, want %d", e.Number, i)
				}
				msg.Ack()
			case <-ctx.Done():
				return Figure{}, fmt.Errorf("%d of %d messages came: %w", i, n, ctx.Err())
			}
			if i == 0 {
				m = env.begin()
			}
		}
		return m.end(n), nil
	}
}

const stockTopic = "events"

// fillStock makes the tables as watermill-sql does and fills them, a thousand messages in a
// transaction, for it orders by transactions.
func fillStock(ctx context.Context, url string, size int) error {
	schema := wsql.DefaultPostgreSQLSchema{}
	queries, err := schema.SchemaInitializingQueries(wsql.SchemaInitializingQueriesParams{Topic: stockTopic})
	if err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for _, q := range queries {
		if _, err := conn.Exec(ctx, q.Query, q.Args...); err != nil {
			return err
		}
	}
	table := schema.MessagesTable(stockTopic)
	for first := 0; first < size; first += 1000 {
		if _, err := conn.Exec(ctx, "INSERT INTO "+table+` (uuid, payload, metadata, transaction_id)
			SELECT gen_random_uuid()::text, ('{"key":"item-' || lpad((i % 1000)::text, 6, '0') || '","number":' || i || ',"from":"warehouse-0123456789","to":"warehouse-9876543210"}')::json,
				'{"type":"item.moved"}', pg_current_xact_id()
			FROM generate_series($1::bigint, $2::bigint) AS i ORDER BY i`, first, min(size, first+1000)-1); err != nil {
			return err
		}
	}
	_, err = conn.Exec(ctx, "VACUUM (ANALYZE) "+table)
	return err
}
