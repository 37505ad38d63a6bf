package publish_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/app/publish"
	"github.com/leat-dev/leat/domain"
)

type started struct {
	Name string `json:"name" jsonschema:"minLength=1"`
}

func (started) EventType() string { return "build.started" }

type failing struct {
	Level domain.Severity `json:"level"`
}

func (failing) EventType() string           { return "build.failing" }
func (f failing) Severity() domain.Severity { return f.Level }

type invited struct{}

func (invited) EventType() string { return "member.invited" }

type unusedBuild struct{}

func (unusedBuild) EventType() string { return "cost.saving.found" }

type unknown struct{}

func (unknown) EventType() string { return "page.viewed" }

// log is an event log that keeps what it is given.
type log struct {
	events []event.Envelope
	calls  int
	err    error
	known  map[string]bool // ids that it held before
}

func (l *log) Append(_ context.Context, events []event.Envelope) ([]eventlog.Receipt, error) {
	l.calls++
	if l.err != nil {
		return nil, l.err
	}
	l.events = append(l.events, events...)
	receipts := make([]eventlog.Receipt, len(events))
	for i, e := range events {
		receipts[i] = eventlog.Receipt{EventID: e.ID, Receipt: "r-" + e.ID, Duplicate: l.known[e.ID]}
	}
	return receipts, nil
}

type observed struct {
	types []string
	took  time.Duration
	err   error
}

type observer struct {
	calls      []observed
	unrecorded []string
}

func (o *observer) Unrecorded(types []string) { o.unrecorded = append(o.unrecorded, types...) }

func (o *observer) Published(types []string, took time.Duration, err error) {
	o.calls = append(o.calls, observed{types, took, err})
}

type bundle struct {
	*publish.Publisher
	log      *log
	clock    *clockwork.FakeClock
	observer *observer
}

var now = time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.UTC)

func setup(t testing.TB, cfg publish.Config) *bundle {
	t.Helper()
	c, err := event.NewCatalogue(event.Definitions{
		event.Define[started](event.Business, event.Version(2), event.Upcast(1, func(data json.RawMessage) (json.RawMessage, error) {
			return []byte(strings.Replace(string(data), `"title"`, `"name"`, 1)), nil
		})),
		event.Define[failing](event.Alert),
		event.Define[invited](event.Notification),
		event.Define[unusedBuild](event.Recommendation),
	})
	require.NoError(t, err)
	b := &bundle{log: &log{}, clock: clockwork.NewFakeClockAt(now), observer: &observer{}}
	b.Publisher = publish.New(cfg, c, b.log, b.clock, b.observer)
	return b
}

func as(ctx context.Context, tenant, actor, correlation string) context.Context {
	return event.WithOrigin(ctx, event.Origin{Tenant: tenant, Actor: actor, CorrelationID: correlation})
}

// faultOf names the first fault of an error: its field and its code.
func faultOf(t *testing.T, err error) string {
	t.Helper()
	var e *domain.Error
	require.ErrorAs(t, err, &e)
	return strings.TrimSpace(e.Field + " " + e.Code)
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	b := setup(t, publish.Config{})
	receipts, err := b.Publish(as(t.Context(), "acme", "ada", ""), event.Draft{Event: started{"x"}})
	require.NoError(t, err)
	require.Len(t, b.log.events, 1)
	got := b.log.events[0]
	id, err := uuid.Parse(got.ID)
	require.NoError(t, err)
	require.Equal(t, uuid.Version(7), id.Version())
	require.Equal(t, []eventlog.Receipt{{EventID: got.ID, Receipt: "r-" + got.ID}}, receipts)
	require.Equal(t, event.Envelope{
		ID: got.ID, Type: "build.started", SchemaVersion: 2, Kind: event.Business, Source: "leat", Tenant: "acme", Actor: "ada",
		Time: now.Truncate(time.Microsecond), PartitionKey: got.ID, CorrelationID: got.ID, Data: []byte(`{"name":"x"}`),
		Slot: event.SlotOf("acme", got.ID),
	}, got)
}

