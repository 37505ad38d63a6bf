package email_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/app/publish"
	"github.com/leat-dev/leat/domain"
	"github.com/leat-dev/leat/handlers/email"
	"github.com/leat-dev/leat/handlers/email/emailtest"
)

// memory is a store in memory: a queue, a log, and transactions that roll both back.
type memory struct {
	clock clockwork.Clock

	mu       sync.Mutex // guards what follows, held for all of a transaction
	rows     []row
	log      []event.Envelope
	channels []chan struct{}
	fail     func(step string) error // may be nil; called with every step
}

type row struct {
	email.Mail
	status   email.Status
	attempts int
	due      time.Time
	owner    string
	fence    int64
	record   email.Record
	reason   string
	created  time.Time
	finished time.Time
}

type inTx struct{}

// InTx implements eventlog.Transactor.
func (m *memory) InTx(ctx context.Context, fn func(context.Context) error) error {
	if ctx.Value(inTx{}) != nil {
		return fn(ctx)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	rows, log := slices.Clone(m.rows), len(m.log)
	err := fn(context.WithValue(ctx, inTx{}, true))
	if err == nil {
		err = m.step("commit")
	}
	if err != nil {
		m.rows, m.log = rows, m.log[:log]
	}
	return err
}

func (m *memory) step(name string) error {
	if m.fail == nil {
		return nil
	}
	return m.fail(name)
}

// Append implements eventlog.Appender.
func (m *memory) Append(ctx context.Context, events []event.Envelope) (receipts []eventlog.Receipt, err error) {
	err = m.InTx(ctx, func(context.Context) error {
		if err := m.step("append"); err != nil {
			return err
		}
		for _, e := range events {
			known := slices.ContainsFunc(m.log, func(k event.Envelope) bool {
				return k.Tenant == e.Tenant && k.Source == e.Source && k.ID == e.ID
			})
			if !known {
				m.log = append(m.log, e)
			}
			receipts = append(receipts, eventlog.Receipt{EventID: e.ID, Duplicate: known})
		}
		return nil
	})
	return receipts, err
}

func (m *memory) enqueue(ctx context.Context, mails ...email.Mail) error {
	return m.InTx(ctx, func(context.Context) error {
		for _, mail := range mails {
			same := func(r row) bool {
				return r.Requested.Tenant == mail.Requested.Tenant && r.Requested.Source == mail.Requested.Source &&
					r.Requested.ID == mail.Requested.ID && strings.EqualFold(r.To.Address, mail.To.Address)
			}
			if !slices.ContainsFunc(m.rows, same) {
				mail.ID = fmt.Sprint("mail-", len(m.rows))
				now := m.clock.Now()
				m.rows = append(m.rows, row{Mail: mail, status: email.StatusQueued, due: now, created: now})
			}
		}
		m.announce()
		return nil
	})
}

func (m *memory) announce() {
	for _, c := range m.channels {
		close(c)
	}
	m.channels = nil
}

// Changed implements email.Queue.
func (m *memory) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := make(chan struct{})
	m.channels = append(m.channels, c)
	return c
}

// Claim implements email.Queue.
func (m *memory) Claim(ctx context.Context, owner string, limit int, lease time.Duration) (claims []email.Claimed, err error) {
	err = m.InTx(ctx, func(context.Context) error {
		if err := m.step("claim"); err != nil {
			return err
		}
		for i := range m.rows {
			r := &m.rows[i]
			if r.finished.IsZero() && !r.due.After(m.clock.Now()) && len(claims) < limit {
				r.owner, r.due = owner, m.clock.Now().Add(lease)
				r.fence++
				claims = append(claims, email.Claimed{Mail: r.Mail, Fence: r.fence, Attempts: r.attempts, LastError: r.reason})
			}
		}
		return nil
	})
	return claims, err
}

func (m *memory) change(ctx context.Context, step string, c email.Claimed, fn func(r *row) bool) error {
	return m.InTx(ctx, func(context.Context) error {
		if err := m.step(step); err != nil {
			return err
		}
		for i := range m.rows {
			r := &m.rows[i]
			if r.ID == c.ID && r.fence == c.Fence && r.owner != "" && r.finished.IsZero() && fn(r) {
				return nil
			}
		}
		return email.ErrLost
	})
}

