package httpapi_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/httpapi"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/domain"
)

const wholeEvent = `{
	"eventType": "user.created", "source": "user-service", "id": "evt-123456", "timestamp": "2023-05-20T13:45:30Z",
	"subject": "usr-1", "partitionKey": "usr", "schemaVersion": 2,
	"data": {"userId": "usr-789012", "name": "Jane \u00e9"},
	"metadata": {"correlationId": "corr-123456"}
}`

func TestPublish(t *testing.T) {
	t.Parallel()
	b := setup()
	w := b.call(t, "POST", "/v1/events", wholeEvent,
		"X-Correlation-Id", "corr-of-header", "Leat-Tenant", "acme", "Leat-Actor", "Ann É",
		"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	require.Equal(t, http.StatusAccepted, w.Code, "body: %s", w.Body)
	require.JSONEq(t, `{"status":"accepted","eventId":"evt-1","timestamp":"2025-05-20T12:00:00Z","receipt":"rcpt-1"}`, w.Body.String())
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	require.Equal(t, "corr-of-header", w.Header().Get("X-Correlation-Id"))

	require.Equal(t, []event.Raw{{
		Type: "user.created", SchemaVersion: 2, Data: []byte(`{"userId": "usr-789012", "name": "Jane \u00e9"}`),
		ID: "evt-123456", Subject: "usr-1", PartitionKey: "usr", Source: "user-service",
		Time: time.Date(2023, 5, 20, 13, 45, 30, 0, time.UTC), CorrelationID: "corr-123456",
		TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}}, b.pub.raws)
	require.Equal(t, []event.Origin{{Tenant: "acme", Actor: "Ann É", CorrelationID: "corr-of-header"}}, b.pub.origins)
}

func TestPublishNeedsLittle(t *testing.T) {
	t.Parallel()
	b := setup()
	w := b.call(t, "POST", "/v1/events", `{"eventType":"a.b","source":"s","data":{}}`, "Content-Type", "application/json; charset=UTF-8")
	require.Equal(t, http.StatusAccepted, w.Code, "body: %s", w.Body)
	require.Equal(t, []event.Raw{{Type: "a.b", Source: "s", Data: []byte(`{}`)}}, b.pub.raws)
	require.Equal(t, []event.Origin{{Tenant: "dev", Actor: "dev"}}, b.pub.origins)
}

func TestPublishRefusesBodies(t *testing.T) {
	t.Parallel()
	const ok = `"eventType":"a.b","source":"s","data":{}`
	tests := []struct {
		name, body string
		status     int
		code       string
		field      string
	}{
		{"nothing", ` `, 400, "INVALID_JSON", ""},
		{"cut off", `{"eventType":"a.b"`, 400, "INVALID_JSON", ""},
		{"no JSON", `eventType=a.b`, 400, "INVALID_JSON", ""},
		{"an array", `[]`, 400, "INVALID_JSON", ""},
		{"a comma too many", `{` + ok + `,}`, 400, "INVALID_JSON", ""},
		{"no UTF-8", "{" + ok + `,"subject":"` + "\xff" + `"}`, 400, "INVALID_JSON", ""},
		{"something after the end", `{` + ok + `} {}`, 400, "INVALID_JSON", ""},
		{"a key twice", `{` + ok + `,"source":"t"}`, 400, "INVALID_JSON", "source"},
		{"a key twice, once escaped", `{` + ok + `,"\u0073ource":"t"}`, 400, "INVALID_JSON", "source"},
		{"a key of the metadata twice", `{` + ok + `,"metadata":{"correlationId":"1","correlationId":"2"}}`, 400, "INVALID_JSON", "metadata.correlationId"},
		{"an unknown key", `{` + ok + `,"tenant":"acme"}`, 422, "UNKNOWN_FIELD", "tenant"},
		{"a key in another case", `{` + ok + `,"Source":"t"}`, 422, "UNKNOWN_FIELD", "Source"},
		{"an unknown key of the metadata", `{` + ok + `,"metadata":{"tenant":"acme"}}`, 422, "UNKNOWN_FIELD", "metadata.tenant"},
		{"metadata that is no object", `{` + ok + `,"metadata":[]}`, 422, "INVALID_FIELD", "metadata"},
		{"an id that is no string", `{` + ok + `,"id":7}`, 422, "INVALID_FIELD", "id"},
		{"a subject that is null", `{` + ok + `,"subject":null}`, 422, "INVALID_FIELD", "subject"},
		{"a time that is none", `{` + ok + `,"timestamp":"yesterday"}`, 422, "INVALID_FIELD", "timestamp"},
		{"a version that is none", `{` + ok + `,"schemaVersion":1.5}`, 422, "INVALID_FIELD", "schemaVersion"},
		{"a version below 1", `{` + ok + `,"schemaVersion":0}`, 422, "INVALID_FIELD", "schemaVersion"},
		{"no type", `{"source":"s","data":{}}`, 422, "FIELD_REQUIRED", "eventType"},
		{"no source", `{"eventType":"a.b","data":{}}`, 422, "FIELD_REQUIRED", "source"},
		{"no data", `{"eventType":"a.b","source":"s"}`, 422, "FIELD_REQUIRED", "data"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := setup()
			body := errorOf(t, b.call(t, "POST", "/v1/events", test.body), test.status, test.code)
			if test.field == "" {
				require.Nil(t, body.Details)
			} else {
				require.NotNil(t, body.Details)
				require.Equal(t, test.field, body.Details.Field)
				require.NotEmpty(t, body.Details.Error)
			}
			require.Empty(t, b.pub.raws, "nothing is published")
		})
	}
}

