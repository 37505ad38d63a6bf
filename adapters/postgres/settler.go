package postgres

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/leat-dev/leat/app/settle"
)

const (
	settleBatch = 512                   // how many works share a commit at most
	settleOwn   = 60                    // how many of them under savepoints: with more than 64 in a transaction every snapshot gets slow
	settleFor   = 20 * time.Millisecond // how long effects are taken in, where they are slow
)

// settlers lets the works of a set share commits. Each set has a worker while there is work for
// it, so that a slow set delays no other.
type settlers struct {
	db     *DB
	mu     sync.Mutex
	sets   map[string]*settler // of the sets that had work
	marks  marks
	closed bool
	wg     sync.WaitGroup

	patience time.Duration // settleFor
}

type settler struct {
	set     string
	pending []*settling
	busy    bool          // there is a goroutine
	came    chan struct{} // capacity 1: something is pending

	rounds rounds // belongs to the goroutine
}

// settling is one work on its way.
type settling struct {
	ctx  context.Context
	work settle.Work
	done chan struct{}
	turn chan struct{} // closed when the caller may run its effect
	ran  chan struct{} // closed when it has

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
	if w.Effect != nil {
		r.turn, r.ran = make(chan struct{}), make(chan struct{})
	}
	worker, err := s.submit(r)
	if err != nil {
		return err
	}
	turn, gone := r.turn, ctx.Done()
wait:
	for {
		select {
		case <-r.done:
			break wait
		case <-turn:
			turn = nil
			r.effect()
		case <-gone:
			if s.abandon(worker, r) {
				return ctx.Err()
			}
			gone = nil
		}
	}
	if r.panicky {
		panic(r.panicked)
	}
	if r.err == nil {
		r.tx.committed()
	}
	return r.err
}

// submit puts a work into the queue of its set.
func (s *settlers) submit(r *settling) (*settler, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	set := r.work.Lease.Set
	worker := s.sets[set]
	if worker == nil {
		worker = &settler{set: set, came: make(chan struct{}, 1), rounds: newRounds()}
		s.sets[set] = worker
	}
	worker.pending = append(worker.pending, r)
	if !worker.busy {
		worker.busy = true
		s.wg.Add(1)
		go s.work(worker)
	}
	select {
	case worker.came <- struct{}{}:
	default:
	}
	return worker, nil
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
		s.commit(worker, batch)
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
	worker.busy = n > 0
	return worker.next(n)
}

// next takes the first n works out of the queue.
func (w *settler) next(n int) []*settling {
	batch := w.pending[:n:n]
	if w.pending = w.pending[n:]; len(w.pending) == 0 {
		w.pending = nil
	}
	for _, r := range batch {
		r.taken = true
	}
	return batch
}

// putBack returns works that were not begun to the head of the queue.
func (s *settlers) putBack(worker *settler, batch []*settling) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range batch {
		r.taken = false
	}
	worker.pending = append(slices.Clone(batch), worker.pending...)
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

// effect runs the effect in the goroutine of the caller, whose stack has grown already, and notes
// how it ended.
func (r *settling) effect() {
	r.exited = true
	defer func() {
		if p := recover(); p != nil {
			r.panicked, r.panicky, r.exited = p, true, false
		}
		close(r.ran)
		if r.exited {
			<-r.done // the goroutine ends when the work is undone
		}
	}()
	err := r.work.Effect(context.WithValue(r.ctx, txKey{r.tx.db}, r.tx))
	r.err, r.exited = err, false
}
