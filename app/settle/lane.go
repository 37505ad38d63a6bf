package settle

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jonboulle/clockwork"

	"github.com/leat-dev/leat/app/bus"
	"github.com/leat-dev/leat/app/deadletter"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/app/fault"
	"github.com/leat-dev/leat/app/handler"
)

// lane works a share of a set's slots, one event at a time. Its fields below the line belong to
// the goroutine of run.
type lane struct {
	group   *Group
	number  int
	slots   []int
	slotSet eventlog.SlotSet
	inbox   chan arrival
	wake    chan struct{} // capacity 1: look at the flags
	behind  atomic.Bool   // the log holds more than the inbox told
	stale   atomic.Bool   // the parked events were changed by somebody else
	running atomic.Bool
	rests   atomic.Bool // it ended with an error; not before the next look is it taken again

	mu      sync.Mutex
	current Lease
	cancel  context.CancelFunc
	yields  bool // it is given up for another process

	// ----
	lease    Lease
	cursors  [event.Slots]int64 // everything up to here is settled, or not subscribed to
	stored   [event.Slots]int64 // as the store has them, at least
	waiting  *waiting
	careful  int64     // up to this position, note what is in hand before handling it
	suspects int       // for so many events at most
	latest   time.Time // see nextDue
	turn     bool      // parked and new events take turns
	flights  []flight
	runs     int  // works of one run stand and fall in their order
	caught   int  // the run in which the lane last read the log to where it stands
	more     bool // another event follows the one that is taken now, as far as is known
}

func newLane(g *Group, number int) *lane {
	l := &lane{
		group: g, number: number, slots: slotsOf(number, g.policy.Lanes),
		inbox: make(chan arrival, g.cfg.Inbox), wake: make(chan struct{}, 1), runs: 1,
	}
	l.slotSet = eventlog.Slots(l.slots...)
	return l
}

func (l *lane) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *lane) fallBehind() { l.behind.Store(true); l.nudge() }
func (l *lane) reload()     { l.stale.Store(true); l.nudge() }

func (l *lane) held() (Lease, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.current, l.cancel != nil
}

// lose ends the lane's goroutine if it works by that lease; what it still tries to commit is
// refused by the fence.
func (l *lane) lose(lease Lease) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cancel == nil || l.current.Fence != lease.Fence {
		return false
	}
	l.cancel()
	return true
}

// yield ends the lane's goroutine when it has finished what it has in hand.
func (l *lane) yield() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cancel != nil {
		l.yields = true
		l.cancel()
	}
}

// kept tells whether the lane is worked, and shall be.
func (l *lane) kept() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.running.Load() && !l.yields
}

// hold notes a new lease. The context that it returns ends when the lane is given up or lost.
func (l *lane) hold(parent context.Context, lease Lease) context.Context {
	ctx, cancel := context.WithCancel(parent)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.current, l.cancel, l.yields = lease, cancel, false
	l.running.Store(true)
	return ctx
}

// run works the lane until ctx ends, which is when parent does or the lease is lost.
func (l *lane) run(parent, ctx context.Context, lease Lease) {
	defer l.group.working.Done()
	defer l.running.Store(false)
	l.lease = lease
	unsubscribed := l.subscribe(ctx)
	err := l.begin(ctx)
	for err == nil {
		// What the answer to a commit did not tell, because it never came, the cursors do.
		if err = l.work(ctx); errors.Is(err, ErrSettled) {
			l.group.logger.Warn("an event turned out to be settled already; reading anew how far the lane is", "lane", l.number)
			err = l.read(ctx)
		}
	}
	l.lose(lease)
	<-unsubscribed
	l.mu.Lock()
	l.cancel = nil
	yields := l.yields
	l.mu.Unlock()
	if yields {
		fault.Point("settle.yielded")
	}
	if !errors.Is(err, context.Canceled) {
		l.rests.Store(true)
		l.group.logger.Warn("stopped working a lane", "lane", l.number, "error", err)
	}
	l.letGo(parent.Err() != nil)
}

// subscribe takes the lane's messages from a bus that deals them by lanes, until ctx ends; the
// returned channel is closed then. Without the bus the lane goes on with what the log tells.
func (l *lane) subscribe(ctx context.Context) <-chan struct{} {
	ended := make(chan struct{})
	if l.group.dealt == nil {
		close(ended)
		return ended
	}
	messages, err := l.group.dealt.SubscribeLane(ctx, l.number, l.group.policy.Lanes)
	if err != nil {
		if ctx.Err() == nil {
			l.group.logger.Warn("subscribe a lane to the bus; its events are read from the log", "lane", l.number, "error", err)
		}
		close(ended)
		return ended
	}
	go func() {
		defer close(ended)
		l.group.feed(ctx, messages)
	}()
	return ended
}

