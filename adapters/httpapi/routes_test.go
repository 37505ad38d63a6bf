package httpapi_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/httpapi"
	"github.com/leat-dev/leat/app/deadletter"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/domain"
	"github.com/leat-dev/leat/handlers/audit"
	"github.com/leat-dev/leat/handlers/email"
)

const eventSevenJSON = `{"position":7,"recorded":"2025-05-20T12:00:01Z","event":{
	"specversion":"1.0","id":"evt-7","type":"build.started","source":"test","subject":"build-1","time":"2025-05-20T12:00:00Z",
	"datacontenttype":"application/json","tenantid":"dev","actor":"ann","correlationid":"corr-1","partitionkey":"build-1",
	"schemaversion":1,"kind":"business","data":{"build_id":"build-1"}}}`

func okJSON(t *testing.T, w *httptest.ResponseRecorder, status int, want string) {
	t.Helper()
	require.Equal(t, status, w.Code, "body: %s", w.Body)
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	require.JSONEq(t, want, w.Body.String())
}

func TestListEvents(t *testing.T) {
	t.Parallel()
	b := setup()
	b.event.events = []event.Envelope{envelope(7)}
	w := b.call(t, "GET", "/v1/events?type=build.*,project.created&subject=build-1&correlation=corr-1"+
		"&from=2025-05-20T10:00:00Z&to=2025-05-21T10:00:00%2B02:00&limit=2&cursor=9", "")
	okJSON(t, w, 200, `{"events":[`+eventSevenJSON+`],"next":""}`)
	want := eventlog.Query{
		Tenant: "dev", Types: []event.Pattern{"build.*", "project.created"}, Subject: "build-1", CorrelationID: "corr-1",
		From: time.Date(2025, 5, 20, 10, 0, 0, 0, time.UTC), To: time.Date(2025, 5, 21, 8, 0, 0, 0, time.UTC), Before: 9, Limit: 2,
	}
	require.True(t, want.To.Equal(b.event.query.To))
	b.event.query.To = want.To
	require.Equal(t, want, b.event.query)
}

func TestListEventsPages(t *testing.T) {
	t.Parallel()
	b := setup()
	okJSON(t, b.call(t, "GET", "/v1/events", ""), 200, `{"events":[],"next":""}`)
	require.Equal(t, 50, b.event.query.Limit)

	b.event.events = []event.Envelope{envelope(9), envelope(8)}
	var list httpapi.EventList
	require.NoError(t, json.Unmarshal(b.call(t, "GET", "/v1/events?limit=2", "").Body.Bytes(), &list))
	require.Equal(t, "8", list.Next)
}

func TestOneEvent(t *testing.T) {
	t.Parallel()
	b := setup()
	odd := envelope(8)
	odd.ID = "a/b c?.."
	b.event.events = []event.Envelope{envelope(7), odd}
	okJSON(t, b.call(t, "GET", "/v1/events/evt-7", ""), 200, eventSevenJSON)
	require.Contains(t, b.call(t, "GET", "/v1/events/a%2Fb%20c%3F..", "").Body.String(), `"id":"a/b c?.."`)
	errorOf(t, b.call(t, "GET", "/v1/events/evt-1", ""), 404, "EVENT_NOT_FOUND")
	errorOf(t, b.call(t, "GET", "/v1/events/evt-7", "", "Leat-Tenant", "other"), 404, "EVENT_NOT_FOUND")
}

func TestDeliveries(t *testing.T) {
	t.Parallel()
	b := setup()
	b.deliv.found = []httpapi.Delivery{
		{Set: "audit", State: "handled", Attempts: 1},
		{Set: "notify", State: "retrying", Attempts: 2, Due: noon, Reason: "timeout"},
	}
	okJSON(t, b.call(t, "GET", "/v1/events/evt-7/deliveries", ""), 200, `{"deliveries":[
		{"set":"audit","state":"handled","attempts":1},
		{"set":"notify","state":"retrying","attempts":2,"due":"2025-05-20T12:00:00Z","reason":"timeout"}]}`)
	require.Equal(t, []string{"dev", "evt-7"}, []string{b.deliv.tenant, b.deliv.id})
	b.deliv.found = []httpapi.Delivery{}
	okJSON(t, b.call(t, "GET", "/v1/events/evt-7/deliveries", ""), 200, `{"deliveries":[]}`)
	b.deliv.found = nil
	errorOf(t, b.call(t, "GET", "/v1/events/evt-7/deliveries", ""), 404, "EVENT_NOT_FOUND")
}