func TestPublishNamesEveryFault(t *testing.T) {
	t.Parallel()
	b := setup()
	body := errorOf(t, b.call(t, "POST", "/v1/events", `{"source":7,"colour":"red","data":{}}`), 422, "INVALID_FIELD")
	require.Equal(t, []httpapi.FieldFailed{
		{Field: "source", Error: "must be a string"},
		{Field: "colour", Error: "is not a field of an event"},
		{Field: "eventType", Error: "is required"},
	}, body.Details.Errors)
	require.Equal(t, "source", body.Details.Field)
}

func TestPublishRefusesMediaTypes(t *testing.T) {
	t.Parallel()
	for _, headers := range [][]string{
		{"Content-Type", "text/plain"},
		{"Content-Type", "application/x-www-form-urlencoded"},
		{"Content-Type", "application/json; charset=latin1"},
		{"Content-Type", ""},
		{"Content-Encoding", "gzip"},
	} {
		b := setup()
		errorOf(t, b.call(t, "POST", "/v1/events", wholeEvent, headers...), 415, "UNSUPPORTED_MEDIA_TYPE")
		require.Empty(t, b.pub.raws)
	}
}

func TestPublishBoundsTheBody(t *testing.T) {
	t.Parallel()
	b := setup()
	b.cfg.MaxBody = 100
	pad := func(n int) string {
		start := `{"eventType":"a.b","source":"s","data":{"x":"`
		return start + strings.Repeat("x", n-len(start)-3) + `"}}`
	}
	require.Equal(t, http.StatusAccepted, b.call(t, "POST", "/v1/events", pad(100)).Code)
	body := errorOf(t, b.call(t, "POST", "/v1/events", pad(101)), 413, "BODY_TOO_LARGE")
	require.Contains(t, body.Message, "100")
	require.Len(t, b.pub.raws, 1)
}