// letGo stores how far the lane is and frees it for the next owner, who begins with what the log
// holds: so the messages that are left may be acked, but not because the process stops.
func (l *lane) letGo(stopping bool) {
	for {
		select {
		case a := <-l.inbox:
			if !stopping {
				a.message.Ack()
			}
			continue
		default:
		}
		break
	}
	// The lane's context has ended; this is bounded by the store.
	ctx := context.Background()
	fault.Point("settle.letting-go")
	_ = l.land(true) // what did not get there is the next owner's
	if err := l.flush(ctx); err != nil && !errors.Is(err, ErrFenced) {
		l.group.logger.Warn("store how far a lane is", "lane", l.number, "error", err)
	}
	fault.Point("settle.flushed")
	if err := l.group.store.Release(ctx, l.lease); err != nil && !errors.Is(err, ErrFenced) {
		l.group.logger.Warn("release a lane", "lane", l.number, "error", err)
	}
}

func (l *lane) work(ctx context.Context) error {
	flush := l.group.clock.NewTicker(5 * time.Second)
	defer flush.Stop()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		stale := l.stale.Swap(false)
		if err := l.land(stale); err != nil { // what flies is not yet where it is read from
			if err = l.pausing(err); err != nil {
				return err
			}
			continue
		}
		if stale {
			if err := l.loadParked(ctx); err != nil {
				return err
			}
		}
		var due clockwork.Timer
		if l.group.paused.Load() {
			// Nothing is taken; what arrives meanwhile is read from the log later.
			l.behind.Store(true)
		} else {
			progressed, err := l.step(ctx)
			if err != nil {
				return err
			}
			if progressed {
				continue
			}
			l.idle()
			if wait, some := l.nextDue(); some {
				due = l.group.clock.NewTimer(wait)
			}
		}
		var inbox <-chan arrival = l.inbox
		if l.group.paused.Load() {
			inbox = nil
		}
		if err := l.wait(ctx, inbox, due, flush); err != nil {
			return err
		}
	}
}

// wait sleeps until there is something to do; a message that comes is worked.
func (l *lane) wait(ctx context.Context, inbox <-chan arrival, due clockwork.Timer, flush clockwork.Ticker) error {
	var isDue <-chan time.Time
	if due != nil {
		isDue = due.Chan()
		defer due.Stop()
	}
	var landed, crashed <-chan struct{}
	if len(l.flights) > 0 {
		landed, crashed = l.flights[0].message.Acked(), l.flights[0].message.Nacked()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-l.wake:
	case <-isDue:
	case <-landed:
	case <-crashed:
	case <-flush.Chan():
		l.idle()
		return l.flush(ctx)
	case a := <-inbox:
		return l.arrive(ctx, a)
	}
	return nil
}

// begin makes ready to work by a new lease.
func (l *lane) begin(ctx context.Context) error {
	l.careful = 0
	if l.lease.TakenOver {
		_, last, err := l.group.log.Bounds(ctx)
		if err != nil {
			return fmt.Errorf("look at the end of the log: %w", err)
		}
		l.careful, l.suspects = max(last, 1), maxSuspects
		l.group.logger.Warn("took over a lane whose owner died", "lane", l.number, "in_hand", l.lease.InHand)
	}
	return l.read(ctx)
}

// read reads where the lane stands.
func (l *lane) read(ctx context.Context) error {
	statuses, err := l.group.store.Statuses(ctx)
	if err != nil {
		return fmt.Errorf("read cursors: %w", err)
	}
	status, known := statuses[l.group.set.Name()]
	if !known {
		return fmt.Errorf("handler set %s is not registered", l.group.set.Name())
	}
	l.cursors, l.stored, l.caught = status.Cursors, status.Cursors, 0
	l.behind.Store(true)
	return l.loadParked(ctx)
}

func (l *lane) loadParked(ctx context.Context) error {
	parked, err := l.group.store.Parked(ctx, l.group.set.Name(), l.slots)
	if err != nil {
		return fmt.Errorf("read parked events: %w", err)
	}
	l.waiting = newWaiting(parked)
	return nil
}

