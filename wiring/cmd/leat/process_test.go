package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leat-dev/leat/wiring/cmd/leat/leattest"
)

// The tests of this package talk to real processes. A process is this test binary, started again:
// with LEAT_TEST_RUN=leat it is the program itself, with ledger the service that counts, with ledger-next
// the version of it that comes after.
const runVariable = "LEAT_TEST_RUN"

func TestMain(m *testing.M) {
	switch os.Getenv(runVariable) {
	case "":
		goleak.VerifyTestMain(hangUp{m})
	case "leat":
		os.Exit(run())
	case "ledger":
		os.Exit(runWith(ledgerService()))
	case "ledger-next":
		os.Exit(runWith(nextLedgerService()))
	default:
		fmt.Fprintln(os.Stderr, "unknown", runVariable)
		os.Exit(2)
	}
}

// hangUp lets go of the connections that a client keeps for its next request.
type hangUp struct{ *testing.M }

func (h hangUp) Run() int {
	defer http.DefaultClient.CloseIdleConnections()
	defer poster.CloseIdleConnections()
	return h.M.Run()
}

// patience bounds every wait for a process, in real time.
const patience = leattest.Patience

// process is a running program with its log.
type process struct {
	*leattest.Process
	t        testing.TB
	api, ops string // host:port
}

// program is what is run as "leat", the program itself, or "ledger".
func program(t testing.TB, as string) leattest.Program {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	return leattest.Program{Path: exe, Env: []string{runVariable + "=" + as}}
}

// serve starts the program on free ports with its data in the folder, and waits until it is ready.
func serve(t testing.TB, as, dir string, settings ...string) *process {
	t.Helper()
	p := &process{t: t, Process: program(t, as).Serve(t, dir, settings...)}
	p.api, p.ops = p.API, p.Ops
	return p
}

func launch(t testing.TB, as, dir string, settings ...string) *process {
	t.Helper()
	return &process{t: t, Process: program(t, as).Launch(t, dir, settings...)}
}

func (p *process) output() string { return p.Output() }
func (p *process) kill()          { p.Kill() }

// listening waits until the process has said where it listens.
func (p *process) listening(key string) string {
	p.t.Helper()
	address, ok := p.Listening(key)
	require.True(p.t, ok, "the process ended before it listened on %s:\n%s", key, p.output())
	return address
}

func (p *process) stop() {
	p.t.Helper()
	p.Stop()
}

func (p *process) wait() int {
	p.t.Helper()
	return p.Wait()
}

func (p *process) call(method, path string, body, out any) int {
	p.t.Helper()
	return p.Call(method, path, body, out)
}

func (p *process) must(method, path string, body, out any) {
	p.t.Helper()
	p.Must(method, path, body, out)
}

// eventually waits for a condition on the API.
func (p *process) eventually(what string, is func() bool) {
	p.t.Helper()
	require.Eventually(p.t, is, patience, 10*time.Millisecond, what)
}

// logged is an event as GET /v1/events shows it.
type logged struct {
	Position int64
	Event    struct {
		ID, Type, Subject, CorrelationID, CausationID string
		Data                                          json.RawMessage
	}
}

// events returns the tenant's events, oldest first.
func (p *process) events(query string) []logged {
	p.t.Helper()
	var page struct{ Events []logged }
	p.must("GET", "/v1/events?limit=500&"+query, nil, &page)
	for i, j := 0, len(page.Events)-1; i < j; i, j = i+1, j-1 {
		page.Events[i], page.Events[j] = page.Events[j], page.Events[i]
	}
	return page.Events
}
