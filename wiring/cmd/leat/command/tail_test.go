package command_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// feedScript is what a server does with each connection in turn; the test ends a tail by
// cancelling its context when the last has run.
type feedScript func(t *testing.T, conn *websocket.Conn)

func startFeed(t *testing.T, done func(), scripts ...feedScript) string {
	t.Helper()
	next := make(chan feedScript, len(scripts))
	for _, s := range scripts {
		next <- s
	}
	ended := make(chan struct{}, len(scripts))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/ws" || r.Header.Get("Leat-Tenant") != "acme" {
			http.NotFound(w, r)
			return
		}
		upgrader := websocket.Upgrader{Subprotocols: []string{"leat.v1"}}
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		if conn.Subprotocol() != "leat.v1" {
			t.Errorf("got subprotocol %q, want leat.v1", conn.Subprotocol())
		}
		select {
		case script := <-next:
			script(t, conn)
		default:
			t.Error("got one connection more than expected")
		}
		ended <- struct{}{}
		if len(next) == 0 && len(ended) == len(scripts) {
			done()
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func send(t *testing.T, conn *websocket.Conn, frames ...string) {
	t.Helper()
	for _, f := range frames {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(f)); err != nil {
			t.Errorf("send %s: %v", f, err)
		}
	}
}

// expect reads a frame of the client's.
func expect(t *testing.T, conn *websocket.Conn, want string) {
	t.Helper()
	_, got, err := conn.ReadMessage()
	if err != nil {
		t.Errorf("read a frame: %v", err)
		return
	}
	var compact map[string]any
	if err := json.Unmarshal(got, &compact); err != nil || strings.TrimSpace(string(got)) != want {
		t.Errorf("got frame %s, want %s", got, want)
	}
}

func event(position int64, id string) string {
	at := ""
	if position > 0 {
		at = fmt.Sprintf(`"position":%d,`, position)
	}
	return `{"op":"event",` + at + `"event":` + cloudEvent(id) + `}`
}

func cloudEvent(id string) string {
	return `{"specversion":"1.0","id":"` + id + `","type":"build.started","source":"s","subject":"b-1","time":"2026-01-02T03:04:05Z","data":{"n":1}}`
}

func TestTailResumesWhereItWas(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	// The last script ends only when the client has got all that it was sent: an unknown frame and
	// an event are printed in order, so the test waits for the last line before it lets go.
	b := setup(t)
	url := startFeed(t, cancel,
		func(t *testing.T, conn *websocket.Conn) {
			send(t, conn, `{"op":"hello","position":5}`)
			expect(t, conn, `{"op":"subscribe","types":["build.*","project.*"],"subjects":["b-1"]}`)
			send(t, conn, event(6, "six"), event(0, "fast"), `{"op":"event","unrecorded":true,"event":`+cloudEvent("lost")+`}`, `{"op":"position","position":8}`)
			_ = conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(4408, "too slow"))
		},
		func(t *testing.T, conn *websocket.Conn) {
			send(t, conn, `{"op":"hello","position":20}`)
			expect(t, conn, `{"op":"subscribe","types":["build.*","project.*"],"subjects":["b-1"],"after":8}`)
			send(t, conn, `{"op":"gap","from":9,"to":11}`, event(12, "fast"), `{"op":"new kind"}`, event(13, "last"))
			_ = conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1001, "shutting down"))
		},
		func(t *testing.T, conn *websocket.Conn) {
			send(t, conn, `{"op":"hello","position":20}`)
			expect(t, conn, `{"op":"subscribe","types":["build.*","project.*"],"subjects":["b-1"],"after":13}`)
		},
	)
	code := b.runWith(ctx, "tail", "--server", url, "--tenant", "acme", "--type", "build.*", "--type", "project.*", "--subject", "b-1", "-o", "jsonl")
	require.Equal(t, 0, code, b.stderr)
	require.Equal(t, `{"position":6,"event":`+cloudEvent("six")+"}\n"+
		`{"event":`+cloudEvent("fast")+"}\n"+
		`{"unrecorded":true,"event":`+cloudEvent("lost")+"}\n"+
		`{"position":13,"event":`+cloudEvent("last")+"}\n", b.stdout.String(), "what came fast is not printed again with its position")
	require.Contains(t, b.stderr.String(), "leat: gap: positions 9 to 11 are no longer kept\n")
	require.Contains(t, b.stderr.String(), "leat: connection lost: websocket: close 4408: too slow; reconnecting\n")
}

func TestTailFromAPositionAsATable(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	b := setup(t)
	url := startFeed(t, cancel, func(t *testing.T, conn *websocket.Conn) {
		send(t, conn, `{"op":"hello","position":5}`)
		expect(t, conn, `{"op":"subscribe","after":0}`)
		send(t, conn, event(1, "one"), `{"op":"event","unrecorded":true,"event":`+cloudEvent("lost")+`}`)
		_ = conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1001, ""))
	}, func(t *testing.T, conn *websocket.Conn) {
		send(t, conn, `{"op":"hello","position":5}`)
		expect(t, conn, `{"op":"subscribe","after":1}`)
	})
	require.Equal(t, 0, b.runWith(ctx, "tail", "--server", url, "--tenant", "acme", "--after", "0"), b.stderr)
	require.Equal(t, `POSITION    TIME                      TYPE                          SUBJECT                   DATA
1           2026-01-02T03:04:05.000Z  build.started                 b-1                       {"n":1}
unrecorded  2026-01-02T03:04:05.000Z  build.started                 b-1                       {"n":1}
`, b.stdout.String())
}

func TestTailEndsWhenTheServerSaysNo(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		script feedScript
		code   int
		stderr string
	}{
		"refused subscription": {func(t *testing.T, conn *websocket.Conn) {
			send(t, conn, `{"op":"hello","position":5}`)
			expect(t, conn, `{"op":"subscribe"}`)
			send(t, conn, `{"op":"error","code":"INVALID_PATTERN","message":"no such pattern"}`)
		}, 5, "leat: the feed answered INVALID_PATTERN: no such pattern\n"},
		"no longer allowed": {func(t *testing.T, conn *websocket.Conn) {
			send(t, conn, `{"op":"hello","position":5}`)
			expect(t, conn, `{"op":"subscribe"}`)
			_ = conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(4401, "the key was revoked"))
		}, 3, "leat: the server closed the feed: the key was revoked\n"},
		"something else": {func(t *testing.T, conn *websocket.Conn) {
			send(t, conn, `{"op":"welcome"}`)
		}, 1, "leat: the feed began with \"welcome\"; is it a Leat server?\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			url := startFeed(t, func() {}, tt.script)
			require.Equal(t, tt.code, b.run(t, "tail", "--server", url, "--tenant", "acme"))
			require.Equal(t, tt.stderr, b.stderr.String())
		})
	}
}

func TestTailWhereThereIsNoFeed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	url := startFeed(t, func() {})
	require.Equal(t, 4, b.run(t, "tail", "--server", url, "--tenant", "other"))
	require.Equal(t, "leat: the server answered 404 Not Found\n", b.stderr.String())
}

func TestMain(m *testing.M) {
	if runSignalHelper() {
		return
	}
	goleak.VerifyTestMain(m)
}
