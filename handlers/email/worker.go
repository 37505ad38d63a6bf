package email

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jonboulle/clockwork"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/app/fault"
)

// Publisher accepts events into the transaction that ctx carries.
type Publisher interface {
	Publish(ctx context.Context, drafts ...event.Draft) ([]eventlog.Receipt, error)
}

// Observer is told about every attempt, for metrics. result is "sent", "retried" or "failed"; took
// is how long sending took, 0 when the mail failed before.
type Observer interface {
	MailDone(result string, took time.Duration)
}

// Worker sends what is in the queue. Its role is "email".
type Worker struct {
	cfg       Config
	queue     Queue
	sender    Sender
	templates *Templates
	publisher Publisher
	tx        eventlog.Transactor
	clock     clockwork.Clock
	log       *slog.Logger
	observer  Observer // may be nil
	owner     string
}

// New returns a worker that Run starts. observer may be nil. The error joins every fault of the
// configuration.
func New(cfg Config, q Queue, s Sender, t *Templates, p Publisher, tx eventlog.Transactor, clock clockwork.Clock, logger *slog.Logger, observer Observer) (*Worker, error) {
	if err := errors.Join(cfg.Validate()...); err != nil {
		return nil, err
	}
	id, err := uuid.NewRandom()
	if err != nil {
		return nil, fmt.Errorf("make the email worker's name: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return &Worker{
		cfg: cfg.withDefaults(), queue: q, sender: s, templates: t, publisher: p, tx: tx, clock: clock,
		log: logger.With("handler", "email"), observer: observer, owner: host + "/" + id.String(),
	}, nil
}

// Run claims and sends mails until ctx ends. Then it claims nothing more, gives mails in hand
// Config.Drain to be finished, and returns nil when nothing of it runs any more. A mail whose
// sending the drain cuts short is tried again later.
func (w *Worker) Run(ctx context.Context) error {
	// What is in hand outlives ctx, up to the end of the drain.
	sending, stopSending := context.WithCancel(context.WithoutCancel(ctx))
	defer stopSending()
	var inHand sync.WaitGroup
	w.claimLoop(ctx, func(c Claimed, done func()) {
		inHand.Add(1)
		go func() {
			defer inHand.Done()
			defer done()
			w.work(ctx, sending, c)
		}()
	})

	finished := make(chan struct{})
	go func() {
		inHand.Wait()
		close(finished)
	}()
	deadline := w.clock.NewTimer(w.cfg.Drain)
	defer deadline.Stop()
	select {
	case <-finished:
	case <-deadline.Chan():
		w.log.Warn("mails in hand are cut short: the drain took too long", "drain", w.cfg.Drain)
		stopSending()
		<-finished
	}
	return nil
}

// claimLoop hands claimed mails to start until ctx ends. It claims no more than can be sent at once,
// so that a lease only has to cover one attempt.
func (w *Worker) claimLoop(ctx context.Context, start func(c Claimed, done func())) {
	free := make(chan struct{}, w.cfg.Senders)
	for range w.cfg.Senders {
		free <- struct{}{}
	}
	giveBack := func() { free <- struct{}{} }
	troubled := false
	for {
		select {
		case <-free:
		case <-ctx.Done():
			return
		}
		n := 1
		for more := true; more && n < w.cfg.Senders; {
			select {
			case <-free:
				n++
			default:
				more = false
			}
		}
		changed := w.queue.Changed()
		if ctx.Err() != nil {
			return
		}
		claims, err := w.claim(ctx, n)
		if err != nil && !troubled {
			w.log.Warn("cannot claim mails; trying again", "error", err)
		}
		troubled = err != nil
		fault.Point("email.claimed")
		for range n - len(claims) {
			giveBack()
		}
		for _, c := range claims {
			start(c, giveBack)
		}
		if err == nil && len(claims) == n {
			continue // there may be more
		}
		poll := w.clock.NewTimer(w.cfg.Poll)
		if err != nil {
			changed = nil // do not hammer a store in trouble
		}
		select {
		case <-changed:
		case <-poll.Chan():
		case <-ctx.Done():
		}
		poll.Stop()
	}
}

func (w *Worker) claim(ctx context.Context, n int) ([]Claimed, error) {
	// Not cut off by ctx: a claim whose answer is not heard would lie until its lease ends.
	ctx, cancel := storeContext(ctx)
	defer cancel()
	return w.queue.Claim(ctx, w.owner, n, w.cfg.Lease)
}

// storeContext bounds one step in the store, which goes on when the worker is stopped.
func storeContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
}