// MarkSending implements email.Queue.
func (m *memory) MarkSending(ctx context.Context, c email.Claimed, record email.Record) error {
	return m.change(ctx, "mark", c, func(r *row) bool {
		if !r.due.After(m.clock.Now()) {
			return false
		}
		r.status, r.record = email.StatusSending, record
		r.attempts++
		return true
	})
}

// Record implements email.Queue.
func (m *memory) Record(ctx context.Context, steps []email.Step) (lost []error, err error) {
	err = m.InTx(ctx, func(ctx context.Context) error {
		lost = make([]error, len(steps))
		for i, s := range steps {
			if s.Outcome == nil {
				err = m.MarkSending(ctx, s.Claimed, *s.Sending)
			} else {
				err = m.Finish(ctx, s.Claimed, *s.Outcome)
			}
			if errors.Is(err, email.ErrLost) {
				lost[i], err = err, nil
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	return lost, err
}

// Retry implements email.Queue.
func (m *memory) Retry(ctx context.Context, c email.Claimed, after time.Duration, reason string) error {
	return m.change(ctx, "retry", c, func(r *row) bool {
		r.status, r.owner, r.due, r.reason = email.StatusQueued, "", m.clock.Now().Add(after), reason
		return true
	})
}

// Finish implements email.Queue.
func (m *memory) Finish(ctx context.Context, c email.Claimed, o email.Outcome) error {
	if o.Status != email.StatusSent && o.Status != email.StatusFailed {
		return fmt.Errorf("%q is no final status", o.Status)
	}
	return m.change(ctx, "finish", c, func(r *row) bool {
		r.status, r.owner, r.reason, r.finished = o.Status, "", o.Error, m.clock.Now()
		return true
	})
}

// Release implements email.Queue.
func (m *memory) Release(ctx context.Context, c email.Claimed) error {
	return m.change(ctx, "release", c, func(r *row) bool {
		r.status, r.owner, r.due = email.StatusQueued, "", m.clock.Now()
		m.announce()
		return true
	})
}

// Emails implements email.Reader.
func (m *memory) Emails(_ context.Context, q email.Query) (emails []email.Email, next string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if q.Tenant == "" || q.Status == "lost" {
		return nil, "", &domain.Error{Kind: domain.Invalid}
	}
	before, limit := len(m.rows), q.Limit
	if limit == 0 {
		limit = email.DefaultLimit
	}
	if q.Cursor != "" {
		text, err := base64.StdEncoding.DecodeString(q.Cursor)
		if err != nil {
			return nil, "", &domain.Error{Kind: domain.Invalid}
		}
		if before, err = strconv.Atoi(string(text)); err != nil {
			return nil, "", &domain.Error{Kind: domain.Invalid}
		}
	}
	for i := before - 1; i >= 0; i-- {
		r := m.rows[i]
		if r.Requested.Tenant != q.Tenant || q.Status != "" && r.status != q.Status {
			continue
		}
		if len(emails) == limit {
			return emails, base64.StdEncoding.EncodeToString([]byte(fmt.Sprint(i + 1))), nil
		}
		e := email.Email{
			ID: r.ID, Status: r.status, To: r.To.Address, Subject: r.record.Subject, Template: r.Template, Attempts: r.attempts,
			Error: r.reason, Created: r.created, MessageID: r.record.MessageID, EventID: r.Requested.ID,
		}
		if r.status == email.StatusSent {
			e.Sent = r.finished
		}
		emails = append(emails, e)
	}
	return emails, "", nil
}

// The store in memory has to keep what real ones do, or the worker's tests would show nothing.
func TestMemoryQueue(t *testing.T) {
	t.Parallel()
	emailtest.Test(t, func(*testing.T) emailtest.Subject {
		clock := clockwork.NewFakeClock()
		m := &memory{clock: clock}
		return emailtest.Subject{Queue: m, Reader: m, Tx: m, Enqueue: m.enqueue, Advance: clock.Advance}
	})
}

// sender answers as the test says, and tells it about every call.
type sender struct {
	answers chan func(context.Context) error // one for each call; nil func: nil
	calls   chan email.Message
}

// Send implements email.Sender.
func (s *sender) Send(ctx context.Context, m email.Message) error {
	s.calls <- m
	if answer := <-s.answers; answer != nil {
		return answer(ctx)
	}
	return nil
}

func fails(err error) func(context.Context) error {
	return func(context.Context) error { return err }
}

func hangs(ctx context.Context) error {
	<-ctx.Done()
	return fmt.Errorf("read: %w", ctx.Err())
}

// done is what the observer heard.
type done struct {
	result string
	took   time.Duration
}

type observer chan done

// MailDone implements email.Observer.
func (o observer) MailDone(result string, took time.Duration) { o <- done{result, took} }

type bundle struct {
	store     *memory
	clock     *clockwork.FakeClock
	sender    *sender
	done      observer
	publisher *publish.Publisher
	worker    *email.Worker

	stop  context.CancelFunc // what ends Run's context
	ended chan error
}

var templates = fstest.MapFS{
	"welcome.subject.tmpl":   {Data: []byte("Welcome, {{.Data.name}}\n")},
	"welcome.txt.tmpl":       {Data: []byte("Hello {{.Recipient.Name}} of {{.Event.Tenant}}: {{.Data.n}}")},
	"mail/welcome.html.tmpl": {Data: []byte("<p>{{.Data.name}}</p>")},
}

func setup(t *testing.T, change func(*email.Config)) *bundle {
	t.Helper()
	clock := clockwork.NewFakeClockAt(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	catalogue, err := event.NewCatalogue(email.Definitions)
	require.NoError(t, err)
	b := &bundle{
		store: &memory{clock: clock}, clock: clock, done: make(observer, 100),
		sender: &sender{answers: make(chan func(context.Context) error, 100), calls: make(chan email.Message, 100)},
	}
	b.publisher = publish.New(publish.Config{}, catalogue, b.store, clock, nil)
	mails, err := email.NewTemplates(templates)
	require.NoError(t, err)
	cfg := email.Config{From: "Leat <leat@example.com>", Jitter: -1, Poll: time.Second}
	if change != nil {
		change(&cfg)
	}
	b.worker, err = email.New(cfg, b.store, b.sender, mails, b.publisher, b.store, clock, slog.New(slog.NewTextHandler(io.Discard, nil)), b.done)
	require.NoError(t, err)
	return b
}

// run starts the worker; the test's end, or stop, ends it.
func (b *bundle) run(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	b.stop, b.ended = stop, make(chan error, 1)
	go func() { b.ended <- b.worker.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err, ok := <-b.ended; ok {
			require.NoError(t, err)
		}
	})
}

// join waits until Run has returned.
func (b *bundle) join(t *testing.T) {
	t.Helper()
	require.NoError(t, <-b.ended)
	close(b.ended)
}

func (b *bundle) enqueue(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		require.NoError(t, b.store.enqueue(t.Context(), mail(id)))
	}
}

func mail(id string) email.Mail {
	return email.Mail{
		Requested: event.Envelope{
			ID: id, Type: "notification.requested", SchemaVersion: 1, Kind: event.Notification, Source: "leat", Subject: "p1",
			Tenant: "acme", Actor: "ada", PartitionKey: "key-1", CorrelationID: "c1", CausationID: "e0", Depth: 1,
			TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		},
		To: email.Recipient{Address: "Grace@example.com", Name: "Grace"}, Template: "welcome",
		Data: []byte(`{"event":{"type":"tenant.created","tenant":"acme"},"data":{"name":"Acme <Ltd>","n":1000000}}`),
	}
}

// idle waits until the worker has nothing to do but wait for its next look at the queue.
func (b *bundle) idle(t *testing.T) {
	t.Helper()
	require.NoError(t, b.clock.BlockUntilContext(t.Context(), 1))
}

func (b *bundle) emails(t *testing.T) []email.Email {
	t.Helper()
	emails, _, err := b.store.Emails(t.Context(), email.Query{Tenant: "acme"})
	require.NoError(t, err)
	slices.Reverse(emails)
	return emails
}

func (b *bundle) events() []event.Envelope {
	b.store.mu.Lock()
	defer b.store.mu.Unlock()
	return slices.Clone(b.store.log)
}

// failing lets the store fail at a step, n times, and tells about each.
func (b *bundle) failing(step string, n int, err error) (failed <-chan struct{}) {
	b.store.mu.Lock()
	defer b.store.mu.Unlock()
	told := make(chan struct{}, n)
	b.store.fail = func(s string) error {
		if s == step && n > 0 {
			n--
			told <- struct{}{}
			return err
		}
		return nil
	}
	return told
}

var errDown = errors.New("connection refused")