func TestWhatTheAuthorSaysStays(t *testing.T) {
	t.Parallel()
	b := setup(t, publish.Config{Source: "mill"})
	at := time.Date(2020, 5, 6, 7, 8, 9, 1500, time.FixedZone("x", 3600))
	_, err := b.Publish(as(t.Context(), "acme", "ada", "c-origin"),
		event.Draft{Event: started{"x"}, ID: "e1", Subject: "s", PartitionKey: "k", Tenant: "globex", Actor: "eve", Source: "src", Time: at, CorrelationID: "c"},
		event.Draft{Event: started{"x"}, Subject: "s"},
	)
	require.NoError(t, err)
	require.Equal(t, event.Envelope{
		ID: "e1", Type: "build.started", SchemaVersion: 2, Kind: event.Business, Source: "src", Subject: "s", Tenant: "globex", Actor: "eve",
		Time: time.Date(2020, 5, 6, 6, 8, 9, 1000, time.UTC), PartitionKey: "k", CorrelationID: "c", Data: []byte(`{"name":"x"}`), Slot: event.SlotOf("globex", "k"),
	}, b.log.events[0])
	second := b.log.events[1]
	require.Equal(t, []string{"mill", "s", "c-origin"}, []string{second.Source, second.PartitionKey, second.CorrelationID})
}

// What a handler publishes belongs to the event that it handles.
func TestCausation(t *testing.T) {
	t.Parallel()
	b := setup(t, publish.Config{})
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}})
	const parent = "00-01000000000000000000000000000000-0200000000000000-00"
	cause := event.Envelope{ID: "cause", Tenant: "acme", Actor: "ada", CorrelationID: "c", Depth: 4}
	_, err := b.Publish(event.WithHandled(t.Context(), cause), event.Draft{Event: started{"x"}})
	require.NoError(t, err)
	_, err = b.Publish(event.WithHandled(trace.ContextWithSpanContext(as(t.Context(), "other", "mailer", "c2"), span), cause), event.Draft{Event: started{"x"}})
	require.NoError(t, err)
	cause.CorrelationID = ""
	_, err = b.PublishRaw(event.WithHandled(trace.ContextWithSpanContext(t.Context(), span), cause), event.Raw{Type: "build.started", Data: []byte(`{"name":"x"}`), TraceParent: "00-2"})
	require.NoError(t, err)
	for i, want := range []event.Envelope{
		{Tenant: "acme", Actor: "ada", CorrelationID: "c"},
		{Tenant: "acme", Actor: "mailer", CorrelationID: "c", TraceParent: parent},
		{Tenant: "acme", Actor: "ada", CorrelationID: "cause", TraceParent: "00-2"},
	} {
		got := b.log.events[i]
		require.Equal(t, "cause", got.CausationID)
		require.Equal(t, 5, got.Depth)
		require.Equal(t, want, event.Envelope{Tenant: got.Tenant, Actor: got.Actor, CorrelationID: got.CorrelationID, TraceParent: got.TraceParent}, "event %d", i)
	}
}

func TestChainsOfCausesEnd(t *testing.T) {
	t.Parallel()
	for configured, limit := range map[int]int{0: 32, 3: 3} {
		b := setup(t, publish.Config{MaxDepth: configured})
		ctx := event.WithHandled(t.Context(), event.Envelope{ID: "a", Tenant: "acme", Depth: limit - 1})
		_, err := b.Publish(ctx, event.Draft{Event: started{"x"}})
		require.NoError(t, err)
		_, err = b.Publish(event.WithHandled(t.Context(), b.log.events[0]), event.Draft{Event: started{"x"}})
		require.Equal(t, "metadata.causationId CAUSATION_TOO_DEEP", faultOf(t, err))
		require.Equal(t, domain.Conflict, domain.KindOf(err))
		require.Len(t, b.log.events, 1)
	}
}

func TestRaw(t *testing.T) {
	t.Parallel()
	b := setup(t, publish.Config{})
	_, err := b.PublishRaw(as(t.Context(), "acme", "ada", ""),
		event.Raw{Type: "build.started", SchemaVersion: 1, Data: []byte(` { "title" : "x" } `), ID: "e1", Subject: "s", Source: "ci", Time: now, CorrelationID: "c", TraceParent: "00-1"},
		event.Raw{Type: "build.failing", Data: []byte(`{"level":"urgent"}`)})
	require.NoError(t, err)
	require.Equal(t, event.Envelope{
		ID: "e1", Type: "build.started", SchemaVersion: 2, Kind: event.Business, Source: "ci", Subject: "s", Tenant: "acme", Actor: "ada",
		Time: now.Truncate(time.Microsecond), PartitionKey: "s", CorrelationID: "c", TraceParent: "00-1", Data: []byte(`{"name":"x"}`),
		Slot: event.SlotOf("acme", "s"),
	}, b.log.events[0])
	require.Equal(t, domain.Urgent, b.log.events[1].Severity)
}

