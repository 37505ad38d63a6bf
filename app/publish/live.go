package publish

import (
	"context"
	"errors"
	"fmt"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/domain"
)

// Live is the fast path: it takes events to the clients of the live feed while the log has yet to
// give them their positions. What it loses or is late with, the reliable path brings.
type Live interface {
	// Push takes events that are in the log. It returns at once, whatever becomes of them.
	Push(events []event.Envelope)
	// PushUnrecorded sends events that the log did not take; for them there is no other path. went
	// tells whether they went out anywhere, and the error which ways did not take all of them.
	PushUnrecorded(ctx context.Context, events []event.Envelope) (went bool, err error)
}

// Option changes a publisher.
type Option func(*Publisher)

// WithLive lets the publisher hand every real-time event that was accepted to the fast path: at once
// after the append, or, where that is part of a transaction, after its commit, of which commits knows.
// An event that the log held already is not sent again. Without this option there is no fast path.
func WithLive(live Live, commits eventlog.Commits) Option {
	return func(p *Publisher) { p.live, p.commits = live, commits }
}

// CodeUnrecorded is the code of the error of a publish whose real-time events went out although the
// log did not take them (Config.Unrecorded).
const CodeUnrecorded = "PUBLISHED_UNRECORDED"

// push hands what was accepted to the fast path.
func (p *Publisher) push(ctx context.Context, envelopes []event.Envelope, receipts []eventlog.Receipt) {
	if p.live == nil {
		return
	}
	events := p.realtime(envelopes, receipts)
	if len(events) == 0 {
		return
	}
	p.commits.AfterCommit(ctx, func() { p.live.Push(events) })
}

// realtime copies the events that are real-time and new; it allocates nothing when there are none.
func (p *Publisher) realtime(envelopes []event.Envelope, receipts []eventlog.Receipt) []event.Envelope {
	var events []event.Envelope
	for i := range envelopes {
		if receipts != nil && receipts[i].Duplicate {
			continue
		}
		if def, _ := p.catalogue.Lookup(envelopes[i].Type); def.IsRealtime() {
			events = append(events, envelopes[i])
		}
	}
	return events
}

// unrecorded sends the real-time events of a publish that failed because the log is down, where that
// is wanted, and returns what the caller is told. What belongs to a transaction never goes out: the
// state that it speaks of was not kept. Neither does what a handler publishes: its event waits in the
// log, and will be handled when that is back.
func (p *Publisher) unrecorded(ctx context.Context, envelopes []event.Envelope, cause error) error {
	if !p.cfg.Unrecorded || p.live == nil || !down(cause) || ctx.Err() != nil || p.commits.InTransaction(ctx) {
		return cause
	}
	if _, handling := event.Handled(ctx); handling {
		return cause
	}
	events := p.realtime(envelopes, nil)
	if len(events) == 0 {
		return cause
	}
	for i := range events {
		events[i].Unrecorded = true
	}
	went, err := p.live.PushUnrecorded(ctx, events)
	if !went {
		return domain.Errorf(domain.Unavailable, codeOf(cause), "neither the log nor the live feed took the event: %w; %v", cause, err)
	}
	if p.observer != nil {
		types := make([]string, len(events))
		for i := range events {
			types[i] = events[i].Type
		}
		p.observer.Unrecorded(types)
	}
	what := fmt.Sprintf("%d of %d events", len(events), len(envelopes))
	if len(envelopes) == 1 {
		what = "event " + events[0].ID
	}
	message := "the log is down: " + what + " went out to the live feed only, unrecorded; publish again under the same id when it is back"
	if err != nil {
		message += fmt.Sprintf(" (not all of the feed could be reached: %v)", err)
	}
	return &domain.Error{Kind: domain.Unavailable, Code: CodeUnrecorded, Message: message, Err: cause}
}

// down tells whether the log could not be written. A log that this process has closed is not down: the
// process is stopping, and the caller turns to another one.
func down(err error) bool {
	return domain.KindOf(err) == domain.Unavailable && codeOf(err) != "STORE_CLOSED"
}

func codeOf(err error) string {
	var e *domain.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}
