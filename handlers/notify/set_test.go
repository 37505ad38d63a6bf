package notify_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/app/publish"
	"github.com/leat-dev/leat/domain"
	"github.com/leat-dev/leat/handlers/notify"
)

type invited struct {
	Email string `json:"email"`
}

func (invited) EventType() string { return "member.invited" }

type closed struct{}

func (closed) EventType() string { return "account.closed" }

var definitions = event.Definitions{event.Define[invited](event.Business), event.Define[closed](event.Business)}

// bundle is the set with a real publisher in front of a log that only remembers.
type bundle struct {
	set       *handler.Bound
	publisher *publish.Publisher
	log       *memoryLog
	queue     *memoryQueue
	found     []notify.Recipient
	findErr   error
}

type memoryLog struct {
	appended []event.Envelope
	err      error
}

func (l *memoryLog) Append(_ context.Context, events []event.Envelope) ([]eventlog.Receipt, error) {
	if l.err != nil {
		return nil, l.err
	}
	l.appended = append(l.appended, events...)
	return make([]eventlog.Receipt, len(events)), nil
}

type memoryQueue struct {
	mails []notify.Mail
	err   error
}

func (q *memoryQueue) Enqueue(_ context.Context, mails ...notify.Mail) error {
	q.mails = append(q.mails, mails...)
	return q.err
}

type known []string

func (k known) Has(name string) bool {
	for _, n := range k {
		if n == name {
			return true
		}
	}
	return false
}

// Recipients implements notify.Recipients.
func (b *bundle) Recipients(context.Context, event.Envelope) ([]notify.Recipient, error) {
	return b.found, b.findErr
}

func setup(t *testing.T, options ...notify.Option) *bundle {
	t.Helper()
	catalogue, err := event.NewCatalogue(definitions, notify.Definitions)
	require.NoError(t, err)
	b := &bundle{log: &memoryLog{}, queue: &memoryQueue{}}
	b.publisher = publish.New(publish.Config{}, catalogue, b.log, clockwork.NewFakeClock(), nil)
	rules := []notify.Rule{
		{Type: "member.invited", Template: "invitation"},
		{Type: "account.closed", Template: "farewell"},
		{Type: "account.closed", Template: "survey"},
	}
	set := notify.Set(rules, b, b.publisher, b.queue, options...)
	require.Equal(t, "notify", set.Name())
	b.set, err = set.Bind(catalogue)
	require.NoError(t, err)
	return b
}

func (b *bundle) handle(t *testing.T, e event.Envelope) error {
	t.Helper()
	call, ok := b.set.Call(e.Type)
	require.True(t, ok)
	require.True(t, call.Tx)
	return call.Do(event.WithHandled(t.Context(), e), e)
}

var invitation = event.Envelope{
	ID: "e1", Type: "member.invited", SchemaVersion: 1, Kind: event.Business, Source: "leat", Subject: "p1", Tenant: "acme",
	Actor: "ada", Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), PartitionKey: "p1", CorrelationID: "c1",
	Data: []byte(`{"email":"grace@example.com"}`), Position: 7,
}

func TestARuleLeadsToANotification(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.Equal(t, []string{"account.closed", "member.invited", "notification.requested"}, b.set.Types())
	b.found = []notify.Recipient{
		{Address: "grace@example.com", Name: "Grace", Role: "invitee"},
		{Address: " GRACE@Example.com", Role: "watcher"},
		{Address: "ada@example.com", Role: "assignee"},
	}
	require.NoError(t, b.handle(t, invitation))
	require.Len(t, b.log.appended, 1)
	got := b.log.appended[0]
	require.Equal(t, "notification.requested", got.Type)
	require.Equal(t, event.Notification, got.Kind)
	require.Equal(t, "acme", got.Tenant)
	require.Equal(t, "p1", got.Subject)
	require.Equal(t, "c1", got.CorrelationID)
	require.Equal(t, "e1", got.CausationID)
	require.JSONEq(t, `{
		"channel": "email", "template": "invitation",
		"recipients": [
			{"address": "grace@example.com", "name": "Grace", "role": "invitee"},
			{"address": "ada@example.com", "role": "assignee"}],
		"data": {
			"event": {"type": "member.invited", "id": "e1", "subject": "p1", "tenant": "acme", "time": "2026-01-02T03:04:05Z", "actor": "ada"},
			"data": {"email": "grace@example.com"}}
	}`, string(got.Data))

	require.NoError(t, b.handle(t, invitation))
	require.Equal(t, got.ID, b.log.appended[1].ID, "a replay asks for the same, so the log keeps it once")
	require.Empty(t, b.queue.mails)
}

