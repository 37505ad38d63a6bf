package sqlite

import (
	"cmp"
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leat-dev/leat/app/fault"
	"github.com/leat-dev/leat/app/settle"
)

const (
	maxBatch  = 256                    // how many callers share a commit at most
	gatherMin = 8                      // with so many, others are likely to come: those of the commit before
	gatherFor = 300 * time.Microsecond // how long to wait for them, or for a lane that goes on
	heldRows  = 100                    // so many events are not held back for more
	idleRows  = 20                     // so many are worth a statement where one would wait
	batchFor  = 20 * time.Millisecond  // how long callers are taken in, where their functions are slow
	queueSize = 1024                   // how many callers wait in order; more wait for room
)

// committer runs the functions of many callers in shared transactions. Its goroutine, started by
// newCommitter and ended by close, owns the writer.
type committer struct {
	db    *DB
	w     *writer
	queue chan *request
	ended chan struct{} // the goroutine is gone

	mu     sync.RWMutex // held for reading while something is being put into the queue
	closed bool

	// What follows belongs to the goroutine. It is here and not on its stack because a function of
	// a caller may end the goroutine (runtime.Goexit); another one then goes on with the batch.
	batch    []*request    // applied, not committed
	held     []*request    // appends that came after these, to be applied together
	rows     int           // how many events they have
	running  bool          // a transaction is open
	patience time.Duration // batchFor
	callers  int           // in the batch, who are told only after the commit
	before   int           // how many of them shared the last commit
	lanes    lanes
	finished bool
}

// request is one caller's function on its way.
type request struct {
	ctx   context.Context
	fn    func(t *tx) error
	alone func() error // instead of fn: runs between transactions
	bare  bool         // fn needs no savepoint
	add   *appending   // all that fn does is to append these
	work  *settle.Work // fn settles it
	state atomic.Int32
	done  chan struct{} // closed when the outcome is known

	// The outcome.
	err      error
	panicked any
	panicky  bool
	exited   bool // fn called runtime.Goexit
	touched  []string
	after    []func() // the caller runs them after the commit
}

const (
	queued int32 = iota
	taken
	abandoned
)

func newCommitter(db *DB, w *writer) *committer {
	c := &committer{db: db, w: w, queue: make(chan *request, queueSize), ended: make(chan struct{}), patience: batchFor, lanes: newLanes()}
	go c.run()
	return c
}

// close lets what is in the queue finish, and then ends the goroutine.
func (c *committer) close() {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		close(c.queue)
	}
	c.mu.Unlock()
	<-c.ended
}

// submit runs fn in a transaction and returns when that has ended. bare says that fn makes one
// writing statement at most, as its last act: as SQLite undoes a failed statement, it can do
// without a savepoint.
func (c *committer) submit(ctx context.Context, bare bool, fn func(t *tx) error) error {
	return c.await(&request{ctx: ctx, fn: fn, bare: bare, done: make(chan struct{})})
}

// settle is submit for works of lanes that are no part of another transaction.
func (c *committer) settle(ctx context.Context, bare bool, w *settle.Work, fn func(t *tx) error) error {
	return c.await(&request{ctx: ctx, fn: fn, bare: bare, work: w, done: make(chan struct{})})
}

// exclusively runs fn while no transaction is open.
func (c *committer) exclusively(ctx context.Context, fn func() error) error {
	return c.await(&request{ctx: ctx, alone: fn, done: make(chan struct{})})
}

// append puts events into the log, in one statement with those of others where they come together.
func (c *committer) append(ctx context.Context, a *appending) error {
	r := &request{ctx: ctx, bare: len(a.events) == 1, add: a, done: make(chan struct{})}
	r.fn = func(t *tx) error { return c.db.insert(t, a) }
	if err := c.enqueue(r); err != nil {
		return err
	}
	a.name() // meanwhile
	return r.await()
}

func (c *committer) await(r *request) error {
	if err := c.enqueue(r); err != nil {
		return err
	}
	return r.await()
}

// await waits for the outcome of a request that is in the queue.
func (r *request) await() error {
	select {
	case <-r.done:
	case <-r.ctx.Done():
		if r.state.CompareAndSwap(queued, abandoned) {
			return r.ctx.Err()
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
		for _, fn := range r.after {
			fn()
		}
	}
	return r.err
}

func (c *committer) enqueue(r *request) error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.closed {
		return ErrClosed
	}
	select {
	case c.queue <- r:
		return nil
	case <-r.ctx.Done():
		return r.ctx.Err()
	}
}

func (c *committer) run() {
	defer func() {
		if !c.finished {
			go c.run()
			return
		}
		close(c.ended)
	}()
	for {
		if c.running {
			c.gather()
			c.finish()
			continue
		}
		r, ok := <-c.queue
		if !ok {
			c.finished = true
			return
		}
		c.take(r)
	}
}

// gather runs what waits in the queue, until there is nothing more or the batch is full. With some
// callers in the batch, and fewer than in the one before, it waits a little for the others: they have just
// been told and are likely to come again. It also waits a little for lanes that said they would go on,
// each time that one has come.
func (c *committer) gather() {
	var company *time.Timer
	began := time.Now() // of the machine: this is about callers who wait, not about what is stored
	for !c.w.gone && len(c.batch)+len(c.held) < maxBatch && time.Since(began) < c.patience {
		select {
		case r, ok := <-c.queue:
			if !ok {
				return
			}
			c.take(r)
			continue
		default:
		}
		goesOn, callers := c.lanes.expected(), c.callers+len(c.held)
		if !goesOn && (callers < gatherMin || callers >= c.before) {
			return
		}
		if c.rows >= idleRows { // rather than wait
			c.flush()
			continue
		}
		switch {
		case company == nil:
			company = time.NewTimer(gatherFor)
			defer company.Stop()
		case goesOn:
			company.Reset(gatherFor)
		}
		select {
		case r, ok := <-c.queue:
			if !ok {
				return
			}
			c.take(r)
		case <-company.C:
			c.lanes.late()
			return
		}
	}
}

