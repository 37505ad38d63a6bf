// Package natstest starts NATS servers as processes of their own, for tests that kill, restart and
// wipe them. The server is built from the module's own version of it. Nothing here is for production.
package natstest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// Options says how a server is started. The zero value is one with JetStream and without log-in.
type Options struct {
	User, Password string
	Token          string
	Creds          *Creds // users log in with its file
	TLSCert        string // paths of PEM files; the server then speaks TLS only
	TLSKey         string
	TLSCA          string // clients must show a certificate of this authority
	MaxPayload     int    // bytes
	MaxStore       int64  // bytes that streams may take on disk
	NoJetStream    bool

	cluster, name string
	port, routes  int   // 0: any
	peers         []int // route ports of the cluster
}

// Server is a nats-server process.
type Server struct {
	tb    testing.TB
	opts  Options
	dir   string
	port  int
	tls   bool
	mu    sync.Mutex
	cmd   *exec.Cmd
	ended chan struct{}
}

// patience bounds every wait of this package.
const patience = 30 * time.Second

// StartServer starts a server at a free port and waits until it serves JetStream. The test's end
// ends it.
func StartServer(tb testing.TB, opts Options) *Server {
	tb.Helper()
	s := NewServer(tb, opts)
	s.Start()
	return s
}

// OnePerTest returns a function that starts a server for a test the first time it is asked, and
// returns the same one to that test afterwards. The end of the test ends it.
func OnePerTest() func(tb testing.TB) *Server {
	var (
		mu      sync.Mutex
		servers = map[testing.TB]*Server{}
	)
	return func(tb testing.TB) *Server {
		tb.Helper()
		mu.Lock()
		s := servers[tb]
		mu.Unlock()
		if s == nil {
			s = StartServer(tb, Options{}) // a test asks for one after the other
			mu.Lock()
			servers[tb] = s
			mu.Unlock()
		}
		return s
	}
}

// NewServer reserves a port and a folder for a server that is not started yet.
func NewServer(tb testing.TB, opts Options) *Server {
	tb.Helper()
	s := &Server{tb: tb, opts: opts, dir: tb.TempDir(), port: opts.port, tls: opts.TLSCert != ""}
	if s.port == 0 {
		s.port = FreePort(tb)
	}
	return s
}

// URL is where the server is, whether it runs or not.
func (s *Server) URL() string {
	scheme := "nats"
	if s.tls {
		scheme = "tls"
	}
	return fmt.Sprintf("%s://127.0.0.1:%d", scheme, s.port)
}

// Start starts the server, with the data that it had before, and waits until it serves.
func (s *Server) Start() {
	s.tb.Helper()
	s.launch()
	if s.tls || s.opts.NoJetStream {
		s.wait("the port answers", func() error {
			c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", s.port), time.Second)
			if err == nil {
				err = c.Close()
			}
			return err
		})
		return
	}
	s.wait("JetStream serves", s.serves)
}

// launch starts the process and does not wait for what it does.
func (s *Server) launch() {
	s.tb.Helper()
	config := filepath.Join(s.dir, "nats.conf")
	if err := os.WriteFile(config, []byte(s.config()), 0o600); err != nil {
		s.tb.Fatal(err)
	}
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.tb.Fatal(err)
	}
	cmd := exec.Command(binary(s.tb), "-c", config)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		s.tb.Fatal(err)
	}
	_ = log.Close() // the process has it
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	s.mu.Lock()
	s.cmd, s.ended = cmd, ended
	s.mu.Unlock()
	s.tb.Cleanup(s.Kill)
}

// Kill ends the process as a power cut would. Its data stay.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Stop asks the process to end and waits for it.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

func (s *Server) end(sig os.Signal) {
	s.mu.Lock()
	cmd, ended := s.cmd, s.ended
	s.cmd = nil
	s.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = cmd.Process.Signal(sig)
	<-ended
}

// Wipe takes all data away from a server that does not run.
func (s *Server) Wipe() {
	s.tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		s.tb.Fatal("wipe a server that runs")
	}
	if err := os.RemoveAll(filepath.Join(s.dir, "store")); err != nil {
		s.tb.Fatal(err)
	}
}

// Set changes the options; they hold from the next Start.
func (s *Server) Set(change func(o *Options)) { change(&s.opts) }

// Connect returns a connection with the server's log-in, closed at the test's end.
func (s *Server) Connect(tb testing.TB) *nats.Conn {
	tb.Helper()
	c, err := nats.Connect(s.URL(), s.login()...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	return c
}

func (s *Server) login() []nats.Option {
	var options []nats.Option
	if s.opts.User != "" {
		options = append(options, nats.UserInfo(s.opts.User, s.opts.Password))
	}
	if s.opts.Creds != nil {
		options = append(options, nats.UserCredentials(s.opts.Creds.Path))
	}
	if s.opts.Token != "" {
		options = append(options, nats.Token(s.opts.Token))
	}
	return options
}

func (s *Server) serves() error {
	c, err := nats.Connect(s.URL(), append(s.login(), nats.Timeout(time.Second))...)
	if err != nil {
		return err
	}
	defer c.Close()
	js, err := c.JetStream(nats.MaxWait(time.Second))
	if err != nil {
		return err
	}
	_, err = js.AccountInfo()
	return err
}

// wait looks again and again until there is no error.
func (s *Server) wait(what string, look func() error) {
	s.tb.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		err := look()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-s.ended:
			s.tb.Fatalf("nats-server ended while waiting until %s:\n%s", what, s.Log())
		case <-deadline.C:
			s.tb.Fatalf("waiting until %s took longer than %v: %v\n%s", what, patience, err, s.Log())
		}
	}
}

func (s *Server) logFile() string { return filepath.Join(s.dir, "nats.log") }

// Log is what the server has said.
func (s *Server) Log() string {
	text, err := os.ReadFile(s.logFile())
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (s *Server) config() string {
	o := s.opts
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("listen: 127.0.0.1:%d", s.port)
	if o.name != "" {
		line("server_name: %s", o.name)
	}
	if o.MaxPayload > 0 {
		line("max_payload: %d", o.MaxPayload)
	}
	if o.User != "" {
		line("authorization { user: %q, password: %q }", o.User, o.Password)
	}
	if o.Token != "" {
		line("authorization { token: %q }", o.Token)
	}
	if o.Creds != nil {
		line("%s", o.Creds.config)
	}
	if !o.NoJetStream {
		line("jetstream { store_dir: %q", filepath.Join(s.dir, "store"))
		if o.MaxStore > 0 {
			line("max_file_store: %d", o.MaxStore)
		}
		line("}")
	}
	if o.TLSCert != "" {
		line("tls { cert_file: %q, key_file: %q", o.TLSCert, o.TLSKey)
		if o.TLSCA != "" {
			line("ca_file: %q, verify: true", o.TLSCA)
		}
		line("}")
	}
	if o.cluster != "" {
		line("cluster { name: %s, listen: 127.0.0.1:%d, routes: [", o.cluster, o.routes)
		for _, port := range o.peers {
			line("nats://127.0.0.1:%d", port)
		}
		line("] }")
	}
	return b.String()
}

// FreePort returns a port that nobody listens at now.
func FreePort(tb testing.TB) int {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}