// What a request says of its length, and what comes, may differ.
func TestPublishReadsBodiesOfAnyLength(t *testing.T) {
	t.Parallel()
	b := setup()
	b.cfg.MaxBody = 100_000
	server := b.server(t)
	call := func(body string, length int64) *httptest.ResponseRecorder {
		r := httptest.NewRequest("POST", "/v1/events", strings.NewReader(body))
		r.Host, r.ContentLength = "localhost", length
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		server.Handler().ServeHTTP(w, r)
		return w
	}
	event := func(n int) string {
		return `{"eventType":"a.b","source":"s","data":{"x":"` + strings.Repeat("x", n) + `"}}`
	}
	for _, n := range []int{10, 16 << 10, 90_000} {
		body := event(n)
		for _, length := range []int64{int64(len(body)), -1} {
			require.Equal(t, http.StatusAccepted, call(body, length).Code, "%d bytes, length %d", len(body), length)
			require.Len(t, b.pub.raws[len(b.pub.raws)-1].Data, n+len(`{"x":""}`))
		}
	}
	errorOf(t, call(event(100_000), -1), 413, "BODY_TOO_LARGE")
	errorOf(t, call(event(100_000), int64(len(event(100_000)))), 413, "BODY_TOO_LARGE")
	require.Contains(t, errorOf(t, call(event(10), 1000), 400, "INVALID_JSON").Message, "ended too early")
	require.Contains(t, errorOf(t, call("", 1000), 400, "INVALID_JSON").Message, "ended too early")
	require.Len(t, b.pub.raws, 6)
}

func TestPublishErrors(t *testing.T) {
	t.Parallel()
	fields := &event.FieldErrors{Fields: []event.FieldError{
		{Field: "data.email", Reason: "is not a valid email"}, {Field: "data.name", Reason: "is missing"},
	}}
	tests := []struct {
		name    string
		err     error
		status  int
		code    string
		message string
		details *httpapi.ErrorDetails
		logged  string
	}{
		{
			name: "one field", status: 422, code: "SCHEMA_VALIDATION_ERROR", message: "does not match",
			err: &domain.Error{
				Kind: domain.Invalid, Code: "SCHEMA_VALIDATION_ERROR", Field: "data.email", Message: "does not match",
				Err: &event.FieldErrors{Fields: fields.Fields[:1]},
			},
			details: &httpapi.ErrorDetails{Field: "data.email", Error: "is not a valid email"},
		},
		{
			name: "several fields", status: 422, code: "SCHEMA_VALIDATION_ERROR", message: "does not match",
			err: &domain.Error{Kind: domain.Invalid, Code: "SCHEMA_VALIDATION_ERROR", Field: "data.email", Message: "does not match", Err: fields},
			details: &httpapi.ErrorDetails{Field: "data.email", Error: "is not a valid email", Errors: []httpapi.FieldFailed{
				{Field: "data.email", Error: "is not a valid email"}, {Field: "data.name", Error: "is missing"},
			}},
		},
		{
			name: "joined errors", status: 422, code: "ATTRIBUTE_TOO_LONG", message: "is too long",
			err: errors.Join(
				&domain.Error{Kind: domain.Invalid, Code: "ATTRIBUTE_TOO_LONG", Field: "id", Message: "is too long"},
				&domain.Error{Kind: domain.Invalid, Code: "INVALID_ATTRIBUTE", Field: "source", Message: "must be valid UTF-8"},
			),
			details: &httpapi.ErrorDetails{Field: "id", Error: "is too long", Errors: []httpapi.FieldFailed{
				{Field: "id", Error: "is too long"}, {Field: "source", Error: "must be valid UTF-8"},
			}},
		},
		{
			name: "data that is no JSON", status: 400, code: "INVALID_JSON", message: "twice",
			err:     &domain.Error{Kind: domain.Invalid, Code: "INVALID_JSON", Field: "data", Message: "twice"},
			details: &httpapi.ErrorDetails{Field: "data", Error: "twice"},
		},
		{
			name: "not found", err: domain.Errorf(domain.NotFound, "GONE", "is gone"), status: 404, code: "GONE", message: "is gone",
		},
		{
			name: "conflict", err: domain.Errorf(domain.Conflict, "CAUSATION_TOO_DEEP", "a circle"), status: 409, code: "CAUSATION_TOO_DEEP", message: "a circle",
		},
		{
			name: "forbidden", err: domain.Errorf(domain.Forbidden, "NOT_YOURS", "no"), status: 403, code: "NOT_YOURS", message: "no",
		},
		{
			name: "too large", err: domain.Errorf(domain.TooLarge, "EVENT_TOO_LARGE", "too large").InField("data"), status: 413, code: "EVENT_TOO_LARGE",
			message: "too large", details: &httpapi.ErrorDetails{Field: "data", Error: "too large"},
		},
		{
			name: "unavailable", err: domain.Errorf(domain.Unavailable, "STORE_UNAVAILABLE", "try later"), status: 503, code: "STORE_UNAVAILABLE",
			message: "try later", logged: "try later",
		},
		{
			name: "internal", err: domain.Errorf(domain.Internal, "SECRET_CODE", "secret message"), status: 500, code: "INTERNAL_ERROR",
			message: "something went wrong inside the server; its log says more under the traceId", logged: "secret message",
		},
		{
			name: "any other", err: errors.New("secret disk is full"), status: 500, code: "INTERNAL_ERROR",
			message: "something went wrong inside the server; its log says more under the traceId", logged: "secret disk is full",
		},
		{
			name: "one that is meant for callers beside one that is not", status: 500, code: "INTERNAL_ERROR",
			err:     errors.Join(domain.Errorf(domain.Conflict, "FASTER", "was faster"), errors.New("secret rollback")),
			message: "something went wrong inside the server; its log says more under the traceId", logged: "secret rollback",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := setup()
			b.pub.answer = func(event.Raw) ([]eventlog.Receipt, error) { return nil, test.err }
			w := b.call(t, "POST", "/v1/events", wholeEvent)
			body := errorOf(t, w, test.status, test.code)
			require.Equal(t, test.message, body.Message)
			require.Equal(t, test.details, body.Details)
			if test.logged != "" {
				require.Contains(t, b.log.String(), test.logged)
				require.Contains(t, b.log.String(), `"traceId":"`+body.TraceID+`"`)
			}
			if test.status == 500 {
				require.NotContains(t, strings.ToLower(w.Body.String()), "secret")
			}
		})
	}
}

