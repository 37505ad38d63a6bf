package command_test

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const acceptedBody = `{"status":"accepted","eventId":"e-1","timestamp":"2026-01-02T03:04:05Z","receipt":"r-1"}`

func TestPublishOne(t *testing.T) {
	t.Parallel()
	s := startServer(t, map[string]answer{"POST /v1/events": {202, acceptedBody}})
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte("s3cret\n"), 0o600))
	b := setup(t, "LEAT_SERVER="+s.url, "LEAT_TOKEN=not this one")
	code := b.run(t, "publish", "build.started", `{"build_id":"b-1","big":12345678901234567890}`,
		"--subject", "b-1", "--id", "e-1", "--key", "k", "--tenant", "acme", "--token-file", token)
	require.Equal(t, 0, code, b.stderr)
	require.Equal(t, "EVENT  TIME                  RECEIPT\ne-1    2026-01-02T03:04:05Z  r-1\n", b.stdout.String())
	got := s.asked()[0]
	require.JSONEq(t, `{"eventType":"build.started","source":"leat-cli","id":"e-1","subject":"b-1","partitionKey":"k","data":{"build_id":"b-1","big":12345678901234567890}}`, got.body)
	require.Contains(t, got.body, "12345678901234567890", "numbers travel as they were written")
	require.Equal(t, "Bearer s3cret", got.header.Get("Authorization"))
	require.Equal(t, "acme", got.header.Get("Leat-Tenant"))
	require.Equal(t, "application/json", got.header.Get("Content-Type"))
}

func TestPublishLines(t *testing.T) {
	t.Parallel()
	s := startServer(t, map[string]answer{"POST /v1/events": {202, acceptedBody}})
	b := setup(t, "LEAT_SERVER="+s.url)
	b.app.Stdin = strings.NewReader(`{"eventType":"build.started","data":{"n":1},"id":"a","subject":"own"}

{"type":"build.failed","data":{"n":2},"time":"2026-01-02T03:04:05Z","metadata":{"correlationId":"c"}}
`)
	require.Equal(t, 0, b.run(t, "publish", "-f", "-", "--subject", "default", "--source", "importer", "-o", "jsonl"), b.stderr)
	asked := s.asked()
	require.Len(t, asked, 2)
	require.JSONEq(t, `{"eventType":"build.started","source":"importer","id":"a","subject":"own","data":{"n":1}}`, asked[0].body)
	require.JSONEq(t, `{"eventType":"build.failed","source":"importer","subject":"default","timestamp":"2026-01-02T03:04:05Z","data":{"n":2},"metadata":{"correlationId":"c"}}`, asked[1].body)
	require.Equal(t, acceptedBody+"\n"+acceptedBody+"\n", b.stdout.String())
}

func TestPublishStopsAtTheFirstBadLine(t *testing.T) {
	t.Parallel()
	s := startServer(t, map[string]answer{"POST /v1/events": {202, acceptedBody}})
	for name, tt := range map[string]struct{ input, want string }{
		"unknown field": {
			"{\"type\":\"a.b\",\"data\":{}}\n{\"type\":\"a.b\",\"dta\":{}}\n",
			"leat: line 2: is not an event: unknown field \"dta\"\n  the event before it was accepted\n",
		},
		"not an object": {"[]\n", "leat: line 1: is not an event: cannot unmarshal array"},
		"two types":     {"{\"type\":\"a.b\",\"eventType\":\"a.b\"}\n", "leat: line 1: is not an event: want either eventType or type"},
		"no type":       {"{\"data\":{}}\n", "leat: line 1: is not an event: eventType is missing\n  nothing was published\n"},
		"two objects":   {"{\"type\":\"a.b\"} {}\n", "leat: line 1: is not an event: something follows the object"},
		"nothing":       {"\n \n", "leat: publish: there is nothing to publish in -\n"},
		"too long":      {strings.Repeat("x", 5<<20), "leat: line 1: is longer than 4 MiB\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, "LEAT_SERVER="+s.url)
			b.app.Stdin = strings.NewReader(tt.input)
			require.Equal(t, 5, b.run(t, "publish", "-f", "-"), b.stderr)
			require.Contains(t, b.stderr.String(), tt.want)
		})
	}
}

