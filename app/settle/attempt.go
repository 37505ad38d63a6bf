package settle

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/leat-dev/leat/app/deadletter"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/fault"
)

// Outcome is what became of an attempt.
type Outcome string

// The outcomes.
const (
	Unsettled Outcome = ""        // nothing is written; the event comes again
	Handled   Outcome = "handled" // done, for good
	Retried   Outcome = "retried" // parked for another attempt
	Dead      Outcome = "dead"    // among the dead letters
)

// Attempt is one delivery of an event to a set on its way through the chain. Exactly one of
// Handled, Park and Bury must succeed before the message is acked. Used by one goroutine at a time.
type Attempt struct {
	Set      string
	Event    event.Envelope
	Number   int  // from 1
	Redriven bool // given back from the dead letters

	lane    *lane
	lease   Lease
	run     int
	first   bool          // not parked before
	more    bool          // the lane has another one to go on with
	applied chan struct{} // closed when only the commit is missing; nil: the lane does not ask
	flown   bool          // it is closed
	applies Outcome       // what the commit will make of it
	outcome Outcome
	parked  Parked // its row: as it was, of one that was parked, and as it will be when it is retried
	refused error  // ErrFenced or ErrSettled
}

type attemptKey struct{}

// AttemptFrom returns the attempt that the context carries, nil for sets without a record.
func AttemptFrom(ctx context.Context) *Attempt {
	a, _ := ctx.Value(attemptKey{}).(*Attempt)
	return a
}

// Value answers for a context that carries the attempt: the attempt to who looks for it, nil to
// everybody else. The attempt may be nil.
func (a *Attempt) Value(key any) any {
	if a == nil || key != (attemptKey{}) {
		return nil
	}
	return a
}

// Outcome tells what is written so far.
func (a *Attempt) Outcome() Outcome { return a.outcome }

// Handled settles the event. effect, when there is one, runs in the transaction that does it;
// its error is returned as it is and nothing is written.
func (a *Attempt) Handled(ctx context.Context, effect func(ctx context.Context) error) error {
	return a.settle(ctx, Handled, Work{Effect: effect})
}

// maxReason bounds what is stored of an error's text, in bytes.
const maxReason = 4 << 10

// storable makes an error's text fit for every store: not too long, valid UTF-8, no zero bytes.
func storable(reason string) string {
	if len(reason) > maxReason {
		reason = reason[:maxReason] + "…"
	}
	return strings.ReplaceAll(strings.ToValidUTF8(reason, "\uFFFD"), "\x00", "\uFFFD")
}

// Park stores that the event failed and is tried again at due. counted says whether the attempt
// is one of those that the set's policy allows.
func (a *Attempt) Park(ctx context.Context, due time.Time, reason string, counted bool) error {
	p := Parked{
		Position: a.Event.Position, Slot: a.Event.Slot, Key: a.Event.Key(),
		State: Failed, Attempts: a.Number, Due: due, Reason: storable(reason),
	}
	if !counted {
		p.State, p.Attempts = Held, a.Number-1
	}
	if a.Redriven {
		p.State = Redrive
	}
	return a.settle(ctx, Retried, Work{Park: &p})
}

// Bury puts the event among the dead letters of its set.
func (a *Attempt) Bury(ctx context.Context, reason string) error {
	return a.settle(ctx, Dead, Work{Dead: &deadletter.Letter{
		Set: a.Set, Event: a.Event, Attempts: a.Number, Reason: storable(reason),
		Failed: a.lane.group.clock.Now().UTC(), State: deadletter.Open,
	}})
}

func (a *Attempt) settle(ctx context.Context, o Outcome, w Work) error {
	if a.flown {
		return ErrVoided // the lane has gone on with the outcome whose commit failed, and goes back for another
	}
	w.Lease, w.Run, w.Event, w.First = a.lease, a.run, a.Event, a.first
	if a.applies = o; w.Park != nil {
		a.parked = *w.Park
	}
	if a.applied != nil {
		w.Applied, w.More = func() { a.flown = true; close(a.applied) }, a.more
	}
	if err := a.lane.group.store.Settle(ctx, w); err != nil {
		for _, final := range []error{ErrFenced, ErrSettled} {
			if errors.Is(err, final) {
				a.refused = final
			}
		}
		return err
	}
	fault.Point("settle.outcome-stored")
	a.outcome = o
	return nil
}