func TestRawRefusals(t *testing.T) {
	t.Parallel()
	b := setup(t, publish.Config{})
	good := []byte(`{"name":"x"}`)
	for _, test := range []struct {
		raw  event.Raw
		want string
		kind domain.Kind
	}{
		{event.Raw{Data: good}, "eventType INVALID_EVENT_TYPE", domain.Invalid},
		{event.Raw{Type: "page.viewed", Data: good}, "eventType UNKNOWN_EVENT_TYPE", domain.Invalid},
		{event.Raw{Type: "build.started", Data: []byte(`{"name":""}`)}, "data.name SCHEMA_VALIDATION_ERROR", domain.Invalid},
		{event.Raw{Type: "build.started", Data: []byte(`{"name"`)}, "data INVALID_JSON", domain.Invalid},
		{event.Raw{Type: "build.started", Data: good, SchemaVersion: 3}, "schemaVersion UNKNOWN_SCHEMA_VERSION", domain.Invalid},
		{event.Raw{Type: "build.started", Data: []byte(strings.Repeat(" ", event.MaxData+1))}, "data EVENT_TOO_LARGE", domain.TooLarge},
		{event.Raw{Type: "build.failing", Data: []byte(`{"level":"awful"}`)}, "severity INVALID_SEVERITY", domain.Invalid},
		{event.Raw{Type: "build.failing", Data: []byte(`{"level":""}`)}, "severity INVALID_SEVERITY", domain.Invalid},
		{event.Raw{Type: "build.started", Data: good, ID: "a\nb"}, "id INVALID_ATTRIBUTE", domain.Invalid},
		{event.Raw{Type: "build.started", Data: good, Tenant: "a.b"}, "tenant INVALID_TENANT", domain.Invalid},
		{event.Raw{Type: "build.started", Data: good, TraceParent: "00-1\r\nx: y"}, "traceparent INVALID_ATTRIBUTE", domain.Invalid},
		{event.Raw{Type: "build.started", Data: good, Time: time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("x", -7200))}, "timestamp INVALID_ATTRIBUTE", domain.Invalid},
	} {
		_, err := b.PublishRaw(as(t.Context(), "acme", "", ""), test.raw)
		require.Equal(t, test.want, faultOf(t, err), "%+v: %v", test.raw, err)
		require.Equal(t, test.kind, domain.KindOf(err))
	}
	_, err := b.PublishRaw(t.Context(), event.Raw{Type: "build.started", Data: good})
	require.Equal(t, "tenant TENANT_MISSING", faultOf(t, err))
	require.Zero(t, b.log.calls)
}

func TestSeveralFaultsAreAllReported(t *testing.T) {
	t.Parallel()
	_, err := setup(t, publish.Config{}).Publish(t.Context(), event.Draft{Event: started{"x"}, ID: strings.Repeat("x", 200), Subject: "a\n"})
	for _, want := range []string{"tenant: ", "id: ", "subject: "} {
		require.ErrorContains(t, err, want)
	}
	require.Equal(t, domain.Invalid, domain.KindOf(err))
}

func TestKinds(t *testing.T) {
	t.Parallel()
	b := setup(t, publish.Config{})
	type publishing func(context.Context, ...event.Draft) ([]eventlog.Receipt, error)
	events := map[string]domain.Event{"business": started{"x"}, "alert": failing{domain.Low}, "notification": invited{}, "recommendation": unusedBuild{}}
	ctx := as(t.Context(), "acme", "", "")
	for kind, publish := range map[string]publishing{
		"business": b.Business, "alert": b.Alert, "notification": b.Notification, "recommendation": b.Recommendation,
	} {
		for of, e := range events {
			_, err := publish(ctx, event.Draft{Event: e})
			if of == kind {
				require.NoError(t, err)
				last := b.log.events[len(b.log.events)-1]
				require.Equal(t, event.Kind(kind), last.Kind)
				continue
			}
			require.Equal(t, "eventType WRONG_EVENT_KIND", faultOf(t, err), "%s as %s", of, kind)
		}
		_, err := publish(ctx, event.Draft{})
		require.Equal(t, "event EVENT_MISSING", faultOf(t, err))
		_, err = publish(ctx, event.Draft{Event: unknown{}})
		require.Equal(t, "eventType UNKNOWN_EVENT_TYPE", faultOf(t, err))
	}
	require.Len(t, b.log.events, len(events))
}

