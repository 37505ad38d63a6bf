package wiring

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/leat-dev/leat/adapters/devinbox"
	"github.com/leat-dev/leat/adapters/httpapi"
	"github.com/leat-dev/leat/app/deadletter"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/app/settle"
	"github.com/leat-dev/leat/domain"
)

// control shows and steers the handler sets for the API.
type control struct {
	sets     Sets
	store    settle.Store
	backlogs settle.Backlogs
	letters  deadletter.Store
}

var _ httpapi.Handlers = control{}

// Handlers returns all sets that are stored, whichever process works them and whether or not this one
// knows them, and those that keep no record.
func (c control) Handlers(ctx context.Context) ([]httpapi.HandlerStatus, error) {
	statuses, err := c.store.Statuses(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the status of the handler sets: %w", err)
	}
	backlog, err := c.backlogs.Backlog(ctx)
	if err != nil {
		return nil, fmt.Errorf("count what the handler sets have before them: %w", err)
	}
	dead, err := c.letters.CountDeadLetters(ctx)
	if err != nil {
		return nil, fmt.Errorf("count the dead letters: %w", err)
	}
	var out []httpapi.HandlerStatus
	known := map[string][]string{}
	for _, set := range c.sets {
		if set.RunsEverywhere() {
			out = append(out, httpapi.HandlerStatus{Name: set.Name(), Types: set.Types(), EveryInstance: true})
		}
		known[set.Name()] = set.Types()
	}
	for name, status := range statuses {
		parked := status.Parked + status.Redrive
		h := httpapi.HandlerStatus{
			Name: name, Types: status.Types, Paused: status.Paused, Lanes: status.Lanes, IdleLanes: status.Lanes,
			Backlog: backlog[name] + parked, Parked: parked, DeadLetters: dead[name],
		}
		for _, typ := range status.Types {
			if !slices.Contains(known[name], typ) {
				h.UnknownTypes = append(h.UnknownTypes, typ)
			}
		}
		for _, owner := range slices.Sorted(maps.Keys(status.Owners)) {
			h.Owners = append(h.Owners, httpapi.Owner{Name: owner, Lanes: status.Owners[owner]})
			h.IdleLanes -= status.Owners[owner]
		}
		out = append(out, h)
	}
	return out, nil
}

// Pause lets a set rest.
func (c control) Pause(ctx context.Context, name string) error { return c.setPaused(ctx, name, true) }

// Resume lets a set go on.
func (c control) Resume(ctx context.Context, name string) error { return c.setPaused(ctx, name, false) }

func (c control) setPaused(ctx context.Context, name string, paused bool) error {
	if c.keepsNoRecord(name) {
		return domain.Errorf(domain.Conflict, "HANDLER_NOT_PAUSABLE",
			"handler set %q runs in every process and keeps no record: what it does not take is gone, so it cannot rest", name)
	}
	return c.store.SetPaused(ctx, name, paused)
}

// Forget lets go of event types of a set, or of the set.
func (c control) Forget(ctx context.Context, name string, types []string) (httpapi.ForgottenHandler, error) {
	if c.keepsNoRecord(name) {
		return httpapi.ForgottenHandler{}, domain.Errorf(domain.Conflict, "HANDLER_KEEPS_NO_RECORD",
			"handler set %q runs in every process and keeps no record: there is nothing to let go of", name)
	}
	gone, err := c.store.Forget(ctx, name, types...)
	return httpapi.ForgottenHandler{Name: name, Types: gone.Types, Cursors: gone.Cursors, Parked: gone.Parked}, err
}

func (c control) keepsNoRecord(name string) bool {
	return slices.ContainsFunc(c.sets, func(s *handler.Bound) bool { return s.Name() == name && s.RunsEverywhere() })
}

// inboxPage shows the built-in inbox to the API.
type inboxPage struct{ inbox *devinbox.Inbox }

var _ httpapi.Inbox = inboxPage{}

// Mails returns the mails, newest first.
func (p inboxPage) Mails(context.Context) ([]httpapi.Mail, error) {
	var out []httpapi.Mail
	for _, m := range p.inbox.Mails() {
		out = append(out, mailOf(m))
	}
	return out, nil
}

// Mail returns one mail.
func (p inboxPage) Mail(_ context.Context, id string) (httpapi.Mail, error) {
	m, ok := p.inbox.Mail(id)
	if !ok {
		return httpapi.Mail{}, domain.Errorf(domain.NotFound, "MAIL_NOT_FOUND", "there is no mail %q in the inbox", id)
	}
	return mailOf(m), nil
}

func mailOf(m devinbox.Mail) httpapi.Mail {
	return httpapi.Mail{
		ID: m.ID, From: m.From, To: m.To, Subject: m.Subject, Received: m.Received, Text: m.Text, HTML: m.HTML,
	}
}

// deliveryPage shows to the API what became of an event.
type deliveryPage struct{ deliveries settle.Deliveries }

var _ httpapi.Deliveries = deliveryPage{}

// Deliveries returns one for each handler set that is to handle the event.
func (p deliveryPage) Deliveries(ctx context.Context, tenant, eventID string) ([]httpapi.Delivery, error) {
	found, err := p.deliveries.Deliveries(ctx, tenant, eventID)
	if err != nil {
		return nil, err
	}
	out := make([]httpapi.Delivery, len(found))
	for i, d := range found {
		out[i] = httpapi.Delivery(d)
	}
	return out, nil
}
