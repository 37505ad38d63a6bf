package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leat-dev/leat/app/fault"
)

// shared is a transaction for the works of one set.
type shared struct {
	*tx
	s      *settlers
	worker *settler
	at     standing
	began  time.Time // of the machine: this is about callers who wait, not about what is stored
	joined []*settling
	all    outcome
	own    int    // works under savepoints so far
	spot   string // the savepoint that is not released yet
	broken bool   // nothing more can join
}

// commit runs the works, and those that come meanwhile, in one transaction. One that fails is told at
// once and leaves nothing behind; the others are told after the commit.
func (s *settlers) commit(worker *settler, batch []*settling) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*endPatience)
	defer cancel()
	t, err := s.db.acquire(ctx)
	var at standing
	if err == nil {
		defer t.release()
		t.shared = true
		at, err = s.open(ctx, t, worker, batch)
	}
	if err != nil {
		for _, r := range batch {
			r.end(doing("settle events of "+worker.set, err))
		}
		return
	}
	c := &shared{tx: t, s: s, worker: worker, at: at, began: time.Now()}
	c.take(batch)
	c.gather()
	if len(c.joined) == 0 {
		t.rollback()
		worker.rounds.end(nil, nil)
		return
	}
	last := &pgx.Batch{}
	c.all.queue(s.db, last, worker.set)
	if c.broken && !t.conn.conn.IsClosed() {
		t.rollback()
		err = doing("commit", errAborted)
	} else {
		err = t.commit(last)
	}
	worker.rounds.end(c.joined, err)
	if err != nil {
		s.marks.drop(worker.set, c.all.slots...)
	} else {
		s.marks.set(worker.set, c.joined)
		ts := make([]*tx, len(c.joined))
		for i, r := range c.joined {
			ts[i] = r.tx
		}
		s.db.committed(ts...)
		fault.Point("postgres.announced")
	}
	for _, r := range c.joined {
		r.end(err)
	}
}

// full tells whether nothing more shall join.
func (c *shared) full() bool {
	return c.broken || len(c.joined) >= settleBatch || c.own >= settleOwn || time.Since(c.began) > c.s.patience
}

// take runs works; what comes too late goes back into the queue.
func (c *shared) take(batch []*settling) {
	if err := c.look(batch); err != nil {
		for _, r := range batch {
			r.end(err)
		}
		return
	}
	for i, r := range batch {
		if (i > 0 || len(c.joined) > 0) && c.full() {
			c.s.putBack(c.worker, batch[i:])
			return
		}
		w := r.work
		err := c.worker.rounds.arrive(w)
		if err == nil {
			err = c.at.admits(w)
		}
		if err != nil {
			r.end(err)
			continue
		}
		if c.apply(r) {
			c.joined = append(c.joined, r)
			c.all.add(w)
			c.at.passed(w)
			c.worker.rounds.apply(w)
		} else if w.Effect != nil {
			c.worker.rounds.expect(w.Lease.Lane) // with what becomes of the event
		}
	}
}

// look finds out which events of works that have come since the beginning are parked.
func (c *shared) look(batch []*settling) error {
	var again []int64
	for _, r := range batch {
		if _, seen := c.at.parked[r.work.Event.Position]; !seen && !r.work.First {
			again = append(again, r.work.Event.Position)
		}
	}
	if len(again) == 0 {
		return nil
	}
	b := c.conn.taken()
	c.s.db.queueParked(b, c.worker.set, again, c.at.parked)
	err := c.conn.conn.SendBatch(context.Background(), b).Close()
	c.broken = err != nil
	return doing("settle events of "+c.worker.set, err)
}

// queueParked notes which of the positions are those of parked events.
func (db *DB) queueParked(b *pgx.Batch, set string, positions []int64, parked map[int64]bool) {
	for _, position := range positions {
		parked[position] = false
	}
	b.Queue(db.q.parkedAt, set, positions).Query(func(rows pgx.Rows) error {
		var position int64
		_, err := pgx.ForEachRow(rows, []any{&position}, func() error {
			parked[position] = true
			return nil
		})
		return err
	})
}

// gather takes in what comes while the transaction is open, and waits a little for lanes that said
// they would go on, each time that one has come.
func (c *shared) gather() {
	var company *time.Timer
	for !c.full() {
		batch, others := c.waiting()
		if len(batch) > 0 {
			c.take(batch)
			continue
		}
		if others || !c.worker.rounds.expected() {
			return
		}
		if company == nil {
			company = time.NewTimer(gatherFor)
			defer company.Stop()
		} else {
			company.Reset(gatherFor)
		}
		select {
		case <-c.worker.came:
		case <-company.C:
			c.worker.rounds.late()
			return
		}
	}
}

