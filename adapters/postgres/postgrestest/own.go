package postgrestest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
)

// Server is a private server that a test stops and starts. It listens on a port of this machine and
// asks the user "leat" for a password.
type Server struct {
	tb       testing.TB
	dir, bin string
	password string
	port     int
	as       func(*exec.Cmd)

	mu    sync.Mutex
	shell *exec.Cmd
	end   io.WriteCloser
}

// NewServer makes a server that does not run yet. Without binaries the test is skipped, or fails where
// CI=true.
func NewServer(tb testing.TB, password string) *Server {
	tb.Helper()
	s, err := newServer(tb, password)
	if err != nil {
		missing(tb, err)
	}
	return s
}

// StartServer is NewServer, started.
func StartServer(tb testing.TB) *Server {
	tb.Helper()
	s := NewServer(tb, "secret")
	s.Start()
	return s
}

func newServer(tb testing.TB, password string) (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "leatpg") // not the test's: its parent is closed to other users
	if err != nil {
		return nil, err
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &Server{tb: tb, dir: dir, bin: bin, password: password}
	secret := filepath.Join(dir, "password")
	if err := os.WriteFile(secret, []byte(password), 0o644); err != nil {
		return nil, err
	}
	if s.as, err = giveAway(dir); err != nil {
		return nil, err
	}
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", filepath.Join(dir, "data"), "-U", "leat", "--auth=scram-sha-256",
		"--pwfile="+secret, "--encoding=UTF8", "--locale=C", "--no-sync")
	initdb.Dir = dir
	s.as(initdb)
	if said, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, said)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.port = l.Addr().(*net.TCPAddr).Port
	return s, l.Close()
}

// URL is where the server's database "postgres" is, whether it runs or not.
func (s *Server) URL() string { return s.URLAs("leat", s.password) }

// URLAs is the URL for another user or another password.
func (s *Server) URLAs(user, password string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(user, password), Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)),
		Path: "/postgres", RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Start starts the server, with the data that it had before, and waits until it answers.
func (s *Server) Start() {
	s.tb.Helper()
	// The shell ends the server when the pipe closes, also by the end of this process.
	const script = `"$@" & server=$!; read end; kill -QUIT $server; wait $server`
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.tb.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	shell := exec.Command("sh", "-c", script, "sh", filepath.Join(s.bin, "postgres"), "-D", filepath.Join(s.dir, "data"), "-k", s.dir,
		"-p", strconv.Itoa(s.port), "-c", "listen_addresses=127.0.0.1", "-c", "shared_buffers=64MB")
	shell.Dir, shell.Stdout, shell.Stderr = s.dir, log, log
	s.as(shell)
	end, err := shell.StdinPipe()
	if err == nil {
		err = shell.Start()
	}
	if err != nil {
		s.tb.Fatal(err)
	}
	s.mu.Lock()
	s.shell, s.end = shell, end
	s.mu.Unlock()
	s.tb.Cleanup(s.Kill)
	if err := answers(s.URL()); err != nil {
		said, _ := os.ReadFile(filepath.Join(s.dir, "log"))
		s.tb.Fatal(errors.Join(fmt.Errorf("the server does not answer: %w\n%s", err, said)))
	}
}

// Kill ends the server at once, its clients' connections with it. Its data stay, as after a crash.
func (s *Server) Kill() {
	s.mu.Lock()
	shell, end := s.shell, s.end
	s.shell = nil
	s.mu.Unlock()
	if shell != nil {
		_ = end.Close()
		_ = shell.Wait()
	}
}
