package smtpmail_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leat-dev/leat/adapters/smtpmail"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a mail server that does what a test wants. The hooks may be nil; n counts calls from 1
// over all connections.
type server struct {
	*smtp.Server
	addr *net.TCPAddr

	onMail, onRcpt, onData func(c *smtp.Conn, n int) error
	wantUser, wantPassword string

	mu          sync.Mutex
	calls       map[string]int
	connections int
	taken       []taken
}

type taken struct {
	from, to, content string
}

func serve(t *testing.T, change func(*server)) *server {
	t.Helper()
	s := &server{calls: map[string]int{}}
	s.Server = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.connections++
		return &session{s: s, c: c}, nil
	}))
	s.Domain = "localhost"
	s.AllowInsecureAuth = true
	s.ErrorLog = log.New(io.Discard, "", 0)
	if change != nil {
		change(s)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.addr = l.Addr().(*net.TCPAddr)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		_ = l.Close() // Close does not know of it until Serve has begun
		_ = s.Close()
		<-done
	})
	return s
}

func (s *server) config() smtpmail.Config {
	return smtpmail.Config{Host: "127.0.0.1", Port: s.addr.Port, From: "Leat <leat@example.com>"}
}

func (s *server) mailer(t *testing.T, clock clockwork.Clock, change func(*smtpmail.Config)) *smtpmail.Mailer {
	t.Helper()
	cfg := s.config()
	if change != nil {
		change(&cfg)
	}
	m, err := smtpmail.New(cfg, clock)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

func (s *server) call(name string, hook func(*smtp.Conn, int) error, c *smtp.Conn) error {
	s.mu.Lock()
	s.calls[name]++
	n := s.calls[name]
	s.mu.Unlock()
	if hook == nil {
		return nil
	}
	return hook(c, n)
}

func (s *server) mails() []taken {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]taken(nil), s.taken...)
}

func (s *server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.connections
}

type session struct {
	s        *server
	c        *smtp.Conn
	from, to string
	known    bool
}

func (x *session) AuthMechanisms() []string {
	if x.s.wantUser == "" {
		return nil
	}
	return []string{sasl.Plain}
}

func (x *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != x.s.wantUser || password != x.s.wantPassword {
			return smtp.ErrAuthFailed
		}
		x.known = true
		return nil
	}), nil
}

func (x *session) Reset()        {}
func (x *session) Logout() error { return nil }

func (x *session) Mail(from string, _ *smtp.MailOptions) error {
	if x.s.wantUser != "" && !x.known {
		return smtp.ErrAuthRequired
	}
	x.from = from
	return x.s.call("mail", x.s.onMail, x.c)
}

func (x *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	x.to = to
	return x.s.call("rcpt", x.s.onRcpt, x.c)
}

func (x *session) Data(r io.Reader) error {
	content, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if err := x.s.call("data", x.s.onData, x.c); err != nil {
		return err
	}
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	x.s.taken = append(x.s.taken, taken{from: x.from, to: x.to, content: string(content)})
	return nil
}

func answer(code int) error {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 0, 0}, Message: "because"}
}

func always(code int) func(*smtp.Conn, int) error {
	return func(*smtp.Conn, int) error { return answer(code) }
}

func drop(c *smtp.Conn, _ int) error {
	_ = c.Conn().Close()
	return answer(451)
}

// certificate makes a certificate for 127.0.0.1 and the pool that trusts it.
func certificate(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	parsed, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, pool
}
