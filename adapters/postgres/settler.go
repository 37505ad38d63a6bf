package postgres

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leat-dev/leat/app/fault"
	"github.com/leat-dev/leat/app/settle"
)

const (
	settleBatch = 256                   // how many works share a commit at most
	settleOwn   = 60                    // how many of them under savepoints: with more than 64 in a transaction every snapshot gets slow
	settleFor   = 20 * time.Millisecond // how long effects are taken in, where they are slow
)

// settlers lets the works of a set share commits. Each set has a worker while there is work for
// it, so that a slow set delays no other.
type settlers struct {
	db     *DB
	mu     sync.Mutex
	sets   map[string]*settler // of the sets that have work
	marks  marks
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
	if r.err == nil {
		r.tx.committed()
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
	n, own := 0, 0
	for ; n < len(worker.pending) && n < settleBatch && own < settleOwn; n++ {
		if worker.pending[n].own() {
			own++
		}
	}
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

// own tells whether the work writes more than numbers: then it has a savepoint.
func (r *settling) own() bool {
	return r.work.Effect != nil || r.work.Park != nil || r.work.Dead != nil
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
	var at standing
	if err == nil {
		defer shared.release()
		shared.shared = true
		at, err = s.open(ctx, shared, set, batch)
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
		if err := at.admits(r.work); err != nil {
			r.end(err)
			continue
		}
		if s.apply(shared, r) {
			joined = append(joined, r)
			all.add(r.work)
			at.passed(r.work)
		}
	}
	if len(joined) == 0 {
		shared.rollback()
		return
	}
	last := &pgx.Batch{}
	all.queue(s.db, last, set)
	if err = shared.commit(last); err != nil {
		s.marks.drop(set, all.slots...)
	} else {
		s.marks.set(set, joined)
		ts := make([]*tx, len(joined))
		for i, r := range joined {
			ts[i] = r.tx
		}
		s.db.committed(ts...)
		fault.Point("postgres.announced")
	}
	for _, r := range joined {
		r.end(err)
	}
}

// open begins the transaction and holds the lanes of the works, so that nobody takes them over
// before its end; it returns where they stand.
func (s *settlers) open(ctx context.Context, t *tx, set string, batch []*settling) (standing, error) {
	var lanes []int32
	var again []int64
	for _, r := range batch {
		if !r.work.First {
			again = append(again, r.work.Event.Position)
		}
		if lane := int32(r.work.Lease.Lane); !slices.Contains(lanes, lane) {
			lanes = append(lanes, lane)
		}
	}
	cursors, slots := s.marks.of(set, batch)
	at := standing{fences: make(map[int]int64, len(lanes)), cursors: cursors, parked: map[int64]bool{}}
	collect := func(into map[int]int64) func(rows pgx.Rows) error {
		return func(rows pgx.Rows) error {
			var key int
			var value int64
			_, err := pgx.ForEachRow(rows, []any{&key, &value}, func() error {
				into[key] = value
				return nil
			})
			return err
		}
	}
	b := &pgx.Batch{}
	b.Queue("BEGIN")
	b.Queue(s.db.q.fences, set, lanes).Query(collect(at.fences))
	if len(slots) > 0 {
		// A statement of its own: it sees what was committed while the one before waited.
		b.Queue(s.db.q.cursorsOf, set, slots).Query(collect(at.cursors))
	}
	if len(again) > 0 {
		b.Queue(s.db.q.parkedAt, set, again).Query(func(rows pgx.Rows) error {
			var position int64
			_, err := pgx.ForEachRow(rows, []any{&position}, func() error {
				at.parked[position] = true
				return nil
			})
			return err
		})
	}
	if slices.ContainsFunc(batch, (*settling).own) {
		b.Queue("SAVEPOINT " + savepoint)
	}
	if err := t.conn.SendBatch(ctx, b).Close(); err != nil {
		t.rollback()
		return standing{}, err
	}
	return at, nil
}

// savepoint stands before the next work that has something of its own to write.
const savepoint = "work"

// apply runs the part of a work that is its own; false when it has failed, was rolled back and was told.
func (s *settlers) apply(shared *tx, r *settling) bool {
	r.tx = &tx{db: s.db, conn: shared.conn, shared: true}
	defer r.tx.ended.Store(true)
	if err := r.ctx.Err(); err != nil {
		r.end(err)
		return false
	}
	if !r.own() {
		return true
	}
	if r.guarded(func() error { return s.write(r) }) {
		return true
	}
	if shared.conn.drop(); !shared.conn.conn.IsClosed() {
		// Should it fail, the transaction stays aborted and its COMMIT rolls back.
		_, _ = shared.conn.Exec(context.Background(), "ROLLBACK TO SAVEPOINT "+savepoint)
	}
	r.end(r.err)
	return false
}

// write runs the effect, and in one round trip what is left to write and the way to the next work.
func (s *settlers) write(r *settling) error {
	w := r.work
	if w.Effect != nil {
		if err := w.Effect(context.WithValue(r.ctx, txKey{s.db}, r.tx)); err != nil {
			return err
		}
		if r.tx.reading.Load() {
			return errOpenRows
		}
		fault.Point("postgres.effect-made")
	}
	b := &pgx.Batch{}
	err := s.db.queueOutcome(b, w)
	for _, q := range b.QueuedQueries {
		r.tx.conn.later(q.SQL, q.Arguments...)
	}
	if err == nil {
		err = r.tx.conn.end(context.WithoutCancel(r.ctx), "RELEASE SAVEPOINT "+savepoint, "SAVEPOINT "+savepoint)
	}
	return doing("settle event "+w.Event.ID, err)
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