func TestAudit(t *testing.T) {
	t.Parallel()
	b := setup()
	b.audit.next = "more"
	b.audit.entries = []audit.Entry{
		{
			ID: "7", Tenant: "dev", Position: 7, Time: noon, Actor: "ann", Type: "project.updated", Subject: "p-1", EventID: "evt-7",
			CorrelationID: "corr-1", Changes: json.RawMessage(`{"name":{"from":"a","to":"b"}}`),
		},
		{ID: "6", Position: 6, Time: noon, Type: "project.created"},
	}
	w := b.call(t, "GET", "/v1/audit?type=project.*&subject=p-1&from=2025-05-20T10:00:00Z&limit=2&cursor=here", "")
	okJSON(t, w, 200, `{"entries":[
		{"id":"7","position":7,"time":"2025-05-20T12:00:00Z","actor":"ann","type":"project.updated","subject":"p-1","eventId":"evt-7",
		 "correlationId":"corr-1","changes":{"name":{"from":"a","to":"b"}}},
		{"id":"6","position":6,"time":"2025-05-20T12:00:00Z","actor":"","type":"project.created","subject":"","eventId":"",
		 "correlationId":"","changes":null}],"next":"more"}`)
	require.Equal(t, audit.Query{
		Tenant: "dev", Types: []event.Pattern{"project.*"}, Subject: "p-1", From: time.Date(2025, 5, 20, 10, 0, 0, 0, time.UTC),
		Cursor: "here", Limit: 2,
	}, b.audit.query)
}

func TestEmails(t *testing.T) {
	t.Parallel()
	b := setup()
	b.mails.emails = []email.Email{
		{
			ID: "m-1", Status: email.StatusSent, To: "a@example.com", Subject: "Hi", Template: "welcome", Attempts: 1,
			Created: noon, Sent: noon.Add(time.Second), MessageID: "<m-1@leat>", EventID: "evt-7",
		},
		{ID: "m-2", Status: email.StatusQueued, To: "b@example.com", Template: "welcome", Error: "451 later", Created: noon, EventID: "evt-7"},
	}
	okJSON(t, b.call(t, "GET", "/v1/emails?status=sent&limit=5&cursor=c", ""), 200, `{"emails":[
		{"id":"m-1","status":"sent","to":"a@example.com","subject":"Hi","template":"welcome","attempts":1,"created":"2025-05-20T12:00:00Z",
		 "sent":"2025-05-20T12:00:01Z","messageId":"<m-1@leat>","eventId":"evt-7"},
		{"id":"m-2","status":"queued","to":"b@example.com","subject":"","template":"welcome","attempts":0,"error":"451 later",
		 "created":"2025-05-20T12:00:00Z","eventId":"evt-7"}],"next":""}`)
	require.Equal(t, email.Query{Tenant: "dev", Status: "sent", Cursor: "c", Limit: 5}, b.mails.query)
	body := errorOf(t, b.call(t, "GET", "/v1/emails?status=lost", ""), 422, "INVALID_REQUEST")
	require.Equal(t, "status", body.Details.Field)
}

func TestInbox(t *testing.T) {
	t.Parallel()
	b := setup()
	b.inbox.mails = []httpapi.Mail{{ID: "1", From: "leat@localhost", To: []string{"a@example.com"}, Subject: "Hi", Received: noon, Text: "t", HTML: "<p>h</p>"}}
	const head = `"id":"1","from":"leat@localhost","to":["a@example.com"],"subject":"Hi","received":"2025-05-20T12:00:00Z"`
	okJSON(t, b.call(t, "GET", "/v1/inbox", ""), 200, `{"mails":[{`+head+`}]}`)
	okJSON(t, b.call(t, "GET", "/v1/inbox/1", ""), 200, `{`+head+`,"text":"t","html":"<p>h</p>"}`)
	errorOf(t, b.call(t, "GET", "/v1/inbox/2", ""), 404, "MAIL_NOT_FOUND")

	b.deps.Inbox = nil
	errorOf(t, b.call(t, "GET", "/v1/inbox", ""), 404, "NOT_FOUND")
	errorOf(t, b.call(t, "GET", "/v1/inbox/1", ""), 404, "NOT_FOUND")
}