func TestAnswersBecomeExitCodes(t *testing.T) {
	t.Parallel()
	const body = `{"status":"error","errorCode":"CODE","message":"what is wrong","traceId":"t-1"}`
	tests := map[string]struct {
		answer answer
		code   int
		stderr string
	}{
		"401": {answer{401, body}, 3, "leat: CODE: what is wrong\n"},
		"403": {answer{403, body}, 3, "leat: CODE: what is wrong\n"},
		"404": {answer{404, body}, 4, "leat: CODE: what is wrong\n"},
		"409": {answer{409, body}, 5, "leat: CODE: what is wrong\n"},
		"422": {
			answer{422, `{"status":"error","errorCode":"SCHEMA_VALIDATION_ERROR","message":"data does not fit","details":{"field":"data.email","error":"is missing","errors":[{"field":"data.email","error":"is missing"},{"field":"data.n","error":"is\u001b[31m no number"}]}}`},
			5, "leat: SCHEMA_VALIDATION_ERROR: data does not fit\n  data.email: is missing\n  data.n: is [31m no number\n",
		},
		"one field":  {answer{400, `{"errorCode":"X","message":"m","details":{"field":"id","error":"is bad"}}`}, 5, "leat: X: m\n  id: is bad\n"},
		"no repeat":  {answer{400, `{"errorCode":"X","message":"is bad","details":{"field":"id","error":"is bad"}}`}, 5, "leat: X: is bad\n"},
		"429":        {answer{429, body}, 6, "leat: CODE: what is wrong\n"},
		"503":        {answer{503, body}, 6, "leat: CODE: what is wrong (trace t-1)\n"},
		"500":        {answer{500, body}, 1, "leat: CODE: what is wrong (trace t-1)\n"},
		"no body":    {answer{502, "<html>"}, 6, "leat: the server answered 502 Bad Gateway\n"},
		"redirected": {answer{302, ""}, 1, "leat: the server answered 302 Found\n"},
		"not an API": {answer{200, "<html>"}, 1, "leat: the answer of "},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, map[string]answer{"POST /v1/events": tt.answer})
			b := setup(t, "LEAT_SERVER="+s.url)
			require.Equal(t, tt.code, b.run(t, "publish", "build.started", "{}"))
			require.True(t, strings.HasPrefix(b.stderr.String(), tt.stderr), b.stderr)
			require.Empty(t, b.stdout.String())
		})
	}
}

func TestNobodyThereIsUnavailable(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := l.Addr().String()
	require.NoError(t, l.Close())
	for _, args := range [][]string{{"publish", "a.b", "{}"}, {"tail"}, {"handlers", "list"}} {
		b := setup(t)
		require.Equal(t, 6, b.run(t, append(args, "--server", "http://"+address)...))
		require.Regexp(t, `^leat: reach the server at http://\S+: .*connection refused; is leat serve running there\?\n$`, b.stderr.String())
	}
}

const eventBody = `{"specversion":"1.0","id":"e/1","type":"build.started","source":"s","subject":"b-1","time":"2026-01-02T03:04:05.678901Z","tenantid":"dev","schemaversion":1,"kind":"business","correlationid":"c","data":{"build_id":"b-1"}}`

func TestEventsList(t *testing.T) {
	t.Parallel()
	body := `{"events":[{"position":7,"recorded":"2026-01-02T03:04:06Z","event":` + eventBody + `}],"next":"6"}`
	s := startServer(t, map[string]answer{
		"GET /v1/events?correlation=c&cursor=9&from=2026-01-01T00%3A00%3A00Z&limit=1&subject=b-1&type=build.%2A": {200, body},
	})
	args := []string{
		"events", "list", "--server", s.url, "--type", "build.*", "--subject", "b-1", "--correlation", "c",
		"--from", "2026-01-01T00:00:00Z", "--limit", "1", "--cursor", "9",
	}
	b := setup(t)
	require.Equal(t, 0, b.run(t, args...), b.stderr)
	require.Equal(t, "POSITION  RECORDED                  TYPE           SUBJECT  ID\n"+
		"7         2026-01-02T03:04:06.000Z  build.started  b-1      e/1\n", b.stdout.String())
	require.Equal(t, "there is more: --cursor 6\n", b.stderr.String())

	b = setup(t)
	require.Equal(t, 0, b.run(t, append(args, "-o", "json")...))
	require.JSONEq(t, body, b.stdout.String())

	b = setup(t)
	require.Equal(t, 0, b.run(t, append(args, "-o", "jsonl")...))
	require.Equal(t, `{"position":7,"recorded":"2026-01-02T03:04:06Z","event":`+eventBody+"}\n", b.stdout.String())
}