func TestTraceIDIsTheCallers(t *testing.T) {
	t.Parallel()
	b := setup()
	w := b.call(t, "POST", "/v1/events", `{}`, "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	require.Equal(t, "0af7651916cd43dd8448eb211c80319c", errorOf(t, w, 422, "FIELD_REQUIRED").TraceID)
}

// FuzzPublish holds that any body of any content type gets an answer of the two shapes, and that a
// JSON body that is accepted is what any other JSON parser would have read.
func FuzzPublish(f *testing.F) {
	const cloudEvent = `{"specversion":"1.0","id":"e","type":"a.b","source":"s","data":{}}`
	for _, seed := range []struct{ contentType, ceType, body string }{
		{"application/json", "", wholeEvent},
		{"application/json", "", `{"eventType":"a.b","source":"s","data":{}}`},
		{"application/json; charset=utf-8", "", `{"eventType":"a.b","source":"s","data":{"a":[1,{"b":null}]},"metadata":{}} x`},
		{"application/json", "", `{"eventType":"a.b","eventType":"c.d","metadata":{"correlationId":7}}`},
		{"application/json", "", "{\"eventType\":\"\\ud800\",\"source\":\"\xff\",\"schemaVersion\":1e2}"},
		{"application/json", "", `[[[[`},
		{"application/json", "a.b", `{"a":1}`}, // CloudEvents binary mode
		{"application/cloudevents+json", "", cloudEvent},
		{"application/cloudevents+json; charset=latin1", "", cloudEvent + `{}`},
		{"application/cloudevents-batch+json", "", `[` + cloudEvent + `,` + cloudEvent + `]`},
		{"application/cloudevents-batch+json", "", `[`},
		{"", "", `{}`},
		{"text/plain; =", "\xff", ``},
	} {
		f.Add(seed.contentType, seed.ceType, []byte(seed.body))
	}
	b := setup()
	server := b.server(f)
	f.Fuzz(func(t *testing.T, contentType, ceType string, body []byte) {
		b.pub.raws = nil
		r := httptest.NewRequest("POST", "/v1/events", bytes.NewReader(body))
		r.Host = "127.0.0.1"
		r.Header.Set("Content-Type", contentType)
		if ceType != "" {
			for name, value := range map[string]string{"Specversion": "1.0", "Id": "e", "Source": "s", "Type": ceType} {
				r.Header.Set("Ce-"+name, value)
			}
		}
		w := httptest.NewRecorder()
		server.Handler().ServeHTTP(w, r)
		if w.Code != http.StatusAccepted {
			require.Contains(t, []int{400, 413, 415, 422}, w.Code)
			require.Empty(t, b.pub.raws)
			var answer httpapi.ErrorBody
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
			require.Equal(t, "error", answer.Status)
			require.NotEmpty(t, answer.ErrorCode)
			return
		}
		require.NotEmpty(t, b.pub.raws)
		for _, raw := range b.pub.raws {
			require.True(t, json.Valid(raw.Data), "data: %q", raw.Data)
		}
		if kind, _, _ := mime.ParseMediaType(contentType); kind != "application/json" || ceType != "" {
			return
		}
		require.Len(t, b.pub.raws, 1)
		var other map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(body, &other))
		raw := b.pub.raws[0]
		require.Equal(t, string(other["data"]), string(raw.Data))
		for key, got := range map[string]string{"eventType": raw.Type, "source": raw.Source, "id": raw.ID, "subject": raw.Subject} {
			var want string
			if other[key] != nil {
				require.NoError(t, json.Unmarshal(other[key], &want))
			}
			require.Equal(t, want, got, key)
		}
	})
}

