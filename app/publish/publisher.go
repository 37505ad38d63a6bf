// Package publish is the door to the event log. Whatever enters, from an aggregate, a handler, the
// API or the command line, is checked against its definition here, gets the attributes that its
// author left out, and is appended. There is no other way in.
package publish

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jonboulle/clockwork"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/app/fault"
	"github.com/leat-dev/leat/domain"
)

// Config says what a publisher fills in and refuses.
type Config struct {
	// Source names the service in the events that do not name one. Default "leat".
	Source string `koanf:"source"`
	// MaxDepth bounds a chain of causes: an event whose handling publishes an event, and so on.
	// Default 32.
	MaxDepth int `koanf:"max_depth"`
	// MaxBatch bounds the number of events in one call. Default 1000.
	MaxBatch int `koanf:"max_batch"`
	// Unrecorded lets real-time events go out to the live feed while the log is down, marked as
	// unrecorded; the caller gets an error all the same. Only what is published by itself: nothing
	// that belongs to a transaction, and nothing that a handler publishes.
	Unrecorded bool `koanf:"-"`
}

// Observer is told about every call, for metrics. err is nil when all the events were accepted;
// types holds the type of each event as the caller named it.
type Observer interface {
	Published(types []string, took time.Duration, err error)
	// Unrecorded is told the type of each event that went out although the log did not take it.
	Unrecorded(types []string)
}

// Publisher accepts events. It is safe for concurrent use.
type Publisher struct {
	cfg       Config
	catalogue *event.Catalogue
	log       eventlog.Appender
	clock     clockwork.Clock
	observer  Observer
	live      Live // nil: there is no fast path
	commits   eventlog.Commits
}

// New returns a publisher. observer may be nil.
func New(cfg Config, c *event.Catalogue, log eventlog.Appender, clock clockwork.Clock, observer Observer, options ...Option) *Publisher {
	if cfg.Source == "" {
		cfg.Source = "leat"
	}
	if cfg.MaxDepth == 0 {
		cfg.MaxDepth = 32
	}
	if cfg.MaxBatch == 0 {
		cfg.MaxBatch = 1000
	}
	p := &Publisher{cfg: cfg, catalogue: c, log: log, clock: clock, observer: observer}
	for _, change := range options {
		change(p)
	}
	return p
}

// Publish accepts the events, all or none, each of the kind that its definition says. When it
// returns nil they are on disk, or, when ctx carries a transaction, part of it. There is one
// receipt for each event. A fault of the input is a *domain.Error that names the field.
func (p *Publisher) Publish(ctx context.Context, drafts ...event.Draft) ([]eventlog.Receipt, error) {
	types := make([]string, len(drafts))
	envelopes := make([]event.Envelope, len(drafts))
	return p.accept(ctx, types, envelopes, func(i int) (*event.Envelope, error) {
		d := drafts[i]
		if d.Event != nil {
			types[i] = d.Event.EventType()
		}
		def, data, err := p.catalogue.Encode(d.Event)
		if err != nil {
			return nil, err
		}
		envelopes[i] = event.Envelope{
			ID: d.ID, Type: def.Type(), SchemaVersion: def.SchemaVersion(), Kind: def.Kind(),
			Severity: event.SeverityOf(def, d.Event), Source: d.Source, Subject: d.Subject, Tenant: d.Tenant,
			Actor: d.Actor, Time: d.Time, PartitionKey: d.PartitionKey, CorrelationID: d.CorrelationID, Data: data,
		}
		if d.Cause != nil {
			envelopes[i].TraceParent = d.Cause.TraceParent
			return d.Cause, nil
		}
		if i > 0 && drafts[0].Cause == nil && envelopes[i].CorrelationID == "" && envelopes[i].Tenant == drafts[0].Tenant {
			// What is published in one call has one cause, as what an aggregate records in one decision.
			envelopes[i].CorrelationID = envelopes[0].CorrelationID
		}
		return nil, nil
	})
}

