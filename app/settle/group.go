package settle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jonboulle/clockwork"

	"github.com/leat-dev/leat/app/bus"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/app/fault"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/domain"
)

// Config says how lanes are kept. The zero value works.
type Config struct {
	// Owner names this process in the leases. Default: a random name is given by wiring.
	Owner string `koanf:"-"`
	// LeaseTTL is how long a lane stays with an owner that no longer answers; others look for such
	// lanes three times as often. Default 6s, so that a dead process's lanes go on within 8s.
	LeaseTTL time.Duration `koanf:"lease"`
	// Poll is how often the log is looked at when the bus is silent. Default 1s.
	Poll time.Duration `koanf:"poll"`
	// Inbox is how many messages of the bus a lane keeps; more are read from the log. Default 64.
	Inbox int `koanf:"-"`
	// Page is how many events are read from the log at once. Default 256.
	Page int `koanf:"-"`
}

// Validate reports every field that is out of range; each error begins with its key.
func (c Config) Validate() []error {
	var faults []error
	for _, d := range []struct {
		key   string
		value time.Duration
	}{{"lease", c.LeaseTTL}, {"poll", c.Poll}} {
		if d.value != 0 && d.value < minPause {
			faults = append(faults, fmt.Errorf("lanes.%s: %v is less than %v", d.key, d.value, minPause))
		}
	}
	return faults
}

// minPause keeps the store from being asked all the time.
const minPause = 10 * time.Millisecond

func (c Config) withDefaults() Config {
	if c.LeaseTTL == 0 {
		c.LeaseTTL = 6 * time.Second
	}
	if c.Poll == 0 {
		c.Poll = time.Second
	}
	if c.Inbox == 0 {
		c.Inbox = 64
	}
	if c.Page == 0 {
		c.Page = 256
	}
	return c
}

// Group gives the events of the log to one handler set: a message.Subscriber for the router. An
// ack means that the attempt in the message's context has its outcome on disk; a nack that it has
// none: the same event comes again after a pause, without counting an attempt.
type Group struct {
	cfg    Config
	set    *handler.Bound
	policy handler.Policy
	store  Store
	log    eventlog.Reader
	bus    message.Subscriber
	dealt  bus.LaneSubscriber // bus, where it deals the lanes itself; else nil
	clock  clockwork.Clock
	logger *slog.Logger

	lanes  []*lane
	out    chan *message.Message
	paused atomic.Bool
	seen   atomic.Int64          // every lane has been told of what the log holds up to here
	again  chan *message.Message // see Again
	stops  chan struct{}         // see Stops
	gaps   chan struct{}         // capacity 1: the bus left something out
	pause  pauser
	stands string // why this process stands by; of keep

	working sync.WaitGroup // the lanes
	ended   sync.WaitGroup // everything
}

// NewGroup returns the group of a set. It starts nothing before Subscribe. source is the bus's
// subscriber for the set; policy has no zero fields.
func NewGroup(cfg Config, set *handler.Bound, policy handler.Policy, store Store, log eventlog.Reader,
	source message.Subscriber, clock clockwork.Clock, logger *slog.Logger,
) *Group {
	g := &Group{
		cfg: cfg.withDefaults(), set: set, policy: policy, store: store, log: log, bus: source, clock: clock,
		logger: logger.With("handler", set.Name()), out: make(chan *message.Message),
		again: make(chan *message.Message), stops: make(chan struct{}), gaps: make(chan struct{}, 1),
	}
	g.pause.group = g
	for i := range policy.Lanes {
		g.lanes = append(g.lanes, newLane(g, i))
	}
	return g
}

var _ message.Subscriber = (*Group)(nil)