// take runs one request, in the open transaction or a new one.
func (c *committer) take(r *request) {
	if !r.state.CompareAndSwap(queued, taken) {
		return // its caller is gone
	}
	if err := r.ctx.Err(); err != nil {
		r.end(err)
		return
	}
	if r.alone != nil {
		if c.running {
			c.finish()
		}
		defer r.settle()
		r.guard(r.alone)
		return
	}
	if r.work != nil {
		if err := c.lanes.arrive(r.work); err != nil {
			r.end(err)
			return
		}
	}
	if !c.running {
		if err := c.w.begin(); err != nil {
			r.end(lost(err))
			return
		}
		c.running = true
	}
	if r.add != nil {
		c.hold(r)
		return
	}
	c.flush()
	if r.work == nil && !r.bare {
		// It may look at cursors, or change them.
		if err := c.lanes.moveCursors(c.db, c.w); err != nil {
			r.end(lost(err))
			return
		}
	}
	c.apply(r)
}

// hold keeps an append back for those that come next. It goes before whatever else does.
func (c *committer) hold(r *request) {
	c.held = append(c.held, r)
	if c.rows += len(r.add.events); c.rows >= heldRows {
		c.flush()
	}
}

// flush applies the appends that were held, many together; when one of those fails, each alone.
func (c *committer) flush() {
	held := c.held
	c.held, c.rows = c.held[:0], 0
	for rest := held; len(rest) > 0; {
		group := rest[:groupOf(rest)]
		if len(group) == 1 || !c.together(group) {
			for _, r := range group {
				c.apply(r)
			}
		}
		rest = rest[len(group):]
	}
	clear(held)
}

// groupOf returns how many of the appends go together: where each has one event, as many as one statement does,
// which needs no savepoint.
func groupOf(held []*request) int {
	for _, r := range held {
		if !r.bare {
			return len(held)
		}
	}
	return rowsAtOnce(len(held))
}

func (c *committer) together(group []*request) bool {
	calls, bare := make([]*appending, len(group)), true
	for i, r := range group {
		calls[i], bare = r.add, bare && r.bare
	}
	t := &tx{db: c.db, w: c.w}
	insert := func() error { return c.db.insert(t, calls...) }
	var err error
	if bare {
		err = insert()
	} else {
		err = t.nested(insert)
	}
	if err != nil || c.w.gone {
		return false
	}
	group[0].touched = t.touched
	c.batch = append(c.batch, group...)
	c.callers += len(group)
	return true
}

// apply runs a request's function under its savepoint. One that succeeds joins the batch; one
// that does not has left nothing behind, and its caller is told at once.
func (c *committer) apply(r *request) {
	t := &tx{db: c.db, w: c.w}
	joined := false
	defer func() {
		t.ended.Store(true)
		if joined {
			return
		}
		r.settle()
	}()
	r.guard(func() error {
		if r.bare {
			return r.fn(t)
		}
		return t.nested(func() error { return r.fn(t) })
	})
	if c.w.gone && !r.panicky {
		r.err = lost(cmp.Or(r.err, errLost))
	}
	if r.err == nil && !r.panicky {
		r.touched, r.after = t.touched, t.after
		c.batch = append(c.batch, r)
		joined = true
		if r.work == nil || !c.lanes.apply(r.work) {
			c.callers++
		}
	}
}

// guard runs fn and notes how it ended.
func (r *request) guard(fn func() error) {
	r.exited = true
	defer func() {
		if p := recover(); p != nil {
			r.panicked, r.panicky, r.exited = p, true, false
		}
	}()
	r.err = fn()
	r.exited = false
}

// finish commits the batch and tells its callers.
func (c *committer) finish() {
	c.flush()
	batch := c.batch
	c.batch, c.running, c.before, c.callers = nil, false, c.callers, 0
	fault.Point("sqlite.before-commit")
	var err error
	if len(batch) == 0 || c.w.gone {
		if c.w.gone {
			err = lost(errLost)
		}
		c.w.rollback()
	} else {
		if err = c.lanes.moveCursors(c.db, c.w); err == nil {
			err = c.w.commit()
		} else {
			c.w.rollback()
		}
		if err != nil {
			err = lost(err)
		}
	}
	c.lanes.end(batch, err)
	if err != nil {
		c.db.logger.Error("the store lost a transaction", "error", err, "callers", len(batch))
	} else if len(batch) > 0 {
		fault.Point("sqlite.committed")
		if n := len(c.w.appended); n > 0 { // before anybody is told to look
			c.db.recent.add(c.w.appended)
			c.db.head.Store(c.w.appended[n-1].Position)
		}
		c.db.topics.committed(batch)
		fault.Point("sqlite.announced")
	}
	for i, r := range batch {
		r.end(err)
		batch[i] = nil
	}
	c.batch = batch[:0]
}

func (r *request) end(err error) {
	r.err = err
	r.settle()
}

func (r *request) settle() { close(r.done) }