// step does one piece of work: a parked event that is due, or something new. They take turns, so
// that neither holds up the other. It tells whether there was any.
func (l *lane) step(ctx context.Context) (bool, error) {
	l.turn = !l.turn
	if l.turn {
		if tried, err := l.tryParked(ctx); tried || err != nil {
			return tried, err
		}
	}
	if l.behind.Swap(false) {
		return true, l.catchUp(ctx)
	}
	select {
	case a := <-l.inbox:
		return true, l.arrive(ctx, a)
	default:
	}
	return l.tryParked(ctx)
}

// idle is called when the lane has nothing in hand.
func (l *lane) idle() {
	seen := l.group.seen.Load() // before looking whether something waits
	if len(l.inbox) == 0 {
		l.caughtUp(seen)
	}
}

// caughtUp moves the lane's idle slots along when it has done everything that it was told of up to
// the group's seen: that is all that the log held. Without it a slot that gets no events would make every
// start, and every gap, read the log from where that slot was last heard of.
func (l *lane) caughtUp(seen int64) {
	if l.behind.Load() || l.caught != l.runs {
		return
	}
	for _, slot := range l.slots {
		l.cursors[slot] = max(l.cursors[slot], seen)
	}
}

// errPaused says that the set was paused before the event in hand got its outcome.
var errPaused = errors.New("the set was paused")

// pausing lets the lane go on when err only says that the set was paused, or that the lane went
// back; the lane then finds what it had in hand in the log.
func (l *lane) pausing(err error) error {
	if errors.Is(err, errPaused) || errors.Is(err, errVoided) {
		l.behind.Store(true)
		return nil
	}
	return err
}

// longestPause is the longest that anything asks a parked event to wait, besides its set's policy.
const longestPause = time.Minute

// nextDue is how long it is until a parked event is due; some is false when none is parked. One that
// seems to be due later than anything could have asked for was parked by a clock that has been
// set, or by a process with another: it has its longest pause from now on, and no more.
func (l *lane) nextDue() (wait time.Duration, some bool) {
	p, ok := l.waiting.next()
	if !ok {
		return 0, false
	}
	now, longest := l.group.clock.Now(), max(l.group.policy.Max, longestPause)
	if wait = p.Due.Sub(now); wait > longest {
		// Not anew when the parked events have been read again in the meantime.
		if now.Sub(l.latest) > longest || l.latest.After(now.Add(longest)) {
			l.latest = now.Add(longest)
		}
		l.waiting.hasten(l.latest)
		wait = l.latest.Sub(now)
	}
	return max(wait, 0), true
}

// tryParked gives the parked event that is due to the handler.
func (l *lane) tryParked(ctx context.Context) (bool, error) {
	p, ok := l.waiting.next()
	if !ok || p.Due.After(l.group.clock.Now()) {
		return false, nil
	}
	e, there := l.waiting.kept(p.Position)
	if !there {
		events, err := l.group.log.At(ctx, p.Position)
		if err != nil {
			return false, l.rest(ctx, fmt.Errorf("read parked event %d: %w", p.Position, err))
		}
		if there = len(events) > 0; there {
			e = events[0]
		}
	}
	l.waiting.take()
	fault.Point("settle.parked-in-hand")
	if !there {
		l.group.logger.Error("a parked event is no longer in the log; its key waits until it is restored or the row is removed",
			"position", p.Position, "key", p.Key)
		p.Due = l.group.clock.Now().Add(time.Minute)
		l.waiting.put(p)
		return false, nil
	}
	a := &Attempt{
		Set: l.group.set.Name(), Event: e, Number: p.Attempts + 1, Redriven: p.State == Redrive, lane: l,
		parked: p, more: len(l.inbox) > 0,
	}
	flies, err := l.deliver(ctx, a)
	if err != nil {
		l.waiting.put(p)
		return false, l.pausing(err)
	}
	if !flies {
		l.settled(a)
	}
	return true, nil
}

// catchUp works one page of the log beyond the cursors.
func (l *lane) catchUp(ctx context.Context) error {
	after := int64(math.MaxInt64)
	for _, slot := range l.slots {
		after = min(after, l.cursors[slot])
	}
	events, through, err := l.group.log.Read(ctx, after, l.slotSet, l.group.cfg.Page)
	if err != nil {
		l.behind.Store(true)
		return l.rest(ctx, fmt.Errorf("read the log after %d: %w", after, err))
	}
	fault.Point("settle.page-read")
	run := l.runs
	for i := range events {
		if l.interrupted() || l.runs != run { // in another run the lane may stand before the page
			l.behind.Store(true)
			return nil
		}
		l.more = i+1 < len(events)
		if err := l.take(ctx, events[i]); err != nil {
			return l.pausing(err)
		}
		if i%16 == 15 {
			if _, err := l.tryParked(ctx); err != nil {
				return err
			}
		}
	}
	if l.runs != run { // nor may it be past the page after the last event, or what was tried beside it
		l.behind.Store(true)
		return nil
	}
	// The answer is complete through this position: there is nothing of our slots in between.
	l.caught = run
	for _, slot := range l.slots {
		l.cursors[slot] = max(l.cursors[slot], through)
	}
	if len(events) == l.group.cfg.Page {
		l.behind.Store(true)
	}
	return nil
}