// Subscribe begins to work the set's lanes. The channel closes when ctx has ended and every
// message in hand has been acked or nacked. It may be called once.
func (g *Group) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	var messages <-chan *message.Message
	if g.dealt, _ = g.bus.(bus.LaneSubscriber); g.dealt == nil {
		var err error
		if messages, err = g.bus.Subscribe(ctx, topic); err != nil {
			return nil, fmt.Errorf("subscribe handler set %s to the bus: %w", g.set.Name(), err)
		}
	}
	context.AfterFunc(ctx, func() { close(g.stops) })
	changed := g.store.ParkedChanged() // before reading: what comes later is announced
	if err := g.readPaused(ctx); err != nil {
		return nil, err
	}
	if messages != nil {
		g.ended.Add(1)
		go func() {
			defer g.ended.Done()
			g.feed(ctx, messages)
		}()
	}
	g.ended.Add(1)
	go g.keep(ctx, changed)
	go func() {
		g.ended.Wait()
		close(g.out)
	}()
	return g.out, nil
}

// Again brings messages as the channel of Subscribe does, to whoever waits for one already: a
// consumer need not start a goroutine for each. It never closes; Stops tells when to wait no longer.
func (g *Group) Again() <-chan *message.Message { return g.again }

// Stops is closed when the context of Subscribe has ended: what is in hand is finished, and little
// else comes.
func (g *Group) Stops() <-chan struct{} { return g.stops }

// Close does nothing: the group ends with the context of Subscribe, and the bus is closed by who
// opened it.
func (g *Group) Close() error { return nil }

// feed deals the bus's messages to the lanes. It never waits for a lane: one that has its hands
// full reads from the log what it could not take.
func (g *Group) feed(ctx context.Context, messages <-chan *message.Message) {
	var from, to int64 // everything between them was brought
	for {
		select {
		case <-ctx.Done():
			return
		case m, open := <-messages:
			if !open {
				return
			}
			entry, err := bus.Decode(m)
			if err != nil {
				g.logger.Error("stepped over an undecodable message; the event will be read from the log", "error", err)
				m.Ack()
				continue
			}
			l := g.lanes[entry.Slot%len(g.lanes)]
			select {
			case l.inbox <- arrival{entry, m, g.seen.Load()}:
			default:
				l.fallBehind()
				m.Ack()
			}
			// Who hears of some lanes only cannot know whether all were told; it looks from time to time.
			if entry.Prev > to {
				from = entry.Prev
				if g.dealt == nil && to > 0 { // what is missing may be any lane's
					select {
					case g.gaps <- struct{}{}:
					default:
					}
				}
			}
			to = max(to, entry.Position)
			if g.dealt == nil && from <= g.seen.Load() {
				raise(&g.seen, to)
			}
		}
	}
}

// gapsApart is how long a gap in what the bus brings waits for the look at the log after the one before.
const gapsApart = 10 * time.Millisecond

// keep takes lanes that are free, renews the leases of those that are held, and looks for what
// the bus may have kept silent about. It ends after the lanes: what they have in hand is theirs
// until it is settled.
func (g *Group) keep(ctx context.Context, changed <-chan struct{}) {
	defer g.ended.Done()
	poll := g.clock.NewTicker(g.cfg.Poll)
	defer poll.Stop()
	renew := g.clock.NewTicker(g.cfg.LeaseTTL / 3)
	defer renew.Stop()
	shared := g.store.LanesChanged()
	g.attend(ctx)
	gaps := g.gaps // nil for a while after each: a bus may reorder all the time
	var again <-chan time.Time
	unread := false // whether the set is paused could not be read
	for {
		select {
		case <-ctx.Done():
			g.drain(renew.Chan())
			return
		case <-changed:
			changed = g.store.ParkedChanged()
			unread = !g.look(ctx)
			g.attend(ctx) // types that kept this process from it may be forgotten
		case <-shared:
			shared = g.store.LanesChanged()
			g.attend(ctx)
		case <-gaps:
			g.lookBehind(ctx)
			gaps, again = nil, g.clock.After(gapsApart)
		case <-again:
			gaps, again = g.gaps, nil
		case <-poll.Chan():
			if unread {
				unread = !g.look(ctx)
			}
			g.lookBehind(ctx)
		case <-renew.Chan():
			g.renew(ctx)
			for _, l := range g.lanes {
				l.rests.Store(false)
			}
			g.attend(ctx)
		}
	}
}

