package email

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/fault"
	"github.com/leat-dev/leat/domain"
)

// work makes one attempt at a mail that was claimed at the given time. It ends early only when running has
// ended before the attempt began, or too much of the lease is over; sending ends when the drain is over.
func (w *Worker) work(running, sending context.Context, claimed time.Time, c Claimed) {
	log := w.log.With("mail", c.ID, "tenant", c.Requested.Tenant, "event", c.Requested.ID, "template", c.Template)
	if running.Err() != nil || w.clock.Since(claimed) > w.cfg.Lease/4 {
		w.release(running, c, log)
		return
	}
	if c.Attempts >= w.cfg.Attempts {
		// Only after an owner has died or lost the store while it was sending.
		reason := c.LastError
		if reason == "" {
			reason = "the last attempt ended without an answer"
		}
		w.fail(sending, claimed, c, reason, false, 0, log)
		return
	}
	view, err := ViewOf(c.Mail)
	if err == nil {
		var rendered Rendered
		if rendered, err = w.templates.Render(c.Template, view); err == nil {
			w.attempt(running, sending, claimed, c, rendered, log)
			return
		}
	}
	w.fail(sending, claimed, c, err.Error(), true, 0, log)
}

func (w *Worker) attempt(running, sending context.Context, claimed time.Time, c Claimed, r Rendered, log *slog.Logger) {
	m := Message{
		ID:   key(c.Mail) + "@" + domainOf(w.cfg.From),
		From: w.cfg.From, To: Address{Address: c.To.Address, Name: c.To.Name},
		Subject: r.Subject, Text: r.Text, HTML: r.HTML,
	}
	if err := w.records.record(running, Step{Claimed: c, Sending: &Record{Subject: m.Subject, MessageID: m.ID}}, nil); err != nil {
		if !errors.Is(err, ErrLost) {
			log.Warn("cannot record that a mail is being sent; it stays in the queue", "error", err)
			w.release(running, c, log)
		}
		return
	}
	c.Attempts++
	fault.Point("email.marked")

	// Begun is begun: it is sent, in the drain too.
	w.sends <- struct{}{}
	start := w.clock.Now()
	err := w.send(sending, m)
	<-w.sends
	fault.Point("email.sent")
	took := w.clock.Since(start)
	switch {
	case err == nil:
		log.Debug("mail sent", "attempts", c.Attempts, "took", took)
		w.finish(sending, claimed, c, Outcome{Status: StatusSent}, Sent{
			To: c.To.Address, Template: c.Template, MessageID: m.ID, Duration: took.Milliseconds(), Attempts: c.Attempts,
		}, log)
		w.observe("sent", took)
	case IsPermanent(err):
		w.fail(sending, claimed, c, err.Error(), true, took, log)
	case c.Attempts >= w.cfg.Attempts:
		w.fail(sending, claimed, c, err.Error(), false, took, log)
	default:
		pause := w.cfg.backoff(c.Attempts)
		reason := oneLine(err.Error(), maxReason)
		log.Warn("a mail could not be sent; it is tried again", "attempts", c.Attempts, "pause", pause, "error", reason)
		w.persist(sending, claimed, log, func(ctx context.Context) error {
			return w.store(ctx, func(ctx context.Context) error { return w.queue.Retry(ctx, c, pause, reason) })
		})
		w.observe("retried", took)
	}
}

// send calls the sender with a bounded time and turns a panic into an error.
func (w *Worker) send(ctx context.Context, m Message) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := w.clock.AfterFunc(w.cfg.Timeout, func() {
		cancel(fmt.Errorf("no answer within %v", w.cfg.Timeout))
	})
	defer timer.Stop()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("send: panic: %v", p)
		}
		if err != nil && ctx.Err() != nil {
			// Whatever the sender made of being cut short, it says nothing about the mail.
			err = Temporary(fmt.Errorf("%w: %w", context.Cause(ctx), err))
		}
	}()
	return w.sender.Send(ctx, m)
}