func TestEventsShow(t *testing.T) {
	t.Parallel()
	s := startServer(t, map[string]answer{
		"GET /v1/events/e%2F1": {200, `{"position":7,"recorded":"2026-01-02T03:04:06Z","event":` + eventBody + `}`},
		"GET /v1/events/e%2F1/deliveries": {200, `{"deliveries":[
			{"set":"audit","state":"handled","attempts":1},
			{"set":"notify","state":"retrying","attempts":2,"due":"2026-01-02T03:05:00Z","reason":"two\nlines"}]}`},
	})
	b := setup(t)
	require.Equal(t, 0, b.run(t, "events", "show", "e/1", "--server", s.url+"/"), b.stderr)
	require.Equal(t, `position        7
recorded        2026-01-02T03:04:06.000Z
id              e/1
type            build.started
schema version  1
kind            business
source          s
subject         b-1
tenant          dev
time            2026-01-02T03:04:05.678Z
correlation id  c

{
  "build_id": "b-1"
}

HANDLER SET  STATE     ATTEMPTS  DUE                   REASON
audit        handled   1         -                     -
notify       retrying  2         2026-01-02T03:05:00Z  two lines
`, b.stdout.String())

	b = setup(t)
	require.Equal(t, 0, b.run(t, "events", "show", "e/1", "--server", s.url, "-o", "jsonl"), b.stderr)
	require.True(t, strings.HasPrefix(b.stdout.String(), `{"position":7,"recorded":"2026-01-02T03:04:06Z","event":{"specversion"`), b.stdout)
	require.Contains(t, b.stdout.String(), `"deliveries":[{"set":"audit"`)

	b = setup(t)
	require.Equal(t, 4, b.run(t, "events", "show", "e-2", "--server", s.url))
}

const letterBody = `{"id":"audit.7","set":"audit","position":7,"event":` + eventBody + `,"attempts":3,"reason":"disk full","failed":"2026-01-02T03:10:00Z","state":"open"}`

func TestDeadLetters(t *testing.T) {
	t.Parallel()
	s := startServer(t, map[string]answer{
		"GET /v1/dead-letters?limit=50&set=audit&state=open&type=build.started": {200, `{"deadLetters":[` + letterBody + `],"next":""}`},
		"GET /v1/dead-letters/audit.7":                                          {200, letterBody},
		"POST /v1/dead-letters/audit.7/retry":                                   {202, `{"status":"retrying"}`},
		"POST /v1/dead-letters/audit.8/discard":                                 {202, `{"status":"discarded"}`},
		"POST /v1/dead-letters/retry":                                           {200, `{"count":3}`},
	})
	b := setup(t, "LEAT_SERVER="+s.url)
	require.Equal(t, 0, b.run(t, "dead-letters", "list", "--set", "audit", "--type", "build.started", "--state", "open"), b.stderr)
	require.Equal(t, "ID       TYPE           STATE  ATTEMPTS  FAILED                    REASON\n"+
		"audit.7  build.started  open   3         2026-01-02T03:10:00.000Z  disk full\n", b.stdout.String())

	b = setup(t, "LEAT_SERVER="+s.url)
	require.Equal(t, 0, b.run(t, "dead-letters", "show", "audit.7"), b.stderr)
	require.Contains(t, b.stdout.String(), "reason          disk full\n")
	require.Contains(t, b.stdout.String(), `  "build_id": "b-1"`)

	b = setup(t, "LEAT_SERVER="+s.url)
	require.Equal(t, 0, b.run(t, "dead-letters", "retry", "audit.7"), b.stderr)
	require.Equal(t, "ID       STATUS\naudit.7  retrying\n", b.stdout.String())

	b = setup(t, "LEAT_SERVER="+s.url)
	require.Equal(t, 0, b.run(t, "dead-letters", "discard", "audit.8", "-o", "jsonl"), b.stderr)
	require.Equal(t, "{\"id\":\"audit.8\",\"status\":\"discarded\"}\n", b.stdout.String())

	b = setup(t, "LEAT_SERVER="+s.url)
	require.Equal(t, 4, b.run(t, "dead-letters", "retry", "audit.7", "audit.9"))
	require.Contains(t, b.stdout.String(), "audit.7  retrying", "what was decided before is told")
	require.Contains(t, b.stderr.String(), "leat: retry audit.9: NOT_FOUND: ")

	b = setup(t, "LEAT_SERVER="+s.url)
	require.Equal(t, 0, b.run(t, "dead-letters", "retry", "--set", "audit", "--type", "build.*"), b.stderr)
	require.Equal(t, "COUNT\n3\n", b.stdout.String())
	asked := s.asked()
	require.JSONEq(t, `{"set":"audit","type":"build.*"}`, asked[len(asked)-1].body)
}