// drain keeps the leases until the lanes have ended.
func (g *Group) drain(renew <-chan time.Time) {
	fault.Point("settle.leaving")
	if err := g.store.Leave(context.Background(), g.set.Name(), g.cfg.Owner); err != nil { // bounded by the store
		g.logger.Warn("tell the other processes that this one ends", "error", err)
	}
	ended := make(chan struct{})
	go func() {
		g.working.Wait()
		close(ended)
	}()
	for {
		select {
		case <-ended:
			return
		case <-renew:
			g.renew(context.Background()) // bounded by the store
		}
	}
}

// look reads what somebody other than the lanes has changed.
func (g *Group) look(ctx context.Context) bool {
	err := g.readPaused(ctx)
	if err != nil && ctx.Err() == nil {
		g.logger.Warn("read whether the set is paused", "error", err)
	}
	for _, l := range g.lanes {
		l.reload()
	}
	return err == nil
}

func (g *Group) readPaused(ctx context.Context) error {
	statuses, err := g.store.Statuses(ctx)
	if err != nil {
		return fmt.Errorf("read the status of handler set %s: %w", g.set.Name(), err)
	}
	if was := g.paused.Swap(statuses[g.set.Name()].Paused); was != g.paused.Load() {
		g.logger.Info("handler set " + map[bool]string{true: "paused", false: "resumed"}[!was])
	}
	return nil
}

func (g *Group) claim(lane int) Claim {
	return Claim{
		Set: g.set.Name(), Lane: lane, Lanes: len(g.lanes), Types: g.set.Types(), Owner: g.cfg.Owner, TTL: g.cfg.LeaseTTL,
	}
}

// attend shares the lanes with the other processes: it starts free ones up to this process's share,
// and lets go of what it has beyond.
func (g *Group) attend(ctx context.Context) {
	at, err := g.store.Attend(ctx, g.claim(0))
	switch {
	case ctx.Err() != nil || g.standsBy(err):
		return
	case err != nil:
		g.logger.Warn("look for free lanes", "error", err)
		return
	}
	held, share := 0, at.Share(len(g.lanes))
	for _, l := range g.lanes {
		if l.kept() {
			held++
		}
	}
	for _, number := range at.Free {
		l := g.lanes[number]
		if held >= share || ctx.Err() != nil {
			break
		}
		if !l.running.Load() && !l.rests.Load() && g.acquire(ctx, l) {
			held++
		}
	}
	for i := len(g.lanes) - 1; i >= 0 && held > share; i-- {
		if l := g.lanes[i]; l.kept() {
			fault.Point("settle.yielding")
			l.yield()
			held--
		}
	}
}

// acquire starts the lane if this process can have it.
func (g *Group) acquire(ctx context.Context, l *lane) bool {
	lease, ok, err := g.store.Acquire(ctx, g.claim(l.number))
	if err != nil && ctx.Err() == nil && !g.standsBy(err) {
		g.logger.Warn("take a lane", "lane", l.number, "error", err)
	}
	if !ok {
		return false
	}
	fault.Point("settle.lane-acquired")
	lasts := l.hold(ctx, lease) // from here on the lane can be given up, although nothing has run yet
	g.working.Add(1)
	go l.run(ctx, lasts, lease)
	return true
}

