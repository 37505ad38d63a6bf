// Package router builds the Watermill router: one consumer for each handler set, each with the one
// chain of package middleware. It knows the bus and the store by their ports only.
package router

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jonboulle/clockwork"
	"go.opentelemetry.io/otel/trace"

	"github.com/leat-dev/leat/app/bus"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/app/fault"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/app/router/middleware"
	"github.com/leat-dev/leat/app/settle"
)

// Config says how sets are run.
type Config struct {
	// DrainTimeout is how long what is in hand may take after Run's context has ended. Default 30s.
	DrainTimeout time.Duration
	// Settle is how lanes are kept.
	Settle settle.Config
	// PolicyOf returns the policy that a set works by, where configuration has a say. Its zero
	// fields take the set's own, then the framework's defaults; nil: these alone.
	PolicyOf func(set handler.Set) handler.Policy
}

// Parts is what a router is built from.
type Parts struct {
	Bus      bus.Bus
	Log      eventlog.Reader
	Store    settle.Store
	Clock    clockwork.Clock
	Tracer   trace.Tracer
	Observer middleware.Observer // may be nil
	Random   func() float64      // in [0, 1), for the jitter of pauses
	Logger   *slog.Logger
}

// Router runs handler sets.
type Router struct {
	cfg      Config
	parts    Parts
	router   *message.Router
	running  chan struct{}
	failed   chan error      // a set that could not be subscribed
	deadline context.Context // ends when the time for draining is over
	expire   context.CancelFunc
}

// New returns a router for the sets. It starts nothing.
func New(cfg Config, parts Parts, sets []*handler.Bound) (*Router, error) {
	if cfg.DrainTimeout == 0 {
		cfg.DrainTimeout = 30 * time.Second
	}
	inner, err := message.NewRouter(message.RouterConfig{CloseTimeout: cfg.DrainTimeout + graceful}, quiet(parts.Logger))
	if err != nil {
		return nil, fmt.Errorf("build the router: %w", err)
	}
	r := &Router{cfg: cfg, parts: parts, router: inner, running: make(chan struct{}), failed: make(chan error, 1)}
	r.deadline, r.expire = context.WithCancel(context.Background())
	for _, set := range sets {
		if err := r.add(set); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// graceful is what handlers get to notice that the deadline has ended their contexts.
const graceful = 5 * time.Second

func (c Config) policyOf(set handler.Set) handler.Policy {
	var p handler.Policy
	if c.PolicyOf != nil {
		p = c.PolicyOf(set)
	}
	return p.Or(set.Policy()).Or(handler.DefaultPolicy())
}

func (r *Router) add(set *handler.Bound) error {
	source, err := r.parts.Bus.Subscriber(bus.Subscription{Set: set.Name(), EveryInstance: set.RunsEverywhere()})
	if err != nil {
		return fmt.Errorf("subscribe handler set %s: %w", set.Name(), err)
	}
	policy := r.cfg.policyOf(set.Set)
	var subscriber lingering
	if set.RunsEverywhere() {
		subscriber = settle.NewTail(r.cfg.Settle, set, r.parts.Log, source, r.parts.Clock, r.parts.Logger)
	} else {
		subscriber = settle.NewGroup(r.cfg.Settle, set, policy, r.parts.Store, r.parts.Log, source, r.parts.Clock, r.parts.Logger)
	}
	h := r.router.AddConsumerHandler(set.Name(), set.Name(), starting{subscriber, r.failed}, func(m *message.Message) error {
		e, _ := event.Handled(m.Context())
		call, ok := set.Call(e.Type)
		if !ok {
			return handler.Permanent(fmt.Errorf("handler set %s has no reaction to %s", set.Name(), e.Type))
		}
		return call.Do(m.Context(), e)
	})
	h.AddMiddleware(middleware.Linger(subscriber.Again(), subscriber.Stops()))
	h.AddMiddleware(r.chain(set, policy)...)
	return nil
}

// lingering is a subscriber whose messages may also be had one after the other by who waits for them.
type lingering interface {
	message.Subscriber
	Again() <-chan *message.Message
	Stops() <-chan struct{}
}

// chain returns the links in order, outermost first. The order is what keeps the promises: a dead
// letter is written with a context that has not timed out, an attempt ends before it is counted,
// a panic is an error before anybody judges it.
func (r *Router) chain(set *handler.Bound, policy handler.Policy) []message.HandlerMiddleware {
	p := r.parts
	logger := p.Logger.With("handler", set.Name())
	links := []message.HandlerMiddleware{
		middleware.Drain(r.deadline),
		middleware.Correlate(),
		middleware.Trace(p.Tracer, set.Name()),
		middleware.Observe(p.Observer, set.Name(), p.Clock),
		middleware.Report(logger),
	}
	if set.RunsEverywhere() {
		return append(links, middleware.Timeout(policy.Timeout, p.Clock), middleware.Recover())
	}
	return append(links,
		middleware.DeadLetter(logger),
		middleware.Retry(policy, p.Clock, p.Random, logger),
		middleware.Timeout(policy.Timeout, p.Clock),
		middleware.Recover(),
		middleware.Settle(set),
	)
}

// starting is a subscriber whose Subscribe does not fail but tells of it: when one handler cannot
// subscribe, Watermill's Run returns and leaves the others running.
type starting struct {
	message.Subscriber
	failed chan<- error
}

func (s starting) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	messages, err := s.Subscriber.Subscribe(ctx, topic)
	if err == nil {
		return messages, nil
	}
	select {
	case s.failed <- err:
	default: // not the first
	}
	none := make(chan *message.Message)
	close(none)
	return none, nil
}

// Running is closed when every set is subscribed.
func (r *Router) Running() <-chan struct{} { return r.running }

// Run works until ctx ends, then takes nothing new, waits for what is in hand until the drain
// timeout, and returns. An error says that something was still in hand then; it is not lost: it is
// not acked, and comes again at the next start.
func (r *Router) Run(ctx context.Context) error {
	defer r.expire()
	stopped := make(chan error, 1)
	go func() { stopped <- r.router.Run(context.WithoutCancel(ctx)) }()
	select {
	case err := <-stopped:
		return err
	case <-r.router.Running():
	}
	var failure error
	select {
	case failure = <-r.failed:
	default:
		close(r.running)
		select {
		case err := <-stopped:
			return err
		case <-ctx.Done():
		}
	}
	fault.Point("router.draining")
	timer := r.parts.Clock.AfterFunc(r.cfg.DrainTimeout, r.expire)
	defer timer.Stop()
	return errors.Join(failure, r.router.Close(), <-stopped)
}

// quiet lets through what Watermill has to say when something is wrong. What it calls an error of
// a handler is logged by middleware.Report, with the event and the tenant.
func quiet(logger *slog.Logger) watermill.LoggerAdapter {
	return &adapter{inner: watermill.NewSlogLogger(logger)}
}

type adapter struct {
	inner watermill.LoggerAdapter
}

func (a *adapter) Error(msg string, err error, fields watermill.LogFields) {
	if msg == "Handler returned error" {
		a.inner.Debug(msg, fields.Add(watermill.LogFields{"error": err}))
		return
	}
	a.inner.Error(msg, err, fields)
}
func (a *adapter) Info(msg string, fields watermill.LogFields)  { a.inner.Debug(msg, fields) }
func (a *adapter) Debug(msg string, fields watermill.LogFields) { a.inner.Trace(msg, fields) }
func (a *adapter) Trace(string, watermill.LogFields)            {}
func (a *adapter) With(fields watermill.LogFields) watermill.LoggerAdapter {
	return &adapter{inner: a.inner.With(fields)}
}
