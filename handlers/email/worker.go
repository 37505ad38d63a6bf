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
	records   recorder
	sender    Sender
	sends     chan struct{} // holds one for each mail that is being sent
	room      chan struct{} // told when a mail was taken out of the stock
	templates *Templates
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
	cfg = cfg.withDefaults()
	id, err := uuid.NewRandom()
	if err != nil {
		return nil, fmt.Errorf("make the email worker's name: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return &Worker{
		cfg: cfg, queue: q, records: recorder{queue: q, publisher: p, tx: tx}, sender: s,
		sends: make(chan struct{}, cfg.Senders), room: make(chan struct{}, 1), templates: t, clock: clock,
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
	stock := make(chan claim, w.stock())
	inHand.Go(func() {
		defer close(stock)
		w.claimLoop(ctx, stock)
	})
	// Twice as many as are sent side by side: while some are sent, what others have come to is written.
	for range 2 * w.cfg.Senders {
		inHand.Go(func() {
			for c := range stock {
				w.taken()
				w.work(ctx, sending, c.at, c.Claimed)
			}
		})
	}

	finished := make(chan struct{})
	go func() {
		inHand.Wait()
		close(finished)
	}()
	select {
	case <-finished:
		return nil
	case <-ctx.Done():
	}
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

// claim is a mail that waits to be taken in hand.
type claim struct {
	Claimed
	at time.Time
}

// stock is how many claimed mails may wait. One look at the queue then serves for several, and they wait no
// longer than it takes to send a few.
func (w *Worker) stock() int { return 4 * w.cfg.Senders }

// taken tells the claim loop that there is more room.
func (w *Worker) taken() {
	select {
	case w.room <- struct{}{}:
	default:
	}
}

// claimLoop puts claimed mails into stock until ctx ends. It claims when half of the stock is gone.
func (w *Worker) claimLoop(ctx context.Context, stock chan<- claim) {
	troubled := false
	for ctx.Err() == nil {
		n := cap(stock) - len(stock)
		if 2*n < cap(stock) {
			select {
			case <-w.room:
			case <-ctx.Done():
			}
			continue
		}
		changed := w.queue.Changed()
		if ctx.Err() != nil {
			return
		}
		at := w.clock.Now()
		claims, err := w.claim(ctx, n)
		if err != nil && !troubled {
			w.log.Warn("cannot claim mails; trying again", "error", err)
		}
		troubled = err != nil
		fault.Point("email.claimed")
		for _, c := range claims {
			stock <- claim{c, at} // there is room: nobody else puts in
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
