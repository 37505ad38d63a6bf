package settle

import (
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/handler"
)

// Waiting is a lane's picture of its parked events.
type Waiting struct{ *waiting }

// NewWaiting returns the picture of what the store holds.
func NewWaiting(parked []Parked) Waiting { return Waiting{newWaiting(parked)} }

// Its methods.
func (w Waiting) Blocks(key string) bool { return w.blocks(key) }
func (w Waiting) Add(p Parked)           { w.add(p) }
func (w Waiting) Next() (Parked, bool)   { return w.next() }
func (w Waiting) Take() Parked           { return w.take() }
func (w Waiting) Put(p Parked)           { w.put(p) }
func (w Waiting) Done(p Parked)          { w.done(p) }
func (w Waiting) Keep(e event.Envelope)  { w.keep(e) }
func (w Waiting) Kept(position int64) (event.Envelope, bool) {
	return w.kept(position)
}
func (w Waiting) Hasten(t time.Time) { w.hasten(t) }

// Pauser spaces out attempts.
type Pauser struct{ *pauser }

// NewPauser returns the pauser of a set with the policy.
func NewPauser(policy handler.Policy, clock clockwork.Clock) Pauser {
	return Pauser{&pauser{group: &Group{policy: policy, clock: clock}}}
}

// Its methods.
func (p Pauser) Failed() time.Duration { return p.failed() }
func (p Pauser) Succeeded()            { p.succeeded() }
func (p Pauser) Left() time.Duration   { return p.left() }
