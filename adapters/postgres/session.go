package postgres

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// session is the connection of a transaction. Statements whose result nobody waits for go with the
// next one in one round trip; their errors come with it.
type session struct {
	conn  *pgx.Conn
	queue *pgx.Batch
	edge  int // how many at the head of the queue are savepoints between works: nothing can be wrong with them
}

var _ statements = (*session)(nil)

// later queues a statement. It is run before the next one, and before the end of the savepoint or the transaction.
func (s *session) later(query string, args ...any) {
	if s.queue == nil {
		s.queue = &pgx.Batch{}
	}
	s.queue.Queue(query, args...)
}

// between queues savepoints between two works. Nothing else is queued.
func (s *session) between(queries ...string) {
	for _, query := range queries {
		s.later(query)
	}
	s.edge = s.queue.Len()
}

// waiting is how many statements are queued.
func (s *session) waiting() int {
	if s.queue == nil {
		return 0
	}
	return s.queue.Len()
}

// unsay takes back the savepoints that were queued after the first n statements, unless they have gone to the
// server. Nothing was done under them then, and there is nothing to roll back.
func (s *session) unsay(n int) bool {
	if s.edge <= n || s.busy() {
		return false
	}
	if s.queue.QueuedQueries, s.edge = s.queue.QueuedQueries[:n], n; n == 0 {
		s.queue = nil
	}
	return true
}

// busy tells whether something of a work itself is queued.
func (s *session) busy() bool { return s.queue != nil && s.queue.Len() > s.edge }

// taken returns the queue, which is empty then.
func (s *session) taken() *pgx.Batch {
	b := s.queue
	s.queue, s.edge = nil, 0
	if b == nil {
		b = &pgx.Batch{}
	}
	return b
}

// flush runs what is queued.
func (s *session) flush(ctx context.Context) error {
	if s.queue == nil {
		return nil
	}
	return s.conn.SendBatch(ctx, s.taken()).Close()
}

// forget forgets what a work has queued, which will be rolled back.
func (s *session) forget() {
	if s.busy() {
		s.queue.QueuedQueries = s.queue.QueuedQueries[:s.edge]
	}
	if s.edge == 0 {
		s.queue = nil
	}
}

// drop forgets all that is queued: the transaction will be rolled back.
func (s *session) drop() { s.taken() }

// end runs what is queued and then the given statements.
func (s *session) end(ctx context.Context, last ...string) error {
	for _, query := range last {
		s.later(query)
	}
	return s.flush(ctx)
}

func (s *session) Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error) {
	if s.queue != nil {
		joins, err := s.joins(ctx, query, args)
		if err != nil {
			return pgconn.CommandTag{}, err
		}
		if joins {
			b := s.taken()
			b.Queue(query, args...)
			return lastOf(s.conn.SendBatch(ctx, b), b.Len())
		}
		if err := s.flush(ctx); err != nil {
			return pgconn.CommandTag{}, err
		}
	}
	return s.conn.Exec(ctx, query, args...)
}

// lastOf returns the result of the last of n statements, and the first error.
func lastOf(results pgx.BatchResults, n int) (tag pgconn.CommandTag, err error) {
	for range n {
		if tag, err = results.Exec(); err != nil {
			break
		}
	}
	if end := results.Close(); err == nil {
		err = end
	}
	return tag, err
}

// prepared is what a connection knows of statements that were prepared on it for joins.
type prepared struct {
	off   bool // by configuration
	texts map[string]*pgconn.StatementDescription
}

const (
	preparedKey  = "leat prepared"
	mostPrepared = 256 // for each connection
)

func preparedOn(conn *pgx.Conn) *prepared {
	data := conn.PgConn().CustomData()
	p, _ := data[preparedKey].(*prepared)
	if p == nil {
		p = &prepared{
			off:   conn.Config().DefaultQueryExecMode != pgx.QueryExecModeCacheStatement, // Config makes a copy
			texts: map[string]*pgconn.StatementDescription{},
		}
		data[preparedKey] = p
	}
	return p
}

// joins tells whether a statement may go with the savepoints that are queued, in one round trip. What can fail
// before they have been made goes after them: a statement that the server does not know yet, and
// arguments that do not fit. Otherwise nobody could tell where to roll back to.
func (s *session) joins(ctx context.Context, query string, args []any) (bool, error) {
	if len(args) == 0 || s.busy() {
		return false, nil
	}
	p := preparedOn(s.conn)
	if p.off {
		return false, nil
	}
	sd, known := p.texts[query]
	if !known {
		// What returns rows is left to pgx, which forgets it when the table changes.
		if len(p.texts) >= mostPrepared || strings.Contains(strings.ToUpper(query), "RETURNING") {
			return false, nil
		}
		if err := s.flush(ctx); err != nil {
			return false, err
		}
		sd, err := s.conn.Prepare(ctx, query, query)
		if err == nil && len(sd.Fields) == 0 {
			p.texts[query] = sd
		}
		return false, err
	}
	var b pgx.ExtendedQueryBuilder
	return b.Build(s.conn.TypeMap(), sd, args) == nil, nil
}

func (s *session) Query(ctx context.Context, query string, args ...any) (pgx.Rows, error) {
	if err := s.flush(ctx); err != nil {
		return nil, err
	}
	return s.conn.Query(ctx, query, args...)
}

func (s *session) QueryRow(ctx context.Context, query string, args ...any) pgx.Row {
	if err := s.flush(ctx); err != nil {
		return failedRow{err}
	}
	return s.conn.QueryRow(ctx, query, args...)
}

func (s *session) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	if err := s.flush(ctx); err != nil {
		return failedBatch{err: err}
	}
	return s.conn.SendBatch(ctx, b)
}

// failedBatch is the results that there are not. Nothing else of the interface is used.
type failedBatch struct {
	pgx.BatchResults
	err error
}

func (f failedBatch) Exec() (pgconn.CommandTag, error) { return pgconn.CommandTag{}, f.err }
func (f failedBatch) Query() (pgx.Rows, error)         { return nil, f.err }
func (f failedBatch) QueryRow() pgx.Row                { return failedRow{f.err} }
func (f failedBatch) Close() error                     { return f.err }