func TestSeveralRulesForOneType(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.found = []notify.Recipient{{Address: "grace@example.com"}}
	e := invitation
	e.Type, e.Data = "account.closed", []byte(`{}`)
	require.NoError(t, b.handle(t, e))
	require.Len(t, b.log.appended, 2)
	require.NotEqual(t, b.log.appended[0].ID, b.log.appended[1].ID)
	require.Contains(t, string(b.log.appended[0].Data), `"farewell"`)
	require.Contains(t, string(b.log.appended[1].Data), `"survey"`)
}

func TestNobodyToTell(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.handle(t, invitation))
	require.Empty(t, b.log.appended)
}

func TestFailuresOfRules(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.findErr = errors.New("no such table")
	err := b.handle(t, invitation)
	require.ErrorIs(t, err, b.findErr)
	require.False(t, handler.IsPermanent(err))

	b.findErr, b.found = nil, []notify.Recipient{{Address: "not an address"}}
	err = b.handle(t, invitation)
	require.True(t, handler.IsPermanent(err), "got %v", err)
	require.Equal(t, domain.Invalid, domain.KindOf(err))

	b.found, b.log.err = []notify.Recipient{{Address: "grace@example.com"}}, errors.New("disk full")
	err = b.handle(t, invitation)
	require.ErrorIs(t, err, b.log.err)
	require.False(t, handler.IsPermanent(err))
}

func requested(t *testing.T, n notify.Requested) event.Envelope {
	t.Helper()
	data, err := json.Marshal(n)
	require.NoError(t, err)
	return event.Envelope{
		ID: "r1", Type: "notification.requested", SchemaVersion: 1, Kind: event.Notification, Source: "shop", Subject: "p1",
		Tenant: "acme", PartitionKey: "p1", CorrelationID: "c1", CausationID: "e1", Depth: 1, Data: data, Position: 8,
	}
}

func TestANotificationLeadsToMails(t *testing.T) {
	t.Parallel()
	b := setup(t, notify.WithTemplates(known{"invitation"}))
	e := requested(t, notify.Requested{
		Channel: "email", Template: "invitation", Data: json.RawMessage(`{"n":1}`),
		Recipients: []notify.Recipient{{Address: "grace@example.com", Name: "Grace"}, {Address: "Grace@EXAMPLE.com"}, {Address: "ada@example.com"}},
	})
	require.NoError(t, b.handle(t, e))
	e.Data = nil
	require.Equal(t, []notify.Mail{
		{Requested: e, To: notify.Recipient{Address: "grace@example.com", Name: "Grace"}, Template: "invitation", Data: json.RawMessage(`{"n":1}`)},
		{Requested: e, To: notify.Recipient{Address: "ada@example.com"}, Template: "invitation", Data: json.RawMessage(`{"n":1}`)},
	}, b.queue.mails)

	b.queue.err = errors.New("disk full")
	err := b.handle(t, requested(t, good()))
	require.ErrorIs(t, err, b.queue.err)
	require.False(t, handler.IsPermanent(err))
}

func good() notify.Requested {
	return notify.Requested{Channel: "email", Template: "invitation", Recipients: []notify.Recipient{{Address: "grace@example.com"}}}
}