// maxReason bounds the text of an error that is kept, in characters: part of it is a server's.
const maxReason = 1000

func (w *Worker) fail(ctx context.Context, claimed time.Time, c Claimed, reason string, permanent bool, took time.Duration, log *slog.Logger) {
	reason = oneLine(reason, maxReason)
	log.Error("a mail has failed", "attempts", c.Attempts, "permanent", permanent, "error", reason)
	w.finish(ctx, claimed, c, Outcome{Status: StatusFailed, Error: reason}, Failed{
		To: c.To.Address, Template: c.Template, Error: reason, Permanent: permanent, Attempts: c.Attempts,
	}, log)
	w.observe("failed", took)
}

// finish records the final status and publishes the event in one transaction.
func (w *Worker) finish(ctx context.Context, claimed time.Time, c Claimed, o Outcome, e domain.Event, log *slog.Logger) {
	// The event continues what the notification.requested began: its tenant, correlation id,
	// trace and, through the partition key, its place in the order. The id is the mail's, so
	// that repeating this cannot tell it twice.
	requested := c.Requested
	draft := &event.Draft{
		Event: e, Cause: &requested, ID: "mail-" + key(c.Mail) + "-" + string(o.Status),
		Subject: c.Requested.Subject, PartitionKey: c.Requested.PartitionKey,
	}
	w.persist(ctx, claimed, log, func(ctx context.Context) error {
		err := w.records.record(ctx, Step{Claimed: c, Outcome: &o}, draft)
		if draft != nil && refused(err) {
			// The log will never take this event. Without its status the mail would go out again.
			log.Error("the outcome of a mail cannot be published; only its status is kept", "status", o.Status, "error", err)
			draft = nil
			return errAgain
		}
		return err
	})
}

// errAgain asks persist for another try at once.
var errAgain = errors.New("try again at once")

// persist tries to record what happened until it is on disk, the claim is lost, the lease is over or
// the drain has ended: until then nobody else touches the mail, and what is not recorded is
// sent twice.
func (w *Worker) persist(ctx context.Context, claimed time.Time, log *slog.Logger, record func(context.Context) error) {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		err := record(ctx)
		if errors.Is(err, errAgain) {
			err = record(ctx)
		}
		switch {
		case err == nil:
			fault.Point("email.recorded")
			return
		case errors.Is(err, ErrLost):
			log.Warn("a mail's lease ran out before its outcome was recorded; somebody else has it now")
			return
		case ctx.Err() != nil, w.clock.Since(claimed)+pause >= w.cfg.Lease:
			log.Error("the outcome of a mail is not recorded; it will be sent again", "error", err)
			return
		}
		log.Warn("cannot record the outcome of a mail; trying again", "error", err)
		timer := w.clock.NewTimer(pause)
		select {
		case <-timer.Chan():
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

func (w *Worker) store(ctx context.Context, step func(context.Context) error) error {
	ctx, cancel := storeContext(ctx)
	defer cancel()
	return step(ctx)
}

func (w *Worker) release(ctx context.Context, c Claimed, log *slog.Logger) {
	err := w.store(ctx, func(ctx context.Context) error { return w.queue.Release(ctx, c) })
	if err != nil && !errors.Is(err, ErrLost) {
		log.Warn("cannot give a mail back; it waits for its lease to end", "error", err)
	}
}

func (w *Worker) observe(result string, took time.Duration) {
	if w.observer != nil {
		w.observer.MailDone(result, took)
	}
}

// key names a mail for ever: the same for the same tenant, requesting event and recipient, whatever
// the store calls it.
func key(m Mail) string {
	sum := sha256.Sum256([]byte(m.Requested.Tenant + "\x00" + m.Requested.Source + "\x00" + m.Requested.ID + "\x00" +
		strings.ToLower(m.To.Address)))
	return hex.EncodeToString(sum[:16])
}
