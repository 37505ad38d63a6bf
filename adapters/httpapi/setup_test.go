package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leat-dev/leat/adapters/httpapi"
	"github.com/leat-dev/leat/app/deadletter"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/domain"
	"github.com/leat-dev/leat/handlers/audit"
	"github.com/leat-dev/leat/handlers/email"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2025, 5, 20, 12, 0, 0, 0, time.UTC)

// bundle is a server on fakes, with everything that it may have.
type bundle struct {
	deps  httpapi.Deps
	cfg   httpapi.Config
	log   *syncBuffer
	pub   *fakePublisher
	event *fakeEvents
	sets  *fakeHandlers
	dead  *fakeDeadLetters
	audit *fakeAudit
	mails *fakeEmails
	inbox *fakeInbox
	deliv *fakeDeliveries
}

func setup() *bundle {
	b := &bundle{
		log: &syncBuffer{}, pub: &fakePublisher{}, event: &fakeEvents{}, sets: &fakeHandlers{}, dead: &fakeDeadLetters{},
		audit: &fakeAudit{}, mails: &fakeEmails{}, inbox: &fakeInbox{}, deliv: &fakeDeliveries{},
		cfg: httpapi.Config{Listen: "127.0.0.1:0"},
	}
	b.deps = httpapi.Deps{
		Publisher: b.pub, Events: b.event, Deliveries: b.deliv, Audit: b.audit, Emails: b.mails,
		DeadLetters: b.dead, Handlers: b.sets, Inbox: b.inbox, Version: "test",
	}
	return b
}

func (b *bundle) logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (b *bundle) server(t testing.TB) *httpapi.Server {
	t.Helper()
	s, err := httpapi.New(b.cfg, httpapi.AuthConfig{}, b.deps, b.logger())
	require.NoError(t, err)
	return s
}

// call makes a request as a program on this machine would. headers are name, value, name, value…
func (b *bundle) call(t testing.TB, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	return serve(b.server(t), method, path, body, headers...)
}

func serve(s *httpapi.Server, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, path, reader)
	r.Host = "localhost:8080"
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
			continue
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

// errorOf reads the error body and checks what all error bodies have in common.
func errorOf(t testing.TB, w *httptest.ResponseRecorder, status int, code string) httpapi.ErrorBody {
	t.Helper()
	require.Equal(t, status, w.Code, "body: %s", w.Body)
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	var body httpapi.ErrorBody
	dec := json.NewDecoder(bytes.NewReader(w.Body.Bytes()))
	dec.DisallowUnknownFields()
	require.NoError(t, dec.Decode(&body), "body: %s", w.Body)
	require.Equal(t, "error", body.Status)
	require.Equal(t, code, body.ErrorCode, "body: %s", w.Body)
	require.NotEmpty(t, body.Message)
	require.Regexp(t, "^[0-9a-f]{32}$", body.TraceID)
	return body
}

// syncBuffer collects the log of a server.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

type fakePublisher struct {
	mu      sync.Mutex
	raws    []event.Raw
	origins []event.Origin
	answer  func(event.Raw) ([]eventlog.Receipt, error)
}

func (f *fakePublisher) PublishRaw(ctx context.Context, raws ...event.Raw) ([]eventlog.Receipt, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.raws = append(f.raws, raws...)
	f.origins = append(f.origins, event.OriginFrom(ctx))
	if f.answer != nil {
		return f.answer(raws[0])
	}
	return []eventlog.Receipt{{EventID: "evt-1", Receipt: "rcpt-1", Recorded: noon}}, nil
}

type fakeEvents struct {
	query  eventlog.Query
	events []event.Envelope
	err    error
}

func (f *fakeEvents) Search(_ context.Context, q eventlog.Query) ([]event.Envelope, error) {
	f.query = q
	return f.events, f.err
}

func (f *fakeEvents) Find(_ context.Context, tenant, id string) (event.Envelope, error) {
	for _, e := range f.events {
		if e.Tenant == tenant && e.ID == id {
			return e, nil
		}
	}
	return event.Envelope{}, domain.Errorf(domain.NotFound, "EVENT_NOT_FOUND", "there is no event %q", id)
}

type fakeDeliveries struct {
	tenant, id string
	found      []httpapi.Delivery
}

func (f *fakeDeliveries) Deliveries(_ context.Context, tenant, id string) ([]httpapi.Delivery, error) {
	f.tenant, f.id = tenant, id
	if f.found == nil {
		return nil, domain.Errorf(domain.NotFound, "EVENT_NOT_FOUND", "there is no event %q", id)
	}
	return f.found, nil
}

type fakeAudit struct {
	query   audit.Query
	entries []audit.Entry
	next    string
}

func (f *fakeAudit) Entries(_ context.Context, q audit.Query) ([]audit.Entry, string, error) {
	f.query = q
	return f.entries, f.next, nil
}

type fakeEmails struct {
	query  email.Query
	emails []email.Email
}

func (f *fakeEmails) Emails(_ context.Context, q email.Query) ([]email.Email, string, error) {
	f.query = q
	return f.emails, "", nil
}

type fakeInbox struct{ mails []httpapi.Mail }

func (f *fakeInbox) Mails(context.Context) ([]httpapi.Mail, error) { return f.mails, nil }

