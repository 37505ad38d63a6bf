package live

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/fault"
	"github.com/leat-dev/leat/app/publish"
)

const (
	queueSize = 4096             // events that wait for one way
	patience  = 5 * time.Second  // how long an unrecorded event may take to go out
	quiet     = 10 * time.Second // between two warnings about the same
)

// Pusher takes an event on. It does not wait for those who will see it.
type Pusher interface {
	Push(ctx context.Context, e event.Envelope) error
}

// PusherFunc is a function as a Pusher.
type PusherFunc func(ctx context.Context, e event.Envelope) error

// Push calls the function.
func (f PusherFunc) Push(ctx context.Context, e event.Envelope) error { return f(ctx, e) }

// Way is one of the ways to clients. Name stands in the log and in metrics.
type Way struct {
	Name string
	To   Pusher
}

// Observer is told what goes wrong, for metrics. Its methods must return at once.
type Observer interface {
	// Missed is told how many events a way did not take.
	Missed(way string, events int)
}

// Path is the fast path of a process. Make it with New; it pushes while Run runs.
type Path struct {
	ways       []*way
	clock      clockwork.Clock
	logger     *slog.Logger
	unrecorded throttle
	over       chan struct{} // closed when Run has ended
	once       sync.Once
}

var _ publish.Live = (*Path)(nil)

type way struct {
	Way
	queue    chan item
	clock    clockwork.Clock
	logger   *slog.Logger
	observer Observer
	warnings throttle
}

// item is an event on its way; done, when there is one, takes how it went.
type item struct {
	event event.Envelope
	done  chan<- error
}

// New returns a fast path that takes every event along all the ways. observer may be nil.
func New(ways []Way, clock clockwork.Clock, logger *slog.Logger, observer Observer) *Path {
	p := &Path{clock: clock, logger: logger, over: make(chan struct{})}
	for _, w := range ways {
		p.ways = append(p.ways, &way{
			Way: w, queue: make(chan item, queueSize), clock: clock, logger: logger.With("way", w.Name), observer: observer,
		})
	}
	return p
}

// Run takes the events along until ctx ends.
func (p *Path) Run(ctx context.Context) error {
	defer p.once.Do(func() { close(p.over) })
	var running sync.WaitGroup
	for _, w := range p.ways {
		running.Add(1)
		go func() {
			defer running.Done()
			w.run(ctx)
		}()
	}
	running.Wait()
	return nil
}

// Push implements publish.Live.
func (p *Path) Push(events []event.Envelope) {
	fault.Point("live.pushing")
	for _, w := range p.ways {
		for i := range events {
			if !w.offer(item{event: events[i]}) {
				w.missed(len(events)-i, errFull)
				break
			}
		}
	}
	fault.Point("live.pushed")
}

// PushUnrecorded implements publish.Live. It returns when every way has answered for every event, or
// its patience or ctx has ended.
func (p *Path) PushUnrecorded(ctx context.Context, events []event.Envelope) (went bool, err error) {
	if len(p.ways) == 0 {
		return false, errors.New("this process has no way to the live feed")
	}
	p.logUnrecorded(events)
	ctx, cancel := clockwork.WithTimeout(ctx, p.clock, patience)
	defer cancel()
	answers := make([]chan error, len(p.ways))
	for i, w := range p.ways {
		answers[i] = make(chan error, len(events))
		for _, e := range events {
			if !w.offer(item{event: e, done: answers[i]}) {
				w.missed(1, errFull)
				answers[i] <- errFull
			}
		}
	}
	var faults []error
	for i, w := range p.ways {
		took, fault := p.await(ctx, answers[i], len(events))
		went = went || took
		if fault != nil {
			faults = append(faults, fmt.Errorf("%s: %w", w.Name, fault))
		}
	}
	return went, errors.Join(faults...)
}

// await collects the answers of a way: whether it took any event, and why it did not take another.
func (p *Path) await(ctx context.Context, answers <-chan error, n int) (took bool, fault error) {
	for range n {
		var err error
		select {
		case err = <-answers: // those that are there count, even when the time is up
		default:
			select {
			case err = <-answers:
			case <-ctx.Done():
				return took, ctx.Err()
			case <-p.over:
				return took, errOver
			}
		}
		if err == nil {
			took = true
		} else if fault == nil {
			fault = err
		}
	}
	return took, fault
}

func (p *Path) logUnrecorded(events []event.Envelope) {
	if n, due := p.unrecorded.count(p.clock.Now(), len(events)); due {
		p.logger.Warn("the log is down; real-time events go out to the live feed unrecorded",
			"events", n, "type", events[0].Type, "id", events[0].ID, "tenant", events[0].Tenant)
	}
}

var (
	errFull = errors.New("too many events wait already")
	errOver = errors.New("the process is stopping")
)

func (w *way) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case i := <-w.queue:
			err := w.To.Push(ctx, i.event)
			if err != nil && ctx.Err() == nil {
				w.missed(1, err)
			}
			if i.done != nil {
				i.done <- err
			}
		}
	}
}

func (w *way) offer(i item) bool {
	select {
	case w.queue <- i:
		return true
	default:
		return false
	}
}

func (w *way) missed(events int, err error) {
	if w.observer != nil {
		w.observer.Missed(w.Name, events)
	}
	if n, due := w.warnings.count(w.clock.Now(), events); due {
		w.logger.Warn("the fast path of the live feed fails; the reliable path brings what the log holds", "events", n, "error", err)
	}
}

// throttle counts what there is to say, and tells when to say it.
type throttle struct {
	mu   sync.Mutex
	last time.Time
	n    int
}

func (t *throttle) count(now time.Time, events int) (n int, due bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n += events
	if !t.last.IsZero() && now.Sub(t.last) < quiet {
		return 0, false
	}
	n, t.n, t.last = t.n, 0, now
	return n, true
}