// standsBy tells whether the error says that no lane of the set is for this process now, and says
// so to people when that is news.
func (g *Group) standsBy(err error) bool {
	var types *UnknownTypes
	var lanes *OtherLanes
	var level slog.Level
	var what string
	switch {
	case errors.As(err, &types):
		err, level = types, slog.LevelError
		what = "handled by another version: this process stands by; if nobody handles these types any more, let go of them: leat handlers forget " +
			types.Set + " --type " + strings.Join(types.Types, " --type ")
	case errors.As(err, &lanes):
		err, level = lanes, slog.LevelWarn
		what = "worked with another number of lanes: this process stands by until nobody does"
	case domain.KindOf(err) == domain.NotFound:
		level, what = slog.LevelError, "the handler set was forgotten: this process stands by; its next start makes the set known anew"
		err = errForgotten
	case err != nil:
		return false
	}
	if err != nil {
		if why := err.Error(); why != g.stands {
			g.stands = why
			g.logger.Log(context.Background(), level, what, "error", err)
		}
		return true
	}
	if g.stands != "" {
		g.logger.Info("this process no longer stands by")
		g.stands = ""
	}
	return false
}

var errForgotten = errors.New("the store does not know the set")

func (g *Group) renew(ctx context.Context) {
	var held []Lease
	for _, l := range g.lanes {
		if lease, ok := l.held(); ok {
			held = append(held, lease)
		}
	}
	if len(held) == 0 {
		return
	}
	fault.Point("settle.renewing")
	lost, err := g.store.Renew(ctx, held, g.cfg.LeaseTTL)
	if err != nil && ctx.Err() == nil {
		g.logger.Warn("renew leases", "error", err)
	}
	for _, lease := range lost {
		if g.lanes[lease.Lane].lose(lease) {
			g.logger.Warn("lost a lane to another owner", "lane", lease.Lane)
		}
	}
}

// lookBehind lets the lanes read the log when it holds more than anybody has told.
func (g *Group) lookBehind(ctx context.Context) {
	_, last, err := g.log.Bounds(ctx)
	if err != nil {
		if ctx.Err() == nil {
			g.logger.Warn("look at the end of the log", "error", err)
		}
		return
	}
	if g.seen.Load() >= last {
		return
	}
	for _, l := range g.lanes {
		l.fallBehind()
	}
	raise(&g.seen, last)
}

// pauser spaces out attempts while something that the set needs is down. All lanes of a set share
// it: what one has found down, the others need not find again at once.
type pauser struct {
	group *Group
	mu    sync.Mutex
	count int
	pause time.Duration // the present one
	until time.Time
}

// failed lengthens the pause and returns how long to wait now.
func (p *pauser) failed() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if wait := p.rests(); wait > 0 {
		return wait
	}
	p.count++
	quick := p.group.policy
	quick.Initial = min(quick.Initial, 100*time.Millisecond)
	quick.Jitter = 0
	p.pause = quick.Backoff(p.count, 0)
	p.until = p.group.clock.Now().Add(p.pause)
	return p.pause
}

func (p *pauser) succeeded() {
	p.mu.Lock()
	p.count, p.until = 0, time.Time{}
	p.mu.Unlock()
}

// left is how long the set still rests.
func (p *pauser) left() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.count == 0 {
		return 0
	}
	return p.rests()
}

// rests is what is left of the pause, and no more than all of it when the clock was set back.
// Called with mu held.
func (p *pauser) rests() time.Duration {
	left := p.until.Sub(p.group.clock.Now())
	if left > p.pause {
		p.until = p.until.Add(p.pause - left)
		left = p.pause
	}
	return left
}

// raise sets v to n if that is more.
func raise(v *atomic.Int64, n int64) {
	for {
		old := v.Load()
		if n <= old || v.CompareAndSwap(old, n) {
			return
		}
	}
}

type arrival struct {
	bus.Entry
	message *message.Message
	seen    int64 // the group's before it dealt this one
}

// slotsOf returns the slots that lane number i of n works.
func slotsOf(i, n int) []int {
	var slots []int
	for slot := i; slot < event.Slots; slot += n {
		slots = append(slots, slot)
	}
	return slots
}