// interrupted tells whether somebody wants something else than the next event.
func (l *lane) interrupted() bool { return l.group.paused.Load() || l.stale.Load() }

// rest logs what is down and waits a little; only the end of ctx is an error.
func (l *lane) rest(ctx context.Context, cause error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	pause := l.group.pause.failed()
	l.group.logger.Warn("resting", "lane", l.number, "pause", pause, "error", cause)
	return l.sleep(ctx, pause)
}

func (l *lane) sleep(ctx context.Context, d time.Duration) error {
	timer := l.group.clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.Chan():
		return nil
	}
}

// arrive takes a message of the bus and acks it.
func (l *lane) arrive(ctx context.Context, a arrival) error {
	fault.Point("settle.arrived")
	l.caughtUp(a.seen) // what was dealt before this one is done
	l.more = len(l.inbox) > 0
	if err := l.reach(ctx, a.Entry); err != nil {
		if errors.Is(err, ErrSettled) {
			a.message.Ack() // the log has what there is to do
			return err
		}
		select {
		case l.inbox <- a: // letGo decides about it
		default:
		}
		return err
	}
	l.ackWith(a)
	return nil
}

// reach works the entry if it is the next of its slot. Beyond a gap the log has what is missing,
// and the entry too.
func (l *lane) reach(ctx context.Context, e bus.Entry) error {
	if e.Position <= l.cursors[e.Slot] {
		return nil
	}
	if e.SlotPrev <= l.cursors[e.Slot] {
		return l.pausing(l.take(ctx, e.Envelope))
	}
	if err := l.catchUp(ctx); err != nil {
		return err
	}
	if e.Position > l.cursors[e.Slot] {
		l.behind.Store(true) // further back than a page; the log will come to it
	}
	return nil
}

// take handles one new event, the next of its slot, and moves the lane past it.
func (l *lane) take(ctx context.Context, e event.Envelope) error {
	if err := l.land(l.buries(e)); err != nil {
		return err
	}
	if e.Position <= l.cursors[e.Slot] {
		return nil
	}
	if _, subscribed := l.group.set.Call(e.Type); subscribed {
		var err error
		if l.waiting.blocks(e.Key()) {
			err = l.parkBehind(ctx, e)
		} else {
			err = l.first(ctx, e)
		}
		if err != nil {
			return err
		}
		l.stored[e.Slot] = e.Position
	}
	l.cursors[e.Slot] = e.Position
	return nil
}

// first gives a new event to the handler.
func (l *lane) first(ctx context.Context, e event.Envelope) error {
	a := &Attempt{Set: l.group.set.Name(), Event: e, Number: 1, lane: l, first: true, more: l.more}
	flies, err := l.deliver(ctx, a)
	switch {
	case err != nil:
		return err
	case !flies:
		l.settled(a)
	case a.applies == Retried:
		l.waiting.hold(a.parked)
	}
	return nil
}

// parkBehind puts a new event behind the parked ones of its key.
func (l *lane) parkBehind(ctx context.Context, e event.Envelope) error {
	p := Parked{Position: e.Position, Slot: e.Slot, Key: e.Key(), State: Behind}
	for {
		err := l.group.store.Settle(ctx, Work{Lease: l.lease, Run: l.runs, Event: e, First: true, Park: &p})
		if err == nil {
			fault.Point("settle.parked-behind")
			l.waiting.add(p)
			return nil
		}
		// What went before it may have failed with it, and comes first then.
		if err := l.land(true); err != nil {
			return err
		}
		if errors.Is(err, ErrFenced) || errors.Is(err, ErrSettled) {
			return err
		}
		l.nextRun()
		if err := l.rest(ctx, fmt.Errorf("park %s %s behind its key: %w", e.Type, e.ID, err)); err != nil {
			return err
		}
	}
}