// waiting takes works that can join from the queue; others tells that the next one cannot.
func (c *shared) waiting() (batch []*settling, others bool) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	n := 0
	for ; n < len(c.worker.pending); n++ {
		if !c.at.knows(c.worker.pending[n].work) {
			others = true
			break
		}
	}
	return c.worker.next(n), others
}

// open begins the transaction and holds the lanes of the works, so that nobody takes them over
// before its end; it returns where they stand.
func (s *settlers) open(ctx context.Context, t *tx, worker *settler, batch []*settling) (standing, error) {
	set := worker.set
	var again []int64
	for _, r := range batch {
		if !r.work.First {
			again = append(again, r.work.Event.Position)
		}
	}
	lanes := worker.rounds.hold(batch)
	at := standing{fences: make(map[int]int64, len(lanes)), parked: map[int64]bool{}}
	known, enough := s.marks.of(set, batch)
	var key int
	var value int64
	b := &pgx.Batch{}
	b.Queue("BEGIN")
	b.Queue(s.db.q.fences, set, lanes).Query(func(rows pgx.Rows) error {
		_, err := pgx.ForEachRow(rows, []any{&key, &value}, func() error {
			at.fences[key] = value
			return nil
		})
		return err
	})
	if !enough {
		// A statement of its own: it sees what was committed while the one before waited.
		b.Queue(s.db.q.cursorsOf, set).Query(func(rows pgx.Rows) error {
			_, err := pgx.ForEachRow(rows, []any{&key, &value}, func() error {
				at.cursors[key] = value
				return nil
			})
			return err
		})
	}
	if len(again) > 0 {
		s.db.queueParked(b, set, again, at.parked)
	}
	if err := t.conn.SendBatch(ctx, b).Close(); err != nil {
		t.rollback()
		return standing{}, err
	}
	if enough {
		at.cursors = known.under(at.fences)
	}
	return at, nil
}

// The savepoints of works take turns: rolling back to one that was not made fails, and does not undo
// the work before.
var spots = [2]string{"work0", "work1"}

// apply runs the part of a work that is its own; false when it has failed, was rolled back and was told.
func (c *shared) apply(r *settling) bool {
	r.tx = &tx{db: c.db, conn: c.conn, shared: true}
	defer r.tx.ended.Store(true)
	if err := r.ctx.Err(); err != nil {
		r.end(err)
		return false
	}
	if !r.own() {
		return true
	}
	before, said := c.spot, c.conn.waiting()
	spot := spots[c.own%2]
	c.own++
	if c.spot != "" {
		c.conn.between("RELEASE SAVEPOINT "+c.spot, "SAVEPOINT "+spot)
	} else {
		c.conn.between("SAVEPOINT " + spot)
	}
	c.spot = spot
	if r.work.Effect == nil || r.guarded() {
		if r.err = c.write(r); r.err == nil {
			return true
		}
	}
	c.conn.forget()
	if c.conn.unsay(said) {
		c.spot = before
		c.own--
		r.end(r.err)
		return false
	}
	if c.broken = c.conn.conn.IsClosed(); !c.broken {
		// Should it fail, the transaction stays aborted and its COMMIT rolls back.
		c.broken = c.conn.end(context.Background(), "ROLLBACK TO SAVEPOINT "+spot) != nil
	}
	r.end(r.err)
	return false
}

// write writes what is left of a work after its effect.
func (c *shared) write(r *settling) error {
	if r.work.Effect != nil {
		if r.tx.reading.Load() {
			return errOpenRows
		}
		if c.conn.conn.PgConn().TxStatus() != 'T' {
			return doing("settle event "+r.work.Event.ID, errAborted) // by an error that the effect has swallowed
		}
		fault.Point("postgres.effect-made")
	}
	b := &pgx.Batch{}
	err := c.db.queueOutcome(b, r.work)
	for _, q := range b.QueuedQueries {
		c.conn.later(q.SQL, q.Arguments...)
	}
	if err == nil && c.conn.busy() {
		err = c.conn.flush(context.WithoutCancel(r.ctx)) // its errors are this work's
	}
	return doing("settle event "+r.work.Event.ID, err)
}

// guarded lets the caller run the effect and tells whether it ended well.
func (r *settling) guarded() bool {
	close(r.turn)
	<-r.ran
	return r.err == nil && !r.panicky && !r.exited
}
