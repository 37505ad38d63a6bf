package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
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
	return h.M.Run()
}

// patience bounds every wait for a process, in real time.
const patience = 30 * time.Second

// process is a running program with its log.
type process struct {
	t     testing.TB
	cmd   *exec.Cmd
	api   string // host:port
	ops   string
	ended chan struct{}
	err   error // of Wait; after ended

	mu      sync.Mutex
	log     bytes.Buffer
	listens map[string]string
	grew    chan struct{}
}

// serve starts the program on free ports with its data in the folder, and waits until it is ready.
func serve(t testing.TB, as, dir string, settings ...string) *process {
	t.Helper()
	p := launch(t, as, dir, settings...)
	p.ops = p.listening("ops.listen")
	if roles := strings.Join(settings, " "); !strings.Contains(roles, "roles=") || strings.Contains(roles, "roles=api") || strings.Contains(roles, "broadcast") {
		p.api = p.listening("http.listen")
	}
	require.Eventually(t, func() bool {
		resp, err := http.Get("http://" + p.ops + "/readyz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, patience, 2*time.Millisecond, "not ready")
	return p
}

func launch(t testing.TB, as, dir string, settings ...string) *process {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	args := []string{"serve"}
	for _, s := range append([]string{
		"http.listen=127.0.0.1:0", "ops.listen=127.0.0.1:0", "inbox.listen=127.0.0.1:0",
		"store.url=sqlite:" + filepath.Join(dir, "leat.db"), "log.format=json",
	}, settings...) {
		if strings.HasPrefix(s, "--") {
			args = append(args, s)
			continue
		}
		args = append(args, "--set", s)
	}
	p := &process{t: t, ended: make(chan struct{}), listens: map[string]string{}, grew: make(chan struct{})}
	p.cmd = exec.Command(exe, args...)
	p.cmd.Env = append(clean(os.Environ()), runVariable+"="+as)
	p.cmd.Dir = dir
	stderr, err := p.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	go p.read(stderr)
	t.Cleanup(func() {
		select {
		case <-p.ended:
		default:
			p.kill()
		}
		if t.Failed() {
			t.Logf("log of the process:\n%s", p.output())
		}
	})
	return p
}

// clean leaves out what would configure the program.
func clean(environ []string) []string {
	var out []string
	for _, v := range environ {
		if !strings.HasPrefix(v, "LEAT_") {
			out = append(out, v)
		}
	}
	return out
}

func (p *process) read(stderr io.Reader) {
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var entry struct{ Msg, Key, Address string }
		_ = json.Unmarshal(lines.Bytes(), &entry)
		p.mu.Lock()
		p.log.Write(lines.Bytes())
		p.log.WriteByte('\n')
		if entry.Msg == "listening" {
			p.listens[entry.Key] = entry.Address
		}
		close(p.grew)
		p.grew = make(chan struct{})
		p.mu.Unlock()
	}
	p.err = p.cmd.Wait()
	close(p.ended)
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// listening waits until the process has said where it listens.
func (p *process) listening(key string) string {
	p.t.Helper()
	deadline := time.After(patience)
	for {
		p.mu.Lock()
		address, grew := p.listens[key], p.grew
		p.mu.Unlock()
		if address != "" {
			return address
		}
		select {
		case <-grew:
		case <-p.ended:
			p.t.Fatalf("the process ended (%v) before it listened on %s:\n%s", p.err, key, p.output())
		case <-deadline:
			p.t.Fatalf("the process does not listen on %s:\n%s", key, p.output())
		}
	}
}

// stop asks the process to end, and wants it to end well.
func (p *process) stop() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.Equal(p.t, 0, p.wait(), "exit code")
}

// kill ends the process as a power cut would end it, as far as the process can tell.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// wait returns the exit code.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatalf("the process does not end:\n%s", p.output())
		return -1
	}
}

// call makes a request to the API and decodes the answer into out when that is not nil.
func (p *process) call(method, path string, body, out any) int {
	p.t.Helper()
	var payload io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		require.NoError(p.t, err)
		payload = bytes.NewReader(raw)
	}
	req, err := http.NewRequest(method, "http://"+p.api+path, payload)
	require.NoError(p.t, err)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(p.t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(p.t, err)
	if out != nil {
		require.NoError(p.t, json.Unmarshal(raw, out), "%s %s: %d %s", method, path, resp.StatusCode, raw)
	}
	return resp.StatusCode
}

// must makes a request that has to succeed.
func (p *process) must(method, path string, body, out any) {
	p.t.Helper()
	var raw json.RawMessage
	status := p.call(method, path, body, &raw)
	require.Less(p.t, status, 300, "%s %s: %s", method, path, raw)
	if out != nil {
		require.NoError(p.t, json.Unmarshal(raw, out))
	}
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
