package postgres

import (
	"context"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leat-dev/leat/app/settle"
)

const (
	settleBatch = 256                   // how many works share a commit at most
	settleFor   = 20 * time.Millisecond // how long effects are taken in, where they are slow
)

// settlers lets the works of a set share commits. Each set has a worker while there is work for
// it, so that a slow set delays no other.
type settlers struct {
	db     *DB
	mu     sync.Mutex
	sets   map[string]*settler // of the sets that have work
	closed bool
	wg     sync.WaitGroup
}

type settler struct {
	set     string
	pending []*settling
}

// settling is one work on its way.
type settling struct {
	ctx  context.Context
	work settle.Work
	done chan struct{}

	tx       *tx
	err      error
	panicked any
	panicky  bool
	exited   bool // the effect called runtime.Goexit
	ended    bool
	taken    bool
}

func (s *settlers) settle(ctx context.Context, w settle.Work) error {
	r := &settling{ctx: ctx, work: w, done: make(chan struct{})}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	worker, busy := s.sets[w.Lease.Set]
	if !busy {
		worker = &settler{set: w.Lease.Set}
		s.sets[w.Lease.Set] = worker
		s.wg.Add(1)
		go s.work(worker)
	}
	worker.pending = append(worker.pending, r)
	s.mu.Unlock()
	select {
	case <-r.done:
	case <-ctx.Done():
		if s.abandon(worker, r) {
			return ctx.Err()
		}
		<-r.done
	}
	switch {
	case r.panicky:
		panic(r.panicked)
	case r.exited:
		runtime.Goexit()
	}
	return r.err
}

// abandon takes a work out of the queue; false when it has been begun.
func (s *settlers) abandon(worker *settler, r *settling) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.taken {
		return false
	}
	if i := slices.Index(worker.pending, r); i >= 0 {
		worker.pending = slices.Delete(worker.pending, i, i+1)
	}
	return true
}

func (s *settlers) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *settlers) work(worker *settler) {
	defer s.wg.Done()
	for {
		batch := s.take(worker)
		if len(batch) == 0 {
			return
		}
		s.commit(worker.set, batch)
	}
}

// take returns the works that go next; none, and the worker is no more, when there are none.
func (s *settlers) take(worker *settler) []*settling {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(len(worker.pending), settleBatch)
	batch := worker.pending[:n:n]
	worker.pending = worker.pending[n:]
	for _, r := range batch {
		r.taken = true
	}
	if n == 0 {
		delete(s.sets, worker.set)
	}
	return batch
}

// putBack returns works that were not begun to the head of the queue.
func (s *settlers) putBack(worker string, batch []*settling) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.sets[worker]
	for _, r := range batch {
		r.taken = false
	}
	w.pending = append(batch, w.pending...)
}

func (r *settling) end(err error) {
	if !r.ended {
		r.ended, r.err = true, err
		close(r.done)
	}
}

// commit runs the works in one transaction. One that fails is told at once and leaves nothing
// behind; the others are told after the commit.
func (s *settlers) commit(set string, batch []*settling) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*endPatience)
	defer cancel()
	shared, err := s.db.acquire(ctx)
	var fences map[int]int64
	if err == nil {
		defer shared.release()
		shared.shared = true
		fences, err = s.open(ctx, shared, set, batch)
	}
	if err != nil {
		for _, r := range batch {
			r.end(doing("settle events of "+set, err))
		}
		return
	}
	began := time.Now() // of the machine: this is about callers who wait, not about what is stored
	var joined []*settling
	var all outcome
	for i, r := range batch {
		if i > 0 && time.Since(began) > settleFor {
			s.putBack(set, batch[i:])
			break
		}
		if fence := fences[r.work.Lease.Lane]; fence == 0 || fence != r.work.Lease.Fence {
			r.end(settle.ErrFenced)
			continue
		}
		if s.apply(shared, r) {
			joined = append(joined, r)
			all.add(r.work)
		}
	}
	if len(joined) == 0 {
		shared.rollback()
		return
	}
	last := &pgx.Batch{}
	all.queue(s.db, last, set)
	if err = shared.commit(last); err == nil {
		ts := make([]*tx, len(joined))
		for i, r := range joined {
			ts[i] = r.tx
		}
		s.db.committed(ts...)
	}
	for _, r := range joined {
		r.end(err)
	}
}

// open begins the transaction and holds the lanes of the works, so that nobody takes them over
// before its end; it returns their fences.
func (s *settlers) open(ctx context.Context, t *tx, set string, batch []*settling) (map[int]int64, error) {
	var lanes []int32
	for _, r := range batch {
		if lane := int32(r.work.Lease.Lane); !slices.Contains(lanes, lane) {
			lanes = append(lanes, lane)
		}
	}
	fences := make(map[int]int64, len(lanes))
	b := &pgx.Batch{}
	b.Queue("BEGIN")
	b.Queue(s.db.q.fences, set, lanes).Query(func(rows pgx.Rows) error {
		var lane int
		var fence int64
		_, err := pgx.ForEachRow(rows, []any{&lane, &fence}, func() error {
			fences[lane] = fence
			return nil
		})
		return err
	})
	if err := t.conn.SendBatch(ctx, b).Close(); err != nil {
		t.rollback()
		return nil, err
	}
	return fences, nil
}

// apply runs the part of a work that is its own, under a savepoint; false when it has failed and
// was told. The goroutine of an effect that ends it (runtime.Goexit) is another one.
func (s *settlers) apply(shared *tx, r *settling) bool {
	r.tx = &tx{db: s.db, conn: shared.conn, shared: true}
	defer r.tx.ended.Store(true)
	w := r.work
	if err := r.ctx.Err(); err != nil {
		r.end(err)
		return false
	}
	switch {
	case w.Effect != nil:
		if !r.guarded(func() error { return s.effect(r) }) {
			r.end(r.err)
			return false
		}
	case w.Park != nil || w.Dead != nil:
		if err := s.own(r); err != nil {
			r.end(doing("settle event "+w.Event.ID, err))
			return false
		}
	}
	return true
}

func (s *settlers) effect(r *settling) error {
	return r.tx.nested(func() error {
		if err := r.work.Effect(context.WithValue(r.ctx, txKey{s.db}, r.tx)); err != nil {
			return err
		}
		b := &pgx.Batch{}
		if err := s.db.queueOutcome(b, r.work); err != nil || b.Len() == 0 {
			return err
		}
		return doing("settle event "+r.work.Event.ID, r.tx.conn.SendBatch(context.WithoutCancel(r.ctx), b).Close())
	})
}

// own writes a parked event or a dead letter, in one round trip.
func (s *settlers) own(r *settling) error {
	name := "own" + strconv.Itoa(0)
	b := &pgx.Batch{}
	b.Queue("SAVEPOINT " + name)
	if err := s.db.queueOutcome(b, r.work); err != nil {
		return err
	}
	b.Queue("RELEASE SAVEPOINT " + name)
	ctx := context.WithoutCancel(r.ctx)
	err := r.tx.conn.SendBatch(ctx, b).Close()
	if err != nil && !r.tx.conn.IsClosed() {
		_, _ = r.tx.conn.Exec(ctx, "ROLLBACK TO SAVEPOINT "+name)
	}
	return err
}

// guarded runs fn in a goroutine that it may end, and notes how it ended: true when well.
func (r *settling) guarded(fn func() error) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.exited = true
		defer func() {
			if p := recover(); p != nil {
				r.panicked, r.panicky, r.exited = p, true, false
			}
		}()
		r.err = fn()
		r.exited = false
	}()
	<-done
	return r.err == nil && !r.panicky && !r.exited
}
