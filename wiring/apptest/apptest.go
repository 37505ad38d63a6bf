// Package apptest runs a service as it runs in production, wired by the same wiring, inside a test:
// on GoChannel and a SQLite file in a temporary folder, with a clock that the test owns and mails
// that go nowhere. Nothing sleeps. Do returns when everything that an act caused has settled.
//
//	h := apptest.New(t, billing.Definitions, billing.Set(invoices))
//	h.Do(func(ctx context.Context) error {
//		_, err := h.Publisher.Business(ctx, event.Draft{Event: Shipped{OrderID: "o-1"}, Subject: "o-1"})
//		return err
//	})
//	invoice := apptest.One[InvoiceIssued](t, h)
package apptest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/configs"
	"github.com/leat-dev/leat/domain"
	"github.com/leat-dev/leat/handlers/email"
	"github.com/leat-dev/leat/wiring"
)

// Tenant is the tenant that acts happen for.
const Tenant = "test"

// Part is what a harness is made of: an event.Definitions, a handler.Set, a func(wiring.Kit)
// handler.Set for sets that need something of the service, a whole wiring.Service, or an Option.
type Part any

// Option changes how the service runs.
type Option func(*settings)

type settings struct {
	cfg      *configs.Config
	tolerant map[string]bool
}

// OnBus runs the service on another bus; the default is gochannel.
func OnBus(kind string) Option { return func(s *settings) { s.cfg.Bus.Kind = kind } }

// ExpectErrors says that handlers of the sets may fail; otherwise a failure fails the test.
func ExpectErrors(sets ...string) Option {
	return func(s *settings) {
		for _, set := range sets {
			s.tolerant[set] = true
		}
	}
}

// Configure changes the configuration.
func Configure(change func(*configs.Config)) Option { return func(s *settings) { change(s.cfg) } }

// Harness is a running service.
type Harness struct {
	*wiring.Leat
	Clock *clockwork.FakeClock

	t        testing.TB
	ctx      context.Context
	mails    *mailbox
	attempts *attempts
}

// New starts a service of the parts and stops it at the end of the test.
func New(t testing.TB, parts ...Part) *Harness {
	t.Helper()
	s := settings{cfg: configs.Default(), tolerant: map[string]bool{}}
	s.cfg.Store.URL = "sqlite:" + filepath.Join(t.TempDir(), "leat.db")
	s.cfg.Bus.Kind = configs.BusGoChannel
	s.cfg.Retry.Jitter = -1 // none: what is counted should come out the same each time
	service := assemble(t, &s, parts)

	h := &Harness{
		Clock: clockwork.NewFakeClockAt(time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)),
		t:     t, mails: &mailbox{}, attempts: &attempts{
			t: t, tolerant: s.tolerant, counts: map[string]int{}, ended: make(chan struct{}),
		},
	}
	h.ctx = event.WithOrigin(context.Background(), event.Origin{Tenant: Tenant, Actor: "tester"})
	logger := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	leat, closeAll, err := wiring.Open(h.ctx, s.cfg, service, wiring.Overrides{
		Clock: h.Clock, Sender: h.mails, Observer: h.attempts, NoListeners: true,
	}, logger)
	if err != nil {
		t.Fatalf("apptest: %v", err)
	}
	h.Leat = leat
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- leat.App.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("apptest: %v", err)
		}
		closeAll()
	})
	select {
	case <-leat.App.Ready():
	case err := <-ended:
		ended <- err
		t.Fatalf("apptest: %v", err)
	}
	return h
}

// assemble makes one service of the parts.
func assemble(t testing.TB, s *settings, parts []Part) wiring.Service {
	t.Helper()
	whole := wiring.Service{Name: "apptest"}
	var builders []func(context.Context, wiring.Kit) (wiring.Parts, error)
	for _, part := range parts {
		switch p := part.(type) {
		case event.Definitions:
			whole.Definitions = append(whole.Definitions, p)
		case handler.Set:
			builders = append(builders, setBuilder(func(wiring.Kit) handler.Set { return p }))
		case func(wiring.Kit) handler.Set:
			builders = append(builders, setBuilder(p))
		case wiring.Service:
			whole.Name = p.Name
			whole.Definitions = append(whole.Definitions, p.Definitions...)
			if p.Build != nil {
				builders = append(builders, p.Build)
			}
		case Option:
			p(s)
		default:
			t.Fatalf("apptest: %T is no part of a service; see apptest.Part", part)
		}
	}
	whole.Build = func(ctx context.Context, kit wiring.Kit) (wiring.Parts, error) {
		var all wiring.Parts
		for _, build := range builders {
			built, err := build(ctx, kit)
			if err != nil {
				return wiring.Parts{}, err
			}
			all = all.And(built)
		}
		return all, nil
	}
	return whole
}

func setBuilder(build func(wiring.Kit) handler.Set) func(context.Context, wiring.Kit) (wiring.Parts, error) {
	return func(_ context.Context, kit wiring.Kit) (wiring.Parts, error) {
		return wiring.Parts{Sets: []handler.Set{build(kit)}}, nil
	}
}