// What is wrong is refused at the door, and again in the set should it have slipped through.
func TestBadNotifications(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*notify.Requested)
		field  string // at the door; empty: the door lets it pass
	}{
		"channel":             {func(n *notify.Requested) { n.Channel = "pigeon" }, "data.channel"},
		"no channel":          {func(n *notify.Requested) { n.Channel = "" }, "data.channel"},
		"no template":         {func(n *notify.Requested) { n.Template = "" }, "data.template"},
		"template's path":     {func(n *notify.Requested) { n.Template = "../secret" }, "data.template"},
		"unknown template":    {func(n *notify.Requested) { n.Template = "unknown" }, ""},
		"no recipients":       {func(n *notify.Requested) { n.Recipients = nil }, "data.recipients"},
		"empty recipients":    {func(n *notify.Requested) { n.Recipients = []notify.Recipient{} }, "data.recipients"},
		"no address":          {func(n *notify.Requested) { n.Recipients[0].Address = "" }, "data.recipients.0.address"},
		"no domain":           {func(n *notify.Requested) { n.Recipients[0].Address = "grace" }, "data.recipients.0.address"},
		"two addresses":       {func(n *notify.Requested) { n.Recipients[0].Address = "a@example.com,b@example.com" }, "data.recipients.0.address"},
		"address with a name": {func(n *notify.Requested) { n.Recipients[0].Address = "G <g@example.com>" }, "data.recipients.0.address"},
		"CR LF in address":    {func(n *notify.Requested) { n.Recipients[0].Address = "g@example.com\r\nBcc: x@example.com" }, "data.recipients.0.address"},
		"CR LF in name":       {func(n *notify.Requested) { n.Recipients[0].Name = "Grace\r\nBcc: x@example.com" }, "data.recipients.0.name"},
		"quoted local part":   {func(n *notify.Requested) { n.Recipients[0].Address = `"a b"@example.com` }, ""},
		"data is no object":   {func(n *notify.Requested) { n.Data = json.RawMessage(`[1]`) }, "data.data"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, notify.WithTemplates(known{"invitation"}))
			n := good()
			test.change(&n)
			_, err := b.publisher.Publish(t.Context(), event.Draft{Event: n, Tenant: "acme"})
			if test.field == "" {
				require.NoError(t, err)
			} else {
				require.Equal(t, domain.Invalid, domain.KindOf(err), "got %v", err)
				require.Contains(t, err.Error(), test.field)
				require.Empty(t, b.log.appended)
			}
			if name == "data is no object" || name == "template's path" {
				return // harmless behind the door
			}
			err = b.handle(t, requested(t, n))
			require.True(t, handler.IsPermanent(err), "got %v", err)
			require.Empty(t, b.queue.mails)
		})
	}
	_, err := setup(t).publisher.Publish(t.Context(), event.Draft{Event: good(), Tenant: "acme"})
	require.NoError(t, err)
}

func TestAnUndecodableNotification(t *testing.T) {
	t.Parallel()
	e := requested(t, good())
	e.Data = []byte(`{"recipients": 3}`)
	require.True(t, handler.IsPermanent(setup(t).handle(t, e)))
}

func TestCheckRules(t *testing.T) {
	t.Parallel()
	rules := []notify.Rule{{Type: "a.b", Template: "x"}, {Type: "c.d", Template: "y"}}
	require.Empty(t, notify.CheckRules(rules, known{"x", "y"}))
	faults := notify.CheckRules(rules, known{"x"})
	require.Len(t, faults, 1)
	require.True(t, strings.Contains(faults[0].Error(), `"c.d"`) && strings.Contains(faults[0].Error(), `"y"`), "got %v", faults)
}

func TestRulesForUndefinedTypes(t *testing.T) {
	t.Parallel()
	catalogue, err := event.NewCatalogue(notify.Definitions)
	require.NoError(t, err)
	b := &bundle{}
	_, err = notify.Set([]notify.Rule{{Type: "no.such", Template: "x"}}, b, nil, nil).Bind(catalogue)
	require.ErrorContains(t, err, `no defined event type matches "no.such"`)
}