// deliver sends the event through the router until it has an outcome; what is in hand when ctx
// ends is waited for. flies says that the outcome waits only for its commit and the lane may go on;
// the attempt is the router's until it lands. An error says that there is no outcome.
func (l *lane) deliver(ctx context.Context, a *Attempt) (flies bool, err error) {
	if done, err := l.beCareful(ctx, a); done || err != nil {
		return false, err
	}
	for {
		if left := l.group.pause.left(); left > 0 {
			if err := l.sleep(ctx, left); err != nil {
				return false, err
			}
		}
		if err := ctx.Err(); err != nil {
			return false, err // although the router may be ready to take it
		}
		if l.group.paused.Load() {
			return false, errPaused
		}
		a.lease, a.run, a.flown = l.lease, l.runs, false
		if l.careful == 0 {
			a.applied = make(chan struct{})
		}
		fault.Point("settle.handing-over")
		m := message.NewMessage(a.Event.ID, a.Event.Data) // the attributes are in the attempt
		// Not ctx: when it ends, the event in hand shall be finished.
		inHand := context.WithValue(context.Background(), attemptKey{}, a)
		m.SetContext(handler.WithDelivery(inHand, handler.Delivery{
			Set: a.Set, Attempt: a.Number, Redriven: a.Redriven,
		}))
		select {
		case l.group.again <- m:
		default:
			select {
			case <-ctx.Done():
				return false, ctx.Err()
			case l.group.again <- m:
			case l.group.out <- m:
			}
		}
		select {
		case <-m.Acked():
		case <-m.Nacked():
		case <-a.applied:
			l.depart(a, m)
			return true, nil
		}
		if a.outcome != Unsettled {
			l.group.pause.succeeded()
			if a.Event.Position == l.lease.InHand {
				l.lease.InHand = 0 // the deaths are counted among its attempts now
			}
			if l.careful != 0 && a.outcome == Retried {
				// While it waits for its next attempt it kills nobody.
				return false, l.group.store.NoteInHand(context.WithoutCancel(ctx), l.lease, 0, 0)
			}
			return false, nil
		}
		// What went before it may have failed with it, and comes first then.
		if err := l.land(true); err != nil {
			return false, err
		}
		if a.refused != nil {
			return false, a.refused
		}
		l.nextRun()
		// The chain has logged why.
		if err := l.sleep(ctx, l.group.pause.failed()); err != nil {
			return false, err
		}
	}
}

// maxSuspects is how many events a lane that was taken over works carefully. What killed the owner
// before was in hand then, so it is among the first that the successor handles; should the cursors have
// been further behind, the next successor begins closer to it.
const maxSuspects = 128

// beCareful notes what is about to be in hand while the lane works what a dead owner left, so
// that an event which kills the process is found out: after as many deaths as it has attempts it
// goes to the dead letters without another one. done says that it did.
func (l *lane) beCareful(ctx context.Context, a *Attempt) (done bool, err error) {
	if l.careful == 0 {
		return false, nil
	}
	if a.first && a.Event.Position > l.careful || l.suspects == 0 {
		l.careful = 0
		return false, l.group.store.NoteInHand(ctx, l.lease, 0, 0)
	}
	l.suspects--
	fault.Point("settle.careful")
	deaths := 0
	if a.Event.Position == l.lease.InHand {
		deaths = l.lease.Attempts
		a.Number += deaths
	}
	if deaths > 0 && a.Number > l.group.policy.Attempts {
		a.Number = l.group.policy.Attempts
		w := Work{Lease: l.lease, Run: l.runs, Event: a.Event, First: a.first, Dead: &deadletter.Letter{
			Set: a.Set, Event: a.Event, Attempts: a.Number, Failed: l.group.clock.Now().UTC(), State: deadletter.Open,
			Reason: fmt.Sprintf("the process died %d times while it handled this event", deaths),
		}}
		if err := l.group.store.Settle(ctx, w); err != nil {
			return false, err
		}
		fault.Point("settle.deaths-buried")
		a.outcome, l.lease.InHand = Dead, 0
		return true, nil
	}
	return false, l.group.store.NoteInHand(ctx, l.lease, a.Event.Position, deaths)
}

// flush stores how far the lane is where that is further than the last settled event: past events
// that the set does not subscribe to.
func (l *lane) flush(ctx context.Context) error {
	if err := l.land(true); err != nil {
		return l.pausing(err)
	}
	ahead := map[int]int64{}
	for _, slot := range l.slots {
		if l.cursors[slot] > l.stored[slot] {
			ahead[slot] = l.cursors[slot]
		}
	}
	if len(ahead) == 0 {
		return nil
	}
	if err := l.group.store.Advance(ctx, l.lease, ahead); err != nil {
		return err
	}
	for slot, position := range ahead {
		l.stored[slot] = position
	}
	return nil
}