func letter(position int64, tenant string) deadletter.Letter {
	e := envelope(position)
	e.Tenant = tenant
	return deadletter.Letter{Set: "audit", Event: e, Attempts: 3, Reason: "disk full", Failed: noon, State: deadletter.Open}
}

func TestDeadLetters(t *testing.T) {
	t.Parallel()
	b := setup()
	b.dead.letters = []deadletter.Letter{letter(7, "dev")}
	var whole struct {
		Event json.RawMessage `json:"event"`
	}
	require.NoError(t, json.Unmarshal([]byte(eventSevenJSON), &whole))
	one := `{"id":"audit.7","set":"audit","position":7,"event":` + string(whole.Event) + `,"attempts":3,"reason":"disk full",
		"failed":"2025-05-20T12:00:00Z","state":"open"}`
	okJSON(t, b.call(t, "GET", "/v1/dead-letters?set=audit&type=build.*&state=open&limit=5", ""), 200, `{"deadLetters":[`+one+`],"next":""}`)
	require.Equal(t, deadletter.Filter{Tenant: "dev", Set: "audit", Types: []event.Pattern{"build.*"}, State: "open", Limit: 5}, b.dead.filters[0])
	okJSON(t, b.call(t, "GET", "/v1/dead-letters/audit.7", ""), 200, one)
	errorOf(t, b.call(t, "GET", "/v1/dead-letters/audit.8", ""), 404, "DEAD_LETTER_NOT_FOUND")
	errorOf(t, b.call(t, "GET", "/v1/dead-letters/audit.7", "", "Leat-Tenant", "other"), 404, "DEAD_LETTER_NOT_FOUND")
	body := errorOf(t, b.call(t, "GET", "/v1/dead-letters/audit", ""), 422, "INVALID_ID")
	require.Equal(t, "id", body.Details.Field)
}

func TestDecideDeadLetter(t *testing.T) {
	t.Parallel()
	for verb, state := range map[string]string{"retry": "retrying", "discard": "discarded"} {
		b := setup()
		b.dead.letters = []deadletter.Letter{letter(7, "dev")}
		okJSON(t, b.call(t, "POST", "/v1/dead-letters/audit.7/"+verb, "{}", "Leat-Actor", "bob"), 202, `{"status":"`+state+`"}`)
		require.Equal(t, "bob", b.dead.letters[0].Actor)
		require.EqualValues(t, state, b.dead.letters[0].State)
		require.Equal(t, 202, b.call(t, "POST", "/v1/dead-letters/audit.7/"+verb, "").Code, "no body is needed")

		errorOf(t, b.call(t, "POST", "/v1/dead-letters/audit.8/"+verb, ""), 404, "DEAD_LETTER_NOT_FOUND")
		errorOf(t, b.call(t, "POST", "/v1/dead-letters/8/"+verb, ""), 422, "INVALID_ID")
		b.dead.refuse = map[string]error{"audit.7": domain.Errorf(domain.Conflict, "DEAD_LETTER_DISCARDED", "it was discarded")}
		errorOf(t, b.call(t, "POST", "/v1/dead-letters/audit.7/"+verb, ""), 409, "DEAD_LETTER_DISCARDED")
	}
}