// PublishRaw accepts events that come as JSON from outside, with the same promises as Publish.
func (p *Publisher) PublishRaw(ctx context.Context, raws ...event.Raw) ([]eventlog.Receipt, error) {
	types := make([]string, len(raws))
	envelopes := make([]event.Envelope, len(raws))
	return p.accept(ctx, types, envelopes, func(i int) (*event.Envelope, error) {
		r := raws[i]
		types[i] = r.Type
		if len(r.Data) > event.MaxData {
			return nil, tooLarge(len(r.Data))
		}
		def, data, severity, err := p.catalogue.Admit(r.Type, r.SchemaVersion, r.Data)
		if err != nil {
			return nil, err
		}
		envelopes[i] = event.Envelope{
			ID: r.ID, Type: def.Type(), SchemaVersion: def.SchemaVersion(), Kind: def.Kind(), Severity: severity,
			Source: r.Source, Subject: r.Subject, Tenant: r.Tenant, Actor: r.Actor, Time: r.Time,
			PartitionKey: r.PartitionKey, CorrelationID: r.CorrelationID, TraceParent: r.TraceParent, Data: data,
		}
		return nil, nil
	})
}

// Business publishes events that are defined as business events, and refuses others.
func (p *Publisher) Business(ctx context.Context, drafts ...event.Draft) ([]eventlog.Receipt, error) {
	return p.ofKind(ctx, event.Business, drafts)
}

// Alert publishes events that are defined as alerts, and refuses others.
func (p *Publisher) Alert(ctx context.Context, drafts ...event.Draft) ([]eventlog.Receipt, error) {
	return p.ofKind(ctx, event.Alert, drafts)
}

// Notification publishes events that are defined as notifications, and refuses others.
func (p *Publisher) Notification(ctx context.Context, drafts ...event.Draft) ([]eventlog.Receipt, error) {
	return p.ofKind(ctx, event.Notification, drafts)
}

// Recommendation publishes events that are defined as recommendations, and refuses others.
func (p *Publisher) Recommendation(ctx context.Context, drafts ...event.Draft) ([]eventlog.Receipt, error) {
	return p.ofKind(ctx, event.Recommendation, drafts)
}

func (p *Publisher) ofKind(ctx context.Context, kind event.Kind, drafts []event.Draft) ([]eventlog.Receipt, error) {
	for i, d := range drafts {
		if d.Event == nil {
			continue // Publish reports it
		}
		if def, ok := p.catalogue.Lookup(d.Event.EventType()); ok && def.Kind() != kind {
			return nil, atIndex(i, len(drafts), &domain.Error{
				Kind: domain.Invalid, Code: "WRONG_EVENT_KIND", Field: "eventType",
				Message: fmt.Sprintf("event type %q is defined as kind %s, not %s", def.Type(), def.Kind(), kind),
			})
		}
	}
	return p.Publish(ctx, drafts...)
}

// accept builds, completes, checks and appends the envelopes. build returns what an envelope continues, nil for
// what ctx says.
func (p *Publisher) accept(ctx context.Context, types []string, envelopes []event.Envelope, build func(i int) (*event.Envelope, error)) (receipts []eventlog.Receipt, err error) {
	start := p.clock.Now()
	if p.observer != nil {
		defer func() { p.observer.Published(types, p.clock.Since(start), err) }()
	}
	if len(envelopes) > p.cfg.MaxBatch {
		return nil, &domain.Error{
			Kind: domain.TooLarge, Code: "BATCH_TOO_LARGE",
			Message: fmt.Sprintf("a batch of %d events; the limit is %d", len(envelopes), p.cfg.MaxBatch),
		}
	}
	for i := range envelopes {
		cause, err := build(i)
		if err != nil {
			return nil, atIndex(i, len(envelopes), err)
		}
		within := ctx
		if cause != nil {
			within = event.WithHandled(ctx, *cause)
		}
		if err := p.complete(within, &envelopes[i], start); err != nil {
			return nil, atIndex(i, len(envelopes), err)
		}
	}
	if len(envelopes) == 0 {
		return nil, nil
	}
	fault.Point("publish.checked")
	receipts, err = p.log.Append(ctx, envelopes)
	if err != nil {
		return nil, p.unrecorded(ctx, envelopes, fmt.Errorf("append %s: %w", envelopes[0].Type, err))
	}
	fault.Point("publish.appended")
	p.push(ctx, envelopes, receipts)
	return receipts, nil
}

