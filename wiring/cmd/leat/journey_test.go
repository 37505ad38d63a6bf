package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/postgres/postgrestest"
)

// house is a combination that a service can live in.
type house struct{ store, bus string }

var houses = []house{
	{"sqlite", "sql"},
	{"sqlite", "gochannel"},
	{"sqlite", "nats"},
	{"postgres", "sql"},
	{"postgres", "gochannel"},
	{"postgres", "nats"},
}

func (h house) name() string { return h.store + "+" + h.bus }

// settings lets the program live there; each call is a new store.
func (h house) settings(t testing.TB) []string {
	settings := []string{"bus.kind=" + h.bus}
	if h.store == "postgres" {
		settings = append(settings, "store.url="+postgrestest.Start(t))
	}
	return settings
}

// feed is a client of the live feed.
type feed struct {
	t    testing.TB
	conn *websocket.Conn
}

type frame struct {
	Op         string
	Position   int64
	Unrecorded bool
	From, To   int64
	Code       string
	Event      struct {
		ID, Type, Subject string
	}
}

func (p *process) feed(types ...string) *feed {
	p.t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{"leat.v1"}, HandshakeTimeout: patience}
	conn, resp, err := dialer.Dial("ws://"+p.api+"/v1/ws", nil)
	require.NoError(p.t, err)
	require.NoError(p.t, resp.Body.Close())
	p.t.Cleanup(func() { _ = conn.Close() })
	f := &feed{t: p.t, conn: conn}
	require.Equal(p.t, "hello", f.next("hello").Op)
	require.NoError(p.t, conn.WriteJSON(map[string]any{"op": "subscribe", "types": types}))
	return f
}

// next returns the next frame of the kind.
func (f *feed) next(op string) frame {
	f.t.Helper()
	for {
		require.NoError(f.t, f.conn.SetReadDeadline(time.Now().Add(patience)))
		var got frame
		require.NoError(f.t, f.conn.ReadJSON(&got))
		if got.Op == op {
			return got
		}
		require.NotEqual(f.t, "error", got.Op, got.Code)
	}
}

type named struct{ ID string }