func TestAllOrNone(t *testing.T) {
	t.Parallel()
	b := setup(t, publish.Config{MaxBatch: 3})
	ctx := as(t.Context(), "acme", "", "")
	good := event.Draft{Event: started{"x"}}
	_, err := b.Publish(ctx, good, event.Draft{Event: started{}}, good)
	require.ErrorContains(t, err, "event 2 of 3: ")
	require.Equal(t, "data.name SCHEMA_VALIDATION_ERROR", faultOf(t, err))
	_, err = b.Publish(ctx, good, good, good, good)
	require.Equal(t, "BATCH_TOO_LARGE", faultOf(t, err))
	require.Zero(t, b.log.calls)

	receipts, err := b.Publish(ctx)
	require.NoError(t, err)
	require.Empty(t, receipts)
	require.Zero(t, b.log.calls, "nothing to append")

	receipts, err = b.Publish(ctx, good, good, good)
	require.NoError(t, err)
	require.Len(t, receipts, 3)
	require.Equal(t, 1, b.log.calls, "one append for all")
}

func TestLogFailure(t *testing.T) {
	t.Parallel()
	b := setup(t, publish.Config{})
	b.log.err = &domain.Error{Kind: domain.Unavailable, Code: "STORE_UNAVAILABLE", Message: "disk full"}
	_, err := b.Publish(as(t.Context(), "acme", "", ""), event.Draft{Event: started{"x"}})
	require.ErrorIs(t, err, b.log.err)
	require.ErrorContains(t, err, "append build.started: ")
	require.Equal(t, domain.Unavailable, domain.KindOf(err))
}

func TestObserver(t *testing.T) {
	t.Parallel()
	b := setup(t, publish.Config{})
	ctx := as(t.Context(), "acme", "", "")
	_, err := b.Publish(ctx, event.Draft{Event: started{"x"}}, event.Draft{Event: invited{}})
	require.NoError(t, err)
	_, bad := b.PublishRaw(ctx, event.Raw{Type: "page.viewed", Data: []byte(`{}`)})
	require.Error(t, bad)
	b.log.err = errors.New("disk full")
	_, failed := b.Publish(ctx, event.Draft{Event: started{"x"}})
	require.Equal(t, []observed{
		{types: []string{"build.started", "member.invited"}},
		{types: []string{"page.viewed"}, err: bad},
		{types: []string{"build.started"}, err: failed},
	}, b.observer.calls)
}

// Whatever comes in, what reaches the log is fit to travel.
func FuzzPublishRaw(f *testing.F) {
	f.Add("build.started", 0, []byte(`{"name":"x"}`), "e1", "s", "k", "acme", "ada", "ci", "c", "00-1", int64(1767323045))
	f.Add("build.started", 1, []byte(`{"title":"x"}`), "", "", "", "", "", "", "", "", int64(0))
	f.Add("build.failing", 0, []byte(`{"level":"high"}`), " ", "\n", "\xff", "a.b", "\x00", "ä", " c", "\r\n", int64(253402300800))
	b := setup(f, publish.Config{})
	f.Fuzz(func(t *testing.T, typ string, version int, data []byte, id, subject, key, tenant, actor, source, correlation, trace string, seconds int64) {
		b.log.events = nil
		_, err := b.PublishRaw(as(t.Context(), "acme", "", ""), event.Raw{
			Type: typ, SchemaVersion: version, Data: data, ID: id, Subject: subject, PartitionKey: key, Tenant: tenant, Actor: actor,
			Source: source, Time: time.Unix(seconds, 0), CorrelationID: correlation, TraceParent: trace,
		})
		if err != nil {
			if kind := domain.KindOf(err); kind != domain.Invalid && kind != domain.TooLarge {
				t.Errorf("got kind %s: %v", kind, err)
			}
			return
		}
		e := b.log.events[0]
		if faults := e.CheckAttributes(); len(faults) > 0 {
			t.Errorf("%v", faults)
		}
		e.Position, e.Recorded = 1, now
		back, err := event.FromMessage(event.ToMessage(e))
		if err != nil {
			t.Fatal(err)
		}
		require.Equal(t, e, back)
		if _, err := e.MarshalJSON(); err != nil {
			t.Error(err)
		}
	})
}
