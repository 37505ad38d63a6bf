package email

import (
	"context"
	"fmt"
	"sync"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/app/fault"
	"github.com/leat-dev/leat/domain"
)

// recorder writes the steps of mails. What comes while it writes waits and goes together into the next
// transaction, the ends of mails with the events that tell of them. It owns no goroutine: one of those who wait
// does the writing.
type recorder struct {
	queue     Queue
	publisher Publisher
	tx        eventlog.Transactor

	mu      sync.Mutex
	waiting []*entry
	busy    bool // somebody writes
}

// entry is a step on its way.
type entry struct {
	step  Step
	draft *event.Draft // nil: there is nothing to tell
	err   error
	done  chan struct{} // closed when err is known
	turn  chan struct{} // one more is written by who gets this
}

// record returns when the step and the event are on disk, or why they are not.
func (r *recorder) record(ctx context.Context, s Step, draft *event.Draft) error {
	e := &entry{step: s, draft: draft, done: make(chan struct{}), turn: make(chan struct{}, 1)}
	r.mu.Lock()
	r.waiting = append(r.waiting, e)
	first := !r.busy
	r.busy = true
	r.mu.Unlock()
	if !first {
		select {
		case <-e.done:
			return e.err
		case <-e.turn:
		}
	}
	r.flush(ctx)
	return e.err
}

// flush writes all that waits, the caller's entry among it, and has the next one in line go on.
func (r *recorder) flush(ctx context.Context) {
	r.mu.Lock()
	batch := r.waiting
	r.waiting = nil
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		if r.busy = len(r.waiting) > 0; r.busy {
			r.waiting[0].turn <- struct{}{}
		}
		r.mu.Unlock()
		for _, e := range batch {
			close(e.done)
		}
	}()
	err := r.write(ctx, batch)
	if len(batch) > 1 && refused(err) {
		// One of them is at fault. It takes nobody along.
		for _, e := range batch {
			if err := r.write(ctx, []*entry{e}); err != nil {
				e.err = err
			}
		}
		return
	}
	if err != nil {
		for _, e := range batch {
			e.err = err
		}
	}
}

// refused tells whether an event was not accepted for what it is.
func refused(err error) bool {
	if err == nil {
		return false
	}
	switch domain.KindOf(err) {
	case domain.Invalid, domain.TooLarge, domain.Conflict, domain.Forbidden:
		return true
	}
	return false
}

// write records the entries in one transaction.
func (r *recorder) write(ctx context.Context, batch []*entry) error {
	ctx, cancel := storeContext(ctx)
	defer cancel()
	steps := make([]Step, len(batch))
	telling := false
	for i, e := range batch {
		steps[i] = e.step
		telling = telling || e.draft != nil
	}
	var lost []error
	all := func(ctx context.Context) (err error) {
		lost, err = r.queue.Record(ctx, steps)
		return err
	}
	if telling {
		record := all
		all = func(ctx context.Context) error {
			return r.tx.InTx(ctx, func(ctx context.Context) error {
				if err := record(ctx); err != nil {
					return err
				}
				return r.tell(ctx, batch, lost)
			})
		}
	}
	if err := all(ctx); err != nil {
		return err
	}
	for i, e := range batch {
		e.err = lost[i]
	}
	return nil
}

// tell publishes the events of those entries whose claim was not lost.
func (r *recorder) tell(ctx context.Context, batch []*entry, lost []error) error {
	var drafts []event.Draft
	for i, e := range batch {
		if e.draft != nil && lost[i] == nil {
			drafts = append(drafts, *e.draft)
		}
	}
	if len(drafts) == 0 {
		return nil
	}
	fault.Point("email.finished")
	if _, err := r.publisher.Publish(ctx, drafts...); err != nil {
		return fmt.Errorf("publish %s: %w", drafts[0].Event.EventType(), err)
	}
	return nil
}