func TestDecideManyDeadLetters(t *testing.T) {
	t.Parallel()
	for verb, state := range map[string]deadletter.State{"retry": deadletter.Retrying, "discard": deadletter.Discarded} {
		b := setup()
		for i := range int64(7) {
			b.dead.letters = append(b.dead.letters, letter(i+1, "dev"))
		}
		b.dead.letters[3].Event.Tenant = "other"
		b.dead.refuse = map[string]error{"audit.2": domain.Errorf(domain.Conflict, "FASTER", "somebody was faster")}
		okJSON(t, b.call(t, "POST", "/v1/dead-letters/"+verb, `{"set":"audit","type":"build.*"}`), 200, `{"count":5}`)
		require.Equal(t, deadletter.Filter{Tenant: "dev", Set: "audit", Types: []event.Pattern{"build.*"}, State: "open", Limit: 200}, b.dead.filters[0])
		require.Equal(t, deadletter.Open, b.dead.letters[3].State, "another tenant's letter is left alone")
		require.Equal(t, state, b.dead.letters[6].State)

		okJSON(t, b.call(t, "POST", "/v1/dead-letters/"+verb, `{"set":"","type":""}`), 200, `{"count":0}`)
		b.dead.refuse["audit.2"] = errors.New("disk")
		errorOf(t, b.call(t, "POST", "/v1/dead-letters/"+verb, `{}`), 500, "INTERNAL_ERROR")
		errorOf(t, b.call(t, "POST", "/v1/dead-letters/"+verb, `{"type":"Build"}`), 422, "INVALID_TYPE_PATTERN")
	}
}

func TestHandlers(t *testing.T) {
	t.Parallel()
	b := setup()
	b.sets.all = []httpapi.HandlerStatus{
		{Name: "broadcast", EveryInstance: true},
		{
			Name: "audit", Types: []string{"build.started"}, UnknownTypes: []string{"build.started"}, Backlog: 3, Parked: 1, DeadLetters: 2,
			Lanes: 8, IdleLanes: 7, Owners: []httpapi.Owner{{Name: "host/1/abc", Lanes: 1}},
		},
	}
	okJSON(t, b.call(t, "GET", "/v1/handlers", ""), 200, `{"handlers":[
		{"name":"audit","types":["build.started"],"unknownTypes":["build.started"],"everyInstance":false,"paused":false,
			"lanes":8,"idleLanes":7,"owners":[{"name":"host/1/abc","lanes":1}],"backlog":3,"parked":1,"deadLetters":2},
		{"name":"broadcast","types":[],"unknownTypes":[],"everyInstance":true,"paused":false,
			"lanes":0,"idleLanes":0,"owners":[],"backlog":0,"parked":0,"deadLetters":0}]}`)
	const audit = `{"name":"audit","types":["build.started"],"unknownTypes":["build.started"],"everyInstance":false,"paused":%s,
		"lanes":8,"idleLanes":7,"owners":[{"name":"host/1/abc","lanes":1}],"backlog":3,"parked":1,"deadLetters":2}`
	okJSON(t, b.call(t, "POST", "/v1/handlers/audit/pause", "{}"), 200, strings.Replace(audit, "%s", "true", 1))
	okJSON(t, b.call(t, "POST", "/v1/handlers/audit/resume", ""), 200, strings.Replace(audit, "%s", "false", 1))
	errorOf(t, b.call(t, "POST", "/v1/handlers/no-such/pause", ""), 404, "HANDLER_NOT_FOUND")
	b.sets.failed = errors.New("down")
	errorOf(t, b.call(t, "GET", "/v1/handlers", ""), 500, "INTERNAL_ERROR")
}

func TestForgetHandlers(t *testing.T) {
	t.Parallel()
	b := setup()
	b.sets.all = []httpapi.HandlerStatus{
		{Name: "gone", Types: []string{"a.b", "c.d"}, Parked: 3},
		{Name: "audit", Owners: []httpapi.Owner{{Name: "host/1/abc", Lanes: 8}}},
	}
	okJSON(t, b.call(t, "DELETE", "/v1/handlers/gone", ""), 200, `{"name":"gone","types":["a.b","c.d"],"cursors":64,"parked":3}`)
	okJSON(t, b.call(t, "DELETE", "/v1/handlers/gone?type=c.d&type=a.b", ""), 200, `{"name":"gone","types":["c.d","a.b"],"cursors":0,"parked":0}`)
	require.Equal(t, [][]string{nil, {"c.d", "a.b"}}, b.sets.asked)
	require.Contains(t, errorOf(t, b.call(t, "DELETE", "/v1/handlers/audit", ""), 409, "HANDLER_AT_WORK").Message, "host/1/abc")
	errorOf(t, b.call(t, "DELETE", "/v1/handlers/no-such", ""), 404, "HANDLER_NOT_FOUND")
	errorOf(t, b.call(t, "DELETE", "/v1/handlers/gone?type=", ""), 422, "INVALID_REQUEST")
	errorOf(t, b.call(t, "DELETE", "/v1/handlers/gone?type=a.b&type=", ""), 422, "INVALID_REQUEST")
	require.Len(t, b.sets.asked, 4, "an empty type is not all of them")
}

