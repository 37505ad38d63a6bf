package leattest

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-smtp"
	"github.com/jhillyerd/enmime/v2"
	"github.com/stretchr/testify/require"
)

// MailServer is an SMTP server that a test owns.
type MailServer struct {
	Address string
	answer  func(to string) *smtp.SMTPError // may be nil

	mu    sync.Mutex
	mails []Mail
}

// Mail is one that the server took.
type Mail struct{ To, Subject, MessageID string }

// StartMailServer starts one; answer says what becomes of a mail to an address, nil: it is taken.
func StartMailServer(t testing.TB, answer func(to string) *smtp.SMTPError) *MailServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	m := &MailServer{Address: l.Addr().String(), answer: answer}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &mailSession{server: m}, nil }))
	server.Domain = "localhost"
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-ended
	})
	return m
}

// Settings let the program send its mails here.
func (m *MailServer) Settings() []string {
	host, port, _ := net.SplitHostPort(m.Address)
	return []string{
		"smtp.host=" + host, "smtp.port=" + port, "smtp.tls=none", "email.initial=10ms", "email.max=50ms",
		"email.timeout=2s", "email.lease=8s",
	}
}

// Received returns the mails that were taken, in their order.
func (m *MailServer) Received() []Mail {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]Mail(nil), m.mails...)
}

type mailSession struct {
	server *MailServer
	to     string
}

func (s *mailSession) Reset()                               { s.to = "" }
func (s *mailSession) Logout() error                        { return nil }
func (s *mailSession) Mail(string, *smtp.MailOptions) error { return nil }
func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = to
	if s.server.answer != nil {
		if refusal := s.server.answer(to); refusal != nil {
			return refusal
		}
	}
	return nil
}

func (s *mailSession) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	parsed, err := enmime.ReadEnvelope(strings.NewReader(string(raw)))
	if err != nil {
		return err
	}
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.mails = append(s.server.mails, Mail{
		To: s.to, Subject: parsed.GetHeader("Subject"), MessageID: parsed.GetHeader("Message-ID"),
	})
	return nil
}