func TestHandlers(t *testing.T) {
	t.Parallel()
	const audit = `{"name":"audit","types":["build.started","build.failed"],"everyInstance":false,"paused":false,"lanes":8,"idleLanes":2,"backlog":4,"parked":1,"deadLetters":2}`
	const gone = `{"name":"gone","types":["a.b"],"everyInstance":false,"paused":false,"lanes":4,"idleLanes":4,"backlog":0,"parked":0,"deadLetters":0}`
	const paused = `{"name":"audit","types":["build.started"],"everyInstance":false,"paused":true,"backlog":4,"parked":1,"deadLetters":2}`
	s := startServer(t, map[string]answer{
		"GET /v1/handlers":               {200, `{"handlers":[` + audit + `,{"name":"broadcast","types":["*"],"everyInstance":true,"paused":false,"backlog":0,"parked":0,"deadLetters":0},` + gone + `]}`},
		"POST /v1/handlers/audit/pause":  {200, paused},
		"POST /v1/handlers/audit/resume": {200, audit},
	})
	b := setup(t, "LEAT_SERVER="+s.url)
	require.Equal(t, 0, b.run(t, "handlers", "list"), b.stderr)
	require.Equal(t, `NAME       STATE    LANES  BACKLOG  PARKED  DEAD LETTERS  TYPES
audit      running  6/8    4        1       2             build.started build.failed
broadcast  running  -      -        -       -             *
gone       idle     0/4    0        0       0             a.b
`, b.stdout.String())

	b = setup(t, "LEAT_SERVER="+s.url)
	require.Equal(t, 0, b.run(t, "handlers", "pause", "audit"), b.stderr)
	require.Contains(t, b.stdout.String(), "audit  paused")

	b = setup(t, "LEAT_SERVER="+s.url)
	require.Equal(t, 0, b.run(t, "handlers", "resume", "audit", "-o", "jsonl"), b.stderr)
	require.Equal(t, audit+"\n", b.stdout.String())

	b = setup(t, "LEAT_SERVER="+s.url)
	require.Equal(t, 4, b.run(t, "handlers", "pause", "nobody"))
}

func TestForgetHandlers(t *testing.T) {
	t.Parallel()
	const all = `{"name":"old","types":["a.b","c.d"],"cursors":64,"parked":3}`
	s := startServer(t, map[string]answer{
		"DELETE /v1/handlers/old":                   {200, all},
		"DELETE /v1/handlers/old?type=a.b&type=c.d": {200, `{"name":"old","types":["a.b","c.d"],"cursors":0,"parked":0}`},
		"DELETE /v1/handlers/audit":                 {409, `{"status":"error","errorCode":"HANDLER_AT_WORK","message":"at work at host/1","traceId":"t"}`},
	})
	environ := "LEAT_SERVER=" + s.url
	b := setup(t, environ)
	require.Equal(t, 0, b.run(t, "handlers", "forget", "old"), b.stderr)
	require.Equal(t, "FORGOTTEN  CURSORS  PARKED  TYPES\nold        64       3       a.b c.d\n", b.stdout.String())
	b = setup(t, environ)
	require.Equal(t, 0, b.run(t, "handlers", "forget", "old", "--type", "a.b", "--type", "c.d"), b.stderr)
	require.Contains(t, b.stdout.String(), "old        0        0       a.b c.d")
	b = setup(t, environ)
	require.Equal(t, 0, b.run(t, "handlers", "forget", "old", "-o", "jsonl"), b.stderr)
	require.Equal(t, all+"\n", b.stdout.String())
	b = setup(t, environ)
	require.Equal(t, 5, b.run(t, "handlers", "forget", "audit"))
	require.Contains(t, b.stderr.String(), "at work at host/1")
	require.Equal(t, 4, setup(t, environ).run(t, "handlers", "forget", "nobody"))

	asked := len(s.asked())
	for _, args := range [][]string{{}, {"a", "b"}, {"old", "--type", ""}, {""}} {
		require.Equal(t, 2, setup(t, environ).run(t, append([]string{"handlers", "forget"}, args...)...), args)
	}
	require.Len(t, s.asked(), asked, "nothing is sent that could forget more than was meant")
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	elsewhere := startServer(t, nil)
	s := startServer(t, map[string]answer{"GET /v1/handlers": {http.StatusTemporaryRedirect, ""}})
	b := setup(t, "LEAT_SERVER="+s.url, "LEAT_TOKEN=secret")
	require.Equal(t, 1, b.run(t, "handlers", "list"))
	require.Empty(t, elsewhere.asked())
	require.Equal(t, "Bearer secret", s.asked()[0].header.Get("Authorization"))
}