func (f *fakeInbox) Mail(_ context.Context, id string) (httpapi.Mail, error) {
	for _, m := range f.mails {
		if m.ID == id {
			return m, nil
		}
	}
	return httpapi.Mail{}, domain.Errorf(domain.NotFound, "MAIL_NOT_FOUND", "there is no mail %q", id)
}

type fakeHandlers struct {
	all    []httpapi.HandlerStatus
	failed error
	asked  [][]string // types to forget
}

func (f *fakeHandlers) Handlers(context.Context) ([]httpapi.HandlerStatus, error) {
	return f.all, f.failed
}
func (f *fakeHandlers) Pause(_ context.Context, name string) error  { return f.set(name, true) }
func (f *fakeHandlers) Resume(_ context.Context, name string) error { return f.set(name, false) }

func (f *fakeHandlers) Forget(_ context.Context, name string, types []string) (httpapi.ForgottenHandler, error) {
	f.asked = append(f.asked, types)
	for _, h := range f.all {
		switch {
		case h.Name != name:
		case len(h.Owners) > 0:
			return httpapi.ForgottenHandler{}, domain.Errorf(domain.Conflict, "HANDLER_AT_WORK", "at work at %s", h.Owners[0].Name)
		case len(types) > 0:
			return httpapi.ForgottenHandler{Name: name, Types: types}, nil
		default:
			return httpapi.ForgottenHandler{Name: name, Types: h.Types, Cursors: 64, Parked: h.Parked}, nil
		}
	}
	return httpapi.ForgottenHandler{}, domain.Errorf(domain.NotFound, "HANDLER_NOT_FOUND", "there is no handler set %q", name)
}

func (f *fakeHandlers) set(name string, paused bool) error {
	for i := range f.all {
		if f.all[i].Name == name {
			f.all[i].Paused = paused
			return nil
		}
	}
	return domain.Errorf(domain.NotFound, "HANDLER_NOT_FOUND", "there is no handler set %q", name)
}

// fakeDeadLetters pages two by two.
type fakeDeadLetters struct {
	letters []deadletter.Letter
	filters []deadletter.Filter
	refuse  map[string]error
}

func (f *fakeDeadLetters) DeadLetters(_ context.Context, q deadletter.Filter) ([]deadletter.Letter, string, error) {
	f.filters = append(f.filters, q)
	start := 0
	if q.Cursor != "" {
		start = int(q.Cursor[0] - '0')
	}
	var out []deadletter.Letter
	for i := start; i < len(f.letters); i++ {
		if len(out) == 2 {
			return out, string(rune('0' + i)), nil
		}
		l := f.letters[i]
		if l.Event.Tenant == q.Tenant && (q.State == "" || q.State == l.State) {
			out = append(out, l)
		}
	}
	return out, "", nil
}

func (f *fakeDeadLetters) DeadLetter(_ context.Context, tenant, id string) (deadletter.Letter, error) {
	for _, l := range f.letters {
		if l.ID() == id && l.Event.Tenant == tenant {
			return l, nil
		}
	}
	return deadletter.Letter{}, domain.Errorf(domain.NotFound, "DEAD_LETTER_NOT_FOUND", "there is no dead letter %q", id)
}

func (f *fakeDeadLetters) RetryDeadLetter(_ context.Context, tenant, id, actor string) error {
	return f.decide(tenant, id, actor, deadletter.Retrying)
}

func (f *fakeDeadLetters) DiscardDeadLetter(_ context.Context, tenant, id, actor string) error {
	return f.decide(tenant, id, actor, deadletter.Discarded)
}

func (f *fakeDeadLetters) decide(tenant, id, actor string, to deadletter.State) error {
	if err := f.refuse[id]; err != nil {
		return err
	}
	for i := range f.letters {
		if f.letters[i].ID() == id && f.letters[i].Event.Tenant == tenant {
			f.letters[i].State, f.letters[i].Actor, f.letters[i].Decided = to, actor, noon
			return nil
		}
	}
	return domain.Errorf(domain.NotFound, "DEAD_LETTER_NOT_FOUND", "there is no dead letter %q", id)
}

func (f *fakeDeadLetters) CountDeadLetters(context.Context) (map[string]int, error) { return nil, nil }

func envelope(position int64) event.Envelope {
	return event.Envelope{
		ID: "evt-" + string(rune('0'+position)), Type: "build.started", SchemaVersion: 1, Kind: event.Business, Source: "test",
		Subject: "build-1", Tenant: "dev", Actor: "ann", Time: noon, PartitionKey: "build-1", CorrelationID: "corr-1",
		Data: []byte(`{"build_id":"build-1"}`), Position: position, Recorded: noon.Add(time.Second),
	}
}

// route adds one operation of a service.
func route[T any](path string, answer func(ctx context.Context) (T, error)) func(huma.API) {
	return func(api huma.API) {
		httpapi.Register(api, huma.Operation{OperationID: "own" + strings.ReplaceAll(path, "/", "-"), Method: http.MethodGet, Path: path},
			func(ctx context.Context, _ *struct{}) (*struct{ Body T }, error) {
				body, err := answer(ctx)
				if err != nil {
					return nil, err
				}
				return &struct{ Body T }{body}, nil
			})
	}
}
