// Package leattest runs the program as processes of its own, for tests that talk to it, kill it and
// look at what is left.
package leattest

import (
	"bufio"
	"bytes"
	"encoding/json"
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
)

// Patience bounds every wait for a process, in real time.
const Patience = 30 * time.Second

// Program is what is run.
type Program struct {
	Path string
	Env  []string // in addition to what the test has, less what would configure the program
	// Quiet keeps the log of a process out of what a failed test says.
	Quiet bool
}

// Process is a running program with its log.
type Process struct {
	T   testing.TB
	API string // host:port; after Serve or Ready
	Ops string

	cmd   *exec.Cmd
	ended chan struct{}
	err   error // of Wait; after ended

	mu      sync.Mutex
	log     bytes.Buffer
	listens map[string]string
	grew    chan struct{}
}

// Command is a call of the program that has yet to be made.
func (p Program) Command(args ...string) *exec.Cmd {
	cmd := exec.Command(p.Path, args...)
	cmd.Env = append(clean(os.Environ()), p.Env...)
	return cmd
}

// Serve starts the program on free ports with its data in the folder, and waits until it is ready.
func (p Program) Serve(t testing.TB, dir string, settings ...string) *Process {
	t.Helper()
	running := p.Launch(t, dir, settings...)
	if !running.Ready() {
		t.Fatalf("the process ended (%v) before it was ready:\n%s", running.err, running.Output())
	}
	return running
}

// Launch starts it and does not wait. A setting is key=value, or a flag of its own, as --config=leat.yaml.
func (p Program) Launch(t testing.TB, dir string, settings ...string) *Process {
	t.Helper()
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
	running := &Process{T: t, ended: make(chan struct{}), listens: map[string]string{}, grew: make(chan struct{})}
	running.cmd = p.Command(args...)
	running.cmd.Dir = dir
	stderr, err := running.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, running.cmd.Start())
	go running.read(stderr)
	t.Cleanup(func() {
		if !running.HasEnded() {
			running.Kill()
		}
		if t.Failed() && !p.Quiet {
			t.Logf("log of the process:\n%s", running.Output())
		}
	})
	return running
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

func (p *Process) read(stderr io.Reader) {
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

// Output is what the process has logged so far.
func (p *Process) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// Ready waits until the process is ready; false when it has ended before.
func (p *Process) Ready() bool {
	p.T.Helper()
	var ok bool
	if p.Ops, ok = p.Listening("ops.listen"); !ok {
		return false
	}
	if roles := strings.Join(p.cmd.Args, " "); !strings.Contains(roles, "roles=") || strings.Contains(roles, "roles=api") || strings.Contains(roles, "broadcast") {
		if p.API, ok = p.Listening("http.listen"); !ok {
			return false
		}
	}
	deadline := time.Now().Add(Patience)
	for time.Now().Before(deadline) {
		resp, err := http.Get("http://" + p.Ops + "/readyz")
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return true
			}
		}
		select {
		case <-p.ended:
			return false
		case <-time.After(2 * time.Millisecond):
		}
	}
	p.T.Fatalf("the process does not get ready:\n%s", p.Output())
	return false
}

// Listening waits until the process has said where it listens, as the setting is called; false when it
// has ended before.
func (p *Process) Listening(key string) (string, bool) {
	p.T.Helper()
	deadline := time.After(Patience)
	for {
		p.mu.Lock()
		address, grew := p.listens[key], p.grew
		p.mu.Unlock()
		if address != "" {
			return address, true
		}
		select {
		case <-grew:
		case <-p.ended:
			return "", false
		case <-deadline:
			p.T.Fatalf("the process does not listen on %s:\n%s", key, p.Output())
		}
	}
}

// ID is the process's.
func (p *Process) ID() int { return p.cmd.Process.Pid }

// Dir is the folder that it was started in.
func (p *Process) Dir() string { return p.cmd.Dir }

// Ended is closed when the process is gone.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// HasEnded tells whether it is.
func (p *Process) HasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// Terminate asks the process to end.
func (p *Process) Terminate() { _ = p.cmd.Process.Signal(syscall.SIGTERM) }

// Stop asks the process to end, and wants it to end well.
func (p *Process) Stop() {
	p.T.Helper()
	require.NoError(p.T, p.cmd.Process.Signal(syscall.SIGTERM))
	require.Equal(p.T, 0, p.Wait(), "exit code")
}

// Kill ends the process as a power cut would end it, as far as the process can tell.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// Wait returns the exit code, -1 of a process that was killed.
func (p *Process) Wait() int {
	p.T.Helper()
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(Patience):
		p.T.Fatalf("the process does not end:\n%s", p.Output())
		return -1
	}
}

// Call makes a request to the API and decodes the answer into out when that is not nil.
func (p *Process) Call(method, path string, body, out any) int {
	p.T.Helper()
	var payload io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		require.NoError(p.T, err)
		payload = bytes.NewReader(raw)
	}
	req, err := http.NewRequest(method, "http://"+p.API+path, payload)
	require.NoError(p.T, err)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(p.T, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(p.T, err)
	if out != nil {
		require.NoError(p.T, json.Unmarshal(raw, out), "%s %s: %d %s", method, path, resp.StatusCode, raw)
	}
	return resp.StatusCode
}

// Must makes a request that has to succeed.
func (p *Process) Must(method, path string, body, out any) {
	p.T.Helper()
	var raw json.RawMessage
	status := p.Call(method, path, body, &raw)
	require.Less(p.T, status, 300, "%s %s: %s", method, path, raw)
	if out != nil {
		require.NoError(p.T, json.Unmarshal(raw, out))
	}
}