// complete fills in what the author left out and checks the attributes.
func (p *Publisher) complete(ctx context.Context, e *event.Envelope, now time.Time) error {
	origin := event.OriginFrom(ctx)
	if e.ID == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return fmt.Errorf("make an event id: %w", err)
		}
		e.ID = id.String()
	}
	if cause, ok := event.Handled(ctx); ok {
		e.CausationID = cause.ID
		e.Depth = cause.Depth + 1
		e.Tenant = first(e.Tenant, cause.Tenant)
		e.CorrelationID = first(e.CorrelationID, cause.CorrelationID, cause.ID)
		e.Actor = first(e.Actor, origin.Actor, cause.Actor)
		if e.Depth > p.cfg.MaxDepth {
			return &domain.Error{
				Kind: domain.Conflict, Code: "CAUSATION_TOO_DEEP", Field: "metadata.causationId",
				Message: fmt.Sprintf("%s would be number %d in a chain of causes that began with correlation id %q; the limit is %d: handlers publish in a circle",
					e.Type, e.Depth, e.CorrelationID, p.cfg.MaxDepth),
			}
		}
	}
	if e.TraceParent == "" && trace.SpanContextFromContext(ctx).IsValid() {
		carrier := propagation.MapCarrier{}
		propagation.TraceContext{}.Inject(ctx, carrier)
		e.TraceParent = carrier[event.MetaTraceParent]
	}
	e.Tenant = first(e.Tenant, origin.Tenant)
	e.Actor = first(e.Actor, origin.Actor)
	e.CorrelationID = first(e.CorrelationID, origin.CorrelationID, e.ID)
	e.Source = first(e.Source, p.cfg.Source)
	e.PartitionKey = first(e.PartitionKey, e.Subject, e.ID)
	if e.Time.IsZero() {
		e.Time = now
	}
	e.Time = e.Time.UTC().Truncate(time.Microsecond) // what stores keep, so that every path shows the same event
	e.Slot = event.SlotOf(e.Tenant, e.PartitionKey)
	if err := p.checkSeverity(e); err != nil {
		return err
	}
	if faults := e.CheckAttributes(); len(faults) == 1 {
		return faults[0]
	} else if len(faults) > 1 {
		return errors.Join(faults...)
	}
	return nil
}

func (p *Publisher) checkSeverity(e *event.Envelope) error {
	switch e.Severity {
	case domain.Urgent, domain.High, domain.Medium, domain.Low:
		return nil
	case "":
		if e.Kind != event.Alert {
			return nil
		}
	}
	return &domain.Error{
		Kind: domain.Invalid, Code: "INVALID_SEVERITY", Field: "severity",
		Message: fmt.Sprintf("alert %s has severity %q; want urgent, high, medium or low", e.Type, e.Severity),
	}
}

func tooLarge(n int) error {
	return &domain.Error{
		Kind: domain.TooLarge, Code: "EVENT_TOO_LARGE", Field: "data",
		Message: fmt.Sprintf("event data is %d bytes long; the limit is %d", n, event.MaxData),
	}
}

// atIndex names the event of a batch that an error is about.
func atIndex(i, of int, err error) error {
	if of < 2 {
		return err
	}
	return fmt.Errorf("event %d of %d: %w", i+1, of, err)
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
