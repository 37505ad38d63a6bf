package settle

import (
	"errors"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/fault"
)

// maxFlights bounds how many events of a lane wait for their commit.
const maxFlights = 64

// flight is an event whose work is applied but not committed. The lane has gone on to the next one.
type flight struct {
	attempt *Attempt
	message *message.Message   // in the router's hands until the commit
	sources []*message.Message // the bus's, acked after the commit
	cursor  int64              // of the slot, before this event
	stored  int64
}

// errVoided says that the lane went back to an event whose commit failed.
var errVoided = errors.New("a commit failed, the lane goes back")

func (l *lane) depart(a *Attempt, m *message.Message) {
	slot := a.Event.Slot
	l.flights = append(l.flights, flight{attempt: a, message: m, cursor: l.cursors[slot], stored: l.stored[slot]})
}

// ackWith acks a message of the bus when its event is settled: now, or when it lands. It may be a
// repeat of one that came from the log.
func (l *lane) ackWith(a arrival) {
	for i := range l.flights {
		if f := &l.flights[i]; f.attempt.Event.Position == a.Position {
			f.sources = append(f.sources, a.message)
			return
		}
	}
	ack(a.message)
}

// ack lets go of a message of the bus: its event is settled, or the log will bring it again.
func ack(m *message.Message) {
	fault.Point("settle.before-ack")
	m.Ack()
	fault.Point("settle.acked")
}

func (f flight) ack() {
	for _, m := range f.sources {
		ack(m)
	}
}

// land lets go of what is committed by now, or waits until everything is. When a commit has
// failed the lane goes back to where it was before that event, and land returns errVoided; whoever
// is in the midst of something has to begin anew from the cursors.
func (l *lane) land(all bool) error {
	for len(l.flights) > 0 {
		f := l.flights[0]
		if all || len(l.flights) >= maxFlights {
			select {
			case <-f.message.Acked():
			case <-f.message.Nacked():
			}
		} else {
			select {
			case <-f.message.Acked():
			case <-f.message.Nacked():
			default:
				return nil
			}
		}
		if f.attempt.outcome == Unsettled {
			return l.goBack()
		}
		l.settled(f.attempt)
		f.ack()
		l.flights[0] = flight{} // or a hot lane would keep its history in memory
		if l.flights = l.flights[1:]; len(l.flights) == 0 {
			l.flights = nil
		}
		l.group.pause.succeeded()
	}
	return nil
}

// goBack undoes what the lane believes of its flights, the first of which has failed. The store
// refuses those that follow it.
func (l *lane) goBack() error {
	var refused error
	for _, f := range l.flights {
		select {
		case <-f.message.Acked():
		case <-f.message.Nacked():
		}
		if refused == nil || errors.Is(f.attempt.refused, ErrFenced) {
			refused = f.attempt.refused
		}
		f.ack() // the log brings it again
	}
	for i := len(l.flights) - 1; i >= 0; i-- {
		f := l.flights[i]
		l.cursors[f.attempt.Event.Slot], l.stored[f.attempt.Event.Slot] = f.cursor, f.stored
	}
	l.flights = nil
	l.stale.Store(true)
	l.nextRun()
	l.group.pause.failed() // the next delivery waits for the end of the pause
	if refused != nil {
		return refused // by another owner, or the cursors know better
	}
	return errVoided
}

// settled notes what an outcome that is on disk means for the parked events. Until then the event's key
// is blocked, unless it was handled at once.
func (l *lane) settled(a *Attempt) {
	switch {
	case a.outcome == Retried:
		l.waiting.put(a.parked)
		l.waiting.keep(a.Event)
	case !a.first:
		l.waiting.done(a.parked)
	}
}

// buries tells whether an earlier event of the key flies to the dead letters. Should it not get there it is
// tried again, and that comes before the key's next one.
func (l *lane) buries(e event.Envelope) bool {
	for i := range l.flights {
		if a := l.flights[i].attempt; a.first && a.applies == Dead && a.Event.Key() == e.Key() {
			return true
		}
	}
	return false
}

// nextRun begins a run: the lane reads the log before it believes what it was told in the one before.
func (l *lane) nextRun() {
	l.runs++
	l.behind.Store(true)
}
