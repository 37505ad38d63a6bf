package command_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leat-dev/leat/wiring/cmd/leat/command"
)

// output takes what a command prints while a test looks at it.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// bundle is a command line in a process of its own making.
type bundle struct {
	app            command.App
	stdout, stderr *output
}

func setup(t *testing.T, environ ...string) *bundle {
	t.Helper()
	b := &bundle{stdout: &output{}, stderr: &output{}}
	b.app = command.App{
		Environ: environ, Stdin: strings.NewReader(""), Stdout: b.stdout, Stderr: b.stderr,
		Reconnect: func(int) time.Duration { return time.Millisecond },
	}
	return b
}

// run runs a command and returns its exit code.
func (b *bundle) run(t *testing.T, args ...string) int {
	t.Helper()
	return command.Main(t.Context(), b.app, args)
}

func (b *bundle) runWith(ctx context.Context, args ...string) int {
	return command.Main(ctx, b.app, args)
}

// request is what a server was asked.
type request struct {
	line   string // "POST /v1/events?x=y"
	header http.Header
	body   string
}

// fakeServer answers each request line with a canned answer and notes what it was asked.
type fakeServer struct {
	url string

	mu       sync.Mutex
	requests []request
}

type answer struct {
	status int
	body   string
}

func startServer(t *testing.T, answers map[string]answer) *fakeServer {
	t.Helper()
	f := &fakeServer{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body bytes.Buffer
		_, _ = body.ReadFrom(r.Body)
		line := r.Method + " " + r.URL.RequestURI()
		f.mu.Lock()
		f.requests = append(f.requests, request{line: line, header: r.Header.Clone(), body: body.String()})
		f.mu.Unlock()
		a, ok := answers[line]
		if !ok {
			a = answer{http.StatusNotFound, `{"status":"error","errorCode":"NOT_FOUND","message":"there is nothing at ` + line + `","traceId":"t"}`}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(a.status)
		_, _ = w.Write([]byte(a.body))
	}))
	t.Cleanup(s.Close)
	f.url = s.URL
	return f
}

func (f *fakeServer) asked() []request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]request(nil), f.requests...)
}