// Context returns what acts run with: the test's tenant and actor.
func (h *Harness) Context() context.Context { return h.ctx }

// Do runs the act and returns when everything that it caused has settled: every set has handled or
// dead-lettered its events, and theirs, and every mail is sent or has failed. Where only time is
// missing, until the next attempt say, the clock is moved forward.
func (h *Harness) Do(act func(ctx context.Context) error) {
	h.t.Helper()
	if err := act(h.ctx); err != nil {
		h.t.Fatalf("apptest: the act: %v", err)
	}
	h.Settle()
}

// Events returns what the log holds of the test's tenant, oldest first.
func (h *Harness) Events() []event.Envelope {
	h.t.Helper()
	var all []event.Envelope
	for after := int64(0); ; {
		page, through, err := h.Store.Read(h.ctx, after, 0, 500)
		if err != nil {
			h.t.Fatalf("apptest: read the log: %v", err)
		}
		for _, e := range page {
			if e.Tenant == Tenant {
				all = append(all, e)
			}
		}
		if len(page) < 500 {
			return all
		}
		after = through
	}
}

// All returns the events of type T in the log, oldest first.
func All[T domain.Event](t testing.TB, h *Harness) []T {
	t.Helper()
	var zero T
	var found []T
	for _, e := range h.Events() {
		if e.Type != zero.EventType() {
			continue
		}
		decoded, err := h.Catalogue.Decode(e)
		if err != nil {
			t.Fatalf("apptest: %v", err)
		}
		found = append(found, decoded.(T))
	}
	return found
}

// One returns the one event of type T in the log, and fails the test when there is none or another.
func One[T domain.Event](t testing.TB, h *Harness) T {
	t.Helper()
	found := All[T](t, h)
	if len(found) != 1 {
		var zero T
		t.Fatalf("apptest: got %d events %s, want 1; the log holds: %s", len(found), zero.EventType(), h.types())
	}
	return found[0]
}

// None fails the test when the log holds an event of type T.
func None[T domain.Event](t testing.TB, h *Harness) {
	t.Helper()
	if found := All[T](t, h); len(found) > 0 {
		t.Fatalf("apptest: got %d events %s, want none: %+v", len(found), found[0].EventType(), found)
	}
}

func (h *Harness) types() string {
	var types []string
	for _, e := range h.Events() {
		types = append(types, e.Type)
	}
	return strings.Join(types, ", ")
}

// Mail returns the one mail that was sent, and fails the test when there is none or another.
func (h *Harness) Mail(t testing.TB) email.Message {
	t.Helper()
	mails := h.Mails()
	if len(mails) != 1 {
		var to []string
		for _, m := range mails {
			to = append(to, fmt.Sprintf("%q to %s", m.Subject, m.To.Address))
		}
		t.Fatalf("apptest: got %d mails, want 1: %s", len(mails), strings.Join(to, "; "))
	}
	return mails[0]
}

// Mails returns all mails that were sent, in that order.
func (h *Harness) Mails() []email.Message { return h.mails.all() }

// RefuseMails lets the next n mails fail with err, as a mail server would; email.Permanent(err) is
// a refusal for good.
func (h *Harness) RefuseMails(n int, err error) { h.mails.refuse(n, err) }

// Attempts is how often the set was given an event of the type.
func (h *Harness) Attempts(set, typ string) int { return h.attempts.of(set, typ) }

// mailbox is the mail server of a test.
type mailbox struct {
	mu      sync.Mutex
	sent    []email.Message
	refusal error
	refuses int
}

func (m *mailbox) Send(_ context.Context, msg email.Message) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuses > 0 {
		m.refuses--
		return m.refusal
	}
	m.sent = append(m.sent, msg)
	return nil
}

func (m *mailbox) refuse(n int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		err = errors.New("the mail server refuses")
	}
	m.refuses, m.refusal = n, err
}

func (m *mailbox) all() []email.Message {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]email.Message(nil), m.sent...)
}

// attempts counts how handlers did, and fails the test for those that were not expected to fail.
type attempts struct {
	t        testing.TB
	tolerant map[string]bool
	mu       sync.Mutex
	counts   map[string]int
	inHand   int
	ended    chan struct{} // closed when an attempt ends
}

func (a *attempts) Began(string, string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inHand++
}

// working returns how many attempts are in hand, and a channel that is closed when one ends.
func (a *attempts) working() (int, <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.inHand, a.ended
}

func (a *attempts) Handled(set, typ, result string, attempt int, _ time.Duration) {
	a.mu.Lock()
	a.counts[set+" "+typ]++
	a.inHand--
	close(a.ended)
	a.ended = make(chan struct{})
	a.mu.Unlock()
	if result != "handled" && !a.tolerant[set] {
		a.t.Errorf("apptest: handler set %s: %s was %s at attempt %d; the log above says why (expected? apptest.ExpectErrors(%q))",
			set, typ, result, attempt, set)
	}
}

func (a *attempts) of(set, typ string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.counts[set+" "+typ]
}