// Scenario A: the local flow on each bus; with no broker in sight where the bus needs none.
func TestScenarioALocalFlow(t *testing.T) {
	t.Parallel()
	for _, house := range houses {
		t.Run(house.name(), func(t *testing.T) {
			t.Parallel()
			bus := house.bus
			p := serve(t, "leat", t.TempDir(), house.settings(t)...)
			live := p.feed("build.*")

			var project, build, member named
			p.must("POST", "/v1/projects", map[string]any{"name": "Shop", "assignee": "bo@acme.example"}, &project)
			p.must("PATCH", "/v1/projects/"+project.ID, map[string]any{"name": "Store"}, nil)
			p.must("POST", "/v1/projects/"+project.ID+"/builds", map[string]any{"image": "shop/api:1"}, &build)
			p.must("POST", "/v1/builds/"+build.ID+"/start", nil, nil)
			p.must("POST", "/v1/builds/"+build.ID+"/progress", map[string]any{"percent": 50, "stage": "compile"}, nil)
			p.must("POST", "/v1/builds/"+build.ID+"/fail", map[string]any{"reason": "no disk"}, nil)
			p.must("POST", "/v1/tenants/dev/invitations", map[string]any{"email": "ada@acme.example", "name": "Ada", "role": "developer"}, &member)

			// The live feed has the build's status, each once: what is real-time by the fast path, the rest in
			// the order of the log.
			last, fast, shown := int64(0), []string(nil), map[string]bool{}
			for range 5 {
				got := live.next("event")
				require.Equal(t, build.ID, got.Event.Subject)
				require.False(t, shown[got.Event.Type], got.Event.Type)
				shown[got.Event.Type] = true
				if got.Position == 0 {
					fast = append(fast, got.Event.Type)
					continue
				}
				require.Greater(t, got.Position, last)
				last = got.Position
			}
			require.Len(t, shown, 5)
			require.Subset(t, []string{"build.started", "build.progressed", "build.failed"}, fast)

			// Every domain event has its one audit entry.
			want := []string{
				"project.created", "project.updated", "build.queued", "build.started", "build.progressed",
				"build.failed", "build.failing", "member.invited",
			}
			var audit struct {
				Entries []struct {
					Type, Actor, Subject string
					Changes              map[string]struct{ From, To any }
				}
			}
			p.eventually("audit entries", func() bool {
				p.must("GET", "/v1/audit?limit=100", nil, &audit)
				return len(audit.Entries) >= len(want)
			})
			var got []string
			for i := len(audit.Entries) - 1; i >= 0; i-- {
				got = append(got, audit.Entries[i].Type)
				require.Equal(t, "dev", audit.Entries[i].Actor)
			}
			require.Equal(t, want, got)
			require.Equal(t, "Store", audit.Entries[len(want)-2].Changes["name"].To)

			// The mails are in the inbox, and their outcome is back in the log.
			var inbox struct {
				Mails []struct{ ID, Subject string }
			}
			p.eventually("mails", func() bool {
				p.must("GET", "/v1/inbox", nil, &inbox)
				return len(inbox.Mails) == 2
			})
			p.eventually("outcomes", func() bool { return len(p.events("type=notification.sent")) == 2 })
			for _, sent := range p.events("type=notification.sent") {
				var data struct {
					Duration *int64 `json:"duration_ms"`
					To       string
				}
				require.NoError(t, json.Unmarshal(sent.Event.Data, &data))
				require.NotNil(t, data.Duration)
			}
			invited, sent := p.events("type=member.invited")[0], p.events("type=notification.*&correlation="+p.events("type=member.invited")[0].Event.CorrelationID)
			require.Len(t, sent, 2, "requested and sent carry the correlation id of the invitation")
			require.Equal(t, invited.Event.ID, sent[0].Event.CausationID)
			require.Equal(t, sent[0].Event.ID, sent[1].Event.CausationID)

			// On the way out clients are told, and nothing is left behind.
			closed := make(chan error, 1)
			go func() {
				for {
					if _, _, err := live.conn.ReadMessage(); err != nil {
						closed <- err
						return
					}
				}
			}()
			p.stop()
			require.True(t, websocket.IsCloseError(<-closed, websocket.CloseGoingAway), "close code 1001")
			if bus != "nats" {
				require.NotContains(t, strings.ToLower(p.output()), "nats", "no broker was looked for")
			}
			require.NotContains(t, p.output(), `"level":"ERROR"`)
			require.NotContains(t, p.output(), `"level":"WARN"`)
		})
	}
}

