// Package app runs a service: it knows which parts there are, starts them in order, and on the way
// out stops them in the opposite order, each when what depends on it has ended.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/leat-dev/leat/app/fault"
)

// Part is something that runs as long as the service does.
type Part struct {
	Name string
	// Run works until ctx ends, and returns when everything it started has ended. Returning
	// earlier, with an error or without, stops the service.
	Run func(ctx context.Context) error
	// Ready is closed when the part works; nil: at once.
	Ready <-chan struct{}
}

// App is a service put together. Build it with New.
type App struct {
	parts   []Part
	prepare func(ctx context.Context) error
	clock   clockwork.Clock
	logger  *slog.Logger
	state   atomic.Pointer[string] // why the service is not ready; nil when it is
	ready   chan struct{}
	once    sync.Once
}

// New returns an app that runs prepare, then starts the parts in the given order and stops them in
// the opposite one. It starts nothing.
func New(prepare func(ctx context.Context) error, parts []Part, clock clockwork.Clock, logger *slog.Logger) *App {
	a := &App{parts: parts, prepare: prepare, clock: clock, logger: logger, ready: make(chan struct{})}
	a.notReady("starting")
	return a
}

func (a *App) notReady(why string) { a.state.Store(&why) }

// Ready is closed when every part works.
func (a *App) Ready() <-chan struct{} { return a.ready }

// CheckReady returns nil while every part works, else an error that says why not.
func (a *App) CheckReady(context.Context) error {
	if why := a.state.Load(); why != nil {
		return errors.New(*why)
	}
	return nil
}

// Run starts the service and works until ctx ends or a part fails. Then it is no longer ready, and
// stops part after part, each finishing what it has in hand. It returns when everything has ended;
// the error is that of the part that failed first, nil when ctx ended.
func (a *App) Run(ctx context.Context) error {
	start := a.clock.Now()
	if err := a.prepare(ctx); err != nil {
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return nil
		}
		return err
	}
	fault.Point("app.prepared")
	failed := make(chan error, len(a.parts))
	var running []runningPart
	var err error
	for _, p := range a.parts {
		if ctx.Err() != nil {
			break
		}
		r := begin(ctx, p, failed)
		running = append(running, r)
		fault.Point("app.part-begun")
		if err = waitReady(ctx, p, failed); err != nil {
			break
		}
	}
	if err == nil && ctx.Err() == nil {
		a.state.Store(nil)
		a.once.Do(func() { close(a.ready) })
		a.logger.Info("ready", "after", a.clock.Since(start).Round(time.Millisecond).String())
		select {
		case <-ctx.Done():
		case err = <-failed:
		}
	}
	a.notReady("stopping")
	a.logger.Info("stopping")
	for i := len(running) - 1; i >= 0; i-- {
		r := running[i]
		fault.Point("app.part-stopping")
		r.cancel()
		<-r.ended
		fault.Point("app.part-stopped")
		if r.err != nil && err == nil {
			err = fmt.Errorf("%s: %w", r.name, r.err)
		}
	}
	if err != nil {
		return err
	}
	fault.Point("app.stopped")
	a.logger.Info("stopped")
	return nil
}

type runningPart struct {
	name   string
	cancel context.CancelFunc
	ended  chan struct{}
	*outcome
}

type outcome struct{ err error }

// begin runs a part with a context of its own: the end of the service's context must not reach all
// the parts at once.
func begin(ctx context.Context, p Part, failed chan<- error) runningPart {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := runningPart{name: p.Name, cancel: cancel, ended: make(chan struct{}), outcome: &outcome{}}
	go func() {
		defer close(r.ended)
		r.err = p.Run(own)
		if own.Err() == nil {
			err := r.err
			if err == nil {
				err = errors.New("ended by itself")
			}
			failed <- fmt.Errorf("%s: %w", p.Name, err)
			return
		}
		if errors.Is(r.err, context.Canceled) {
			r.err = nil
		}
	}()
	return r
}

func waitReady(ctx context.Context, p Part, failed <-chan error) error {
	if p.Ready == nil {
		return nil
	}
	select {
	case <-p.Ready:
		return nil
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}