// A body that is found to be plain is what the careful reader makes of it as well.
func TestPlainBodies(t *testing.T) {
	t.Parallel()
	const ok = `"eventType":"a.b","source":"s","data":{}`
	for _, body := range []string{
		wholeEvent, `{` + ok + `}`, `{` + ok + `,"subject":"ä\ud83d\ude00"}`, `{` + ok + `,"timestamp":"2023-05-20T13:45:30+02:00"}`,
		" { \"\\u0065ventType\" : \"a.\\u0062\", \"source\":\"s\", \"data\" : [ null, 1e2, true ] } \n",
	} {
		raw, plain := httpapi.PlainEvent([]byte(body))
		require.True(t, plain, body)
		want, err := httpapi.CarefulEvent([]byte(body))
		require.NoError(t, err, body)
		require.Equal(t, want, raw, body)
	}
	for _, body := range []string{
		`{` + ok + `,"subject":""}`, `{` + ok + `,"metadata":{}}`, // as good, but seldom
		`{` + ok + `,"id":"1","id":"2"}`, `{` + ok + `,"data":{}}`, `{` + ok + `,"schemaVersion":1,"schemaVersion":2}`,
		`{` + ok + `,"metadata":{"correlationId":"c"},"metadata":{"correlationId":"c"}}`,
		`{` + ok + `,"timestamp":"0001-01-01T00:00:00Z","timestamp":"2023-05-20T13:45:30Z"}`,
		`{` + ok + `,"schemaVersion":1.0}`, `{` + ok + `,"tenant":"t"}`, `{` + ok + `} {}`, `{"source":"s","data":{}}`,
		"{" + ok + ",\"subject\":\"\xff\"}",
	} {
		_, plain := httpapi.PlainEvent([]byte(body))
		require.False(t, plain, body)
	}
}

// FuzzPlainBodies holds that the two ways of reading a body do not differ where both will have it.
func FuzzPlainBodies(f *testing.F) {
	for _, seed := range []string{
		wholeEvent, `{"eventType":"a.b","source":"s","data":{"a":[1,{"b":null}]},"metadata":{"correlationId":"c"}}`,
		`{"eventType":"a.b","eventType":"c.d","source":"s","data":7}`, `{"eventType":"\ud800","source":"\u0000","data":[[[[1]]]],"schemaVersion":07}`,
		`{"eventType":"a.b","source":"s","data":{},"timestamp":"2023-05-20T13:45:30.5+02:00"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		raw, plain := httpapi.PlainEvent(body)
		if !plain {
			return
		}
		want, err := httpapi.CarefulEvent(body)
		require.NoError(t, err)
		require.True(t, want.Time.Equal(raw.Time))
		want.Time = raw.Time
		require.Equal(t, want, raw)
	})
}