func TestBadInputIsRefusedByName(t *testing.T) {
	t.Parallel()
	p := serve(t, "leat", t.TempDir())
	type failure struct {
		Status, ErrorCode, Message, TraceID string
		Details                             struct{ Field, Error string }
	}
	for name, c := range map[string]struct {
		method, path string
		body         any
		status       int
		code, field  string
	}{
		"unknown type":    {"POST", "/v1/events", map[string]any{"eventType": "no.such", "source": "s", "data": map[string]any{}}, 422, "UNKNOWN_EVENT_TYPE", "eventType"},
		"bad type":        {"POST", "/v1/events", map[string]any{"eventType": "No Such", "source": "s", "data": map[string]any{}}, 422, "INVALID_EVENT_TYPE", "eventType"},
		"data that lacks": {"POST", "/v1/events", map[string]any{"eventType": "notification.requested", "source": "s", "data": map[string]any{"channel": "email", "template": "x", "recipients": []any{map[string]any{"address": "nobody"}}}}, 422, "SCHEMA_VALIDATION_ERROR", "data.recipients.0.address"},
		"too large":       {"POST", "/v1/events", map[string]any{"eventType": "build.started", "source": "s", "data": map[string]any{"x": strings.Repeat("y", 300<<10)}}, 413, "EVENT_TOO_LARGE", "data"},
		"id too long":     {"POST", "/v1/events", map[string]any{"eventType": "project.archived", "source": "s", "id": strings.Repeat("i", 129), "data": map[string]any{"projectId": "p", "name": "n"}}, 422, "ATTRIBUTE_TOO_LONG", "id"},
		"no name":         {"POST", "/v1/projects", map[string]any{"name": ""}, 422, "", "name"},
		"no such build":   {"POST", "/v1/builds/none/start", nil, 404, "", ""},
		"no such path":    {"GET", "/v1/nothing", nil, 404, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var got failure
			require.Equal(t, c.status, p.call(c.method, c.path, c.body, &got))
			require.Equal(t, "error", got.Status)
			require.NotEmpty(t, got.Message)
			require.NotEmpty(t, got.TraceID)
			if c.code != "" {
				require.Equal(t, c.code, got.ErrorCode)
			}
			require.Equal(t, c.field, got.Details.Field)
		})
	}
	t.Run("wrong transition", func(t *testing.T) {
		var project, build named
		p.must("POST", "/v1/projects", map[string]any{"name": "Shop"}, &project)
		p.must("POST", "/v1/projects/"+project.ID+"/builds", map[string]any{"image": "i"}, &build)
		var got failure
		require.Equal(t, http.StatusConflict, p.call("POST", "/v1/builds/"+build.ID+"/complete", nil, &got))
		require.Equal(t, "BUILD_WRONG_STATE", got.ErrorCode)
	})
	t.Run("nothing half done", func(t *testing.T) {
		for _, e := range p.events("") {
			require.Contains(t, []string{"project.created", "build.queued"}, e.Event.Type)
		}
	})
	t.Run("no tenant", func(t *testing.T) {
		req, err := http.NewRequest("GET", "http://"+p.api+"/v1/events", nil)
		require.NoError(t, err)
		req.Header.Set("Leat-Tenant", "no tenant")
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		require.Equal(t, http.StatusUnprocessableEntity, resp.StatusCode)
	})
}

func TestStartRefusesWhatItCannotHave(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := serve(t, "leat", dir)
	for name, c := range map[string]struct {
		setting string
		code    int
		says    string
	}{
		"the file is in use":     {"log.level=info", 6, "leat.db"},
		"the address is in use":  {"http.listen=" + first.api, 6, first.api},
		"an unknown key":         {"bus.knd=sql", 2, "bus.knd"},
		"a bad value":            {"bus.kind=pigeon", 2, "bus.kind"},
		"open to the network":    {"http.listen=0.0.0.0:0", 2, "auth.mode"},
		"a role that is not one": {"roles=apy", 2, "apy"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			where := dir
			if c.code == 6 && strings.HasPrefix(c.setting, "http") {
				where = t.TempDir()
			}
			p := launch(t, "leat", where, c.setting)
			require.Equal(t, c.code, p.wait(), p.output())
			require.Contains(t, p.output(), c.says)
		})
	}
}

// What one process accepts is handled by others that come later, each with its own roles: every
// process makes all sets known, whichever it works.
func TestRolesTakeTheirTurns(t *testing.T) {
	t.Parallel()
	mail := startMailServer(t, nil)
	dir := t.TempDir()

	p := serve(t, "leat", dir, "roles=api,sequencer")
	p.invite("ada@example.com")
	require.Empty(t, p.events("type=notification.*"))
	p.stop()

	p = serve(t, "leat", dir, append(mail.settings(), "roles=api,sequencer,notify")...)
	var queue struct{ Emails []struct{ Status string } }
	p.eventually("a queued mail", func() bool {
		p.must("GET", "/v1/emails", nil, &queue)
		return len(queue.Emails) == 1
	})
	require.Equal(t, "queued", queue.Emails[0].Status)
	var audit struct{ Entries []any }
	p.must("GET", "/v1/audit", nil, &audit)
	require.Empty(t, audit.Entries, "nobody has worked the set audit yet")
	p.stop()

	p = serve(t, "leat", dir, append(mail.settings(), "roles=api,sequencer,email,audit")...)
	p.eventually("the outcome", func() bool { return len(p.outcomes("notification.sent")) == 1 })
	p.eventually("an audit entry", func() bool {
		p.must("GET", "/v1/audit", nil, &audit)
		return len(audit.Entries) == 1
	})
	require.Len(t, mail.received(), 1)
	p.stop()
}
