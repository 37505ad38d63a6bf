package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// session is the connection of a transaction. Statements whose result nobody waits for go with the
// next one in one round trip; their errors come with it.
type session struct {
	conn  *pgx.Conn
	queue *pgx.Batch
}

var _ statements = (*session)(nil)

// later queues a statement. It is run before the next one, and before the end of the savepoint or the transaction.
func (s *session) later(query string, args ...any) {
	if s.queue == nil {
		s.queue = &pgx.Batch{}
	}
	s.queue.Queue(query, args...)
}

// flush runs what is queued.
func (s *session) flush(ctx context.Context) error {
	if s.queue == nil {
		return nil
	}
	b := s.queue
	s.queue = nil
	return s.conn.SendBatch(ctx, b).Close()
}

// drop forgets what is queued: it will be rolled back.
func (s *session) drop() { s.queue = nil }

// end runs what is queued and then the given statements.
func (s *session) end(ctx context.Context, last ...string) error {
	for _, query := range last {
		s.later(query)
	}
	return s.flush(ctx)
}

func (s *session) Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error) {
	if err := s.flush(ctx); err != nil {
		return pgconn.CommandTag{}, err
	}
	return s.conn.Exec(ctx, query, args...)
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