func TestQueriesAreChecked(t *testing.T) {
	t.Parallel()
	for path, want := range map[string][2]string{
		"/v1/events?limit=0":                {"INVALID_REQUEST", "limit"},
		"/v1/events?limit=501":              {"INVALID_REQUEST", "limit"},
		"/v1/events?limit=many":             {"INVALID_REQUEST", "limit"},
		"/v1/events?from=yesterday":         {"INVALID_REQUEST", "from"},
		"/v1/events?tpye=build.started":     {"INVALID_REQUEST", "tpye"},
		"/v1/events?type=Build":             {"INVALID_TYPE_PATTERN", "type"},
		"/v1/events?cursor=x":               {"INVALID_CURSOR", "cursor"},
		"/v1/events?cursor=-1":              {"INVALID_CURSOR", "cursor"},
		"/v1/audit?type=b*":                 {"INVALID_TYPE_PATTERN", "type"},
		"/v1/dead-letters?state=lost":       {"INVALID_REQUEST", "state"},
		"/v1/dead-letters?type=a..b":        {"INVALID_TYPE_PATTERN", "type"},
		"/v1/events/evt-7?fields=something": {"INVALID_REQUEST", "fields"},
	} {
		b := setup()
		body := errorOf(t, b.call(t, "GET", path, ""), 422, want[0])
		require.NotNil(t, body.Details, path)
		require.Equal(t, want[1], body.Details.Field, path)
	}
	b := setup()
	body := errorOf(t, b.call(t, "GET", "/v1/events?limit=0&cursor=1&from=x", ""), 422, "INVALID_REQUEST")
	require.Len(t, body.Details.Errors, 2)
}

func TestBodiesAreChecked(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, body string
		status     int
		code       string
		field      string
	}{
		{"cut off", `{"set":`, 400, "INVALID_JSON", "body"},
		{"a key twice", `{"set":"a","set":"b"}`, 400, "INVALID_JSON", "body"},
		{"a key twice in another case", `{"set":"a","Set":"b"}`, 400, "INVALID_JSON", "body"},
		{"something after the end", `{} {}`, 400, "INVALID_JSON", "body"},
		{"too deep", `{"set":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `}`, 400, "INVALID_JSON", "body"},
		{"no UTF-8", "{\"set\":\"\xff\"}", 400, "INVALID_JSON", "body"},
		{"an unknown key", `{"tenant":"acme"}`, 422, "INVALID_REQUEST", "tenant"},
		{"a wrong type", `{"set":7}`, 422, "INVALID_REQUEST", "set"},
		{"too long", `{"set":"` + strings.Repeat("x", 100) + `"}`, 413, "BODY_TOO_LARGE", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := setup()
			if test.status == 413 {
				b.cfg.MaxBody = 50
			}
			body := errorOf(t, b.call(t, "POST", "/v1/dead-letters/retry", test.body), test.status, test.code)
			if test.field != "" {
				require.NotNil(t, body.Details)
				require.Equal(t, test.field, body.Details.Field)
			}
			require.Empty(t, b.dead.filters)
		})
	}
	b := setup()
	errorOf(t, b.call(t, "POST", "/v1/dead-letters/retry", `{}`, "Content-Type", "text/plain"), 415, "UNSUPPORTED_MEDIA_TYPE")
	errorOf(t, b.call(t, "POST", "/v1/dead-letters/retry", ""), 400, "INVALID_JSON")

	whole := `{"set":"abc"}`
	b.cfg.MaxBody = int64(len(whole))
	require.Equal(t, http.StatusOK, b.call(t, "POST", "/v1/dead-letters/retry", whole).Code, "the limit itself may be reached")
}
