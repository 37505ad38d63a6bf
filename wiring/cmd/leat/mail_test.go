package main

import (
	"encoding/json"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-smtp"
	"github.com/jhillyerd/enmime/v2"
	"github.com/stretchr/testify/require"
)

// mailServer is an SMTP server that a test owns.
type mailServer struct {
	address string
	// answer says what becomes of a mail to the address; nil: it is taken.
	answer func(to string) *smtp.SMTPError

	mu    sync.Mutex
	mails []receivedMail
}

type receivedMail struct{ to, subject, messageID string }

func startMailServer(t testing.TB, answer func(to string) *smtp.SMTPError) *mailServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	m := &mailServer{address: l.Addr().String(), answer: answer}
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

// settings lets the program send its mails here.
func (m *mailServer) settings() []string {
	host, port, _ := net.SplitHostPort(m.address)
	return []string{
		"smtp.host=" + host, "smtp.port=" + port, "smtp.tls=none", "email.initial=10ms", "email.max=50ms",
		"email.timeout=2s", "email.lease=4s",
	}
}

func (m *mailServer) received() []receivedMail {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]receivedMail(nil), m.mails...)
}

type mailSession struct {
	server *mailServer
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
	s.server.mails = append(s.server.mails, receivedMail{
		to: s.to, subject: parsed.GetHeader("Subject"), messageID: parsed.GetHeader("Message-ID"),
	})
	return nil
}

type outcome struct {
	To, Template, Error, MessageID string
	Permanent                      bool
	Attempts                       int
	Duration                       *int64 `json:"duration_ms"`
}

// outcomes returns the data of the tenant's events of the type, by recipient.
func (p *process) outcomes(typ string) map[string]outcome {
	p.t.Helper()
	found := map[string]outcome{}
	for _, e := range p.events("type=" + typ) {
		var o outcome
		require.NoError(p.t, json.Unmarshal(e.Event.Data, &o))
		require.NotContains(p.t, found, o.To, "two outcomes of one mail")
		found[o.To] = o
	}
	return found
}

func (p *process) invite(address string) {
	p.t.Helper()
	p.must("POST", "/v1/tenants/dev/invitations", map[string]any{"email": address, "name": "Somebody", "role": "developer"}, nil)
}

// Scenario C: the outcome of each mail comes back as an event, whatever the mail server says.
func TestScenarioCOutcomes(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	later := 2
	mail := startMailServer(t, func(to string) *smtp.SMTPError {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case to == "gone@example.com":
			return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such mailbox"}
		case to == "busy@example.com":
			return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "try again"}
		case to == "later@example.com" && later > 0:
			later--
			return &smtp.SMTPError{Code: 450, EnhancedCode: smtp.EnhancedCode{4, 2, 0}, Message: "greylisted"}
		}
		return nil
	})
	p := serve(t, "leat", t.TempDir(), mail.settings()...)
	for _, to := range []string{"ada@example.com", "gone@example.com", "busy@example.com", "later@example.com"} {
		p.invite(to)
	}
	p.eventually("outcomes", func() bool {
		return len(p.outcomes("notification.sent")) == 2 && len(p.outcomes("notification.failed")) == 2
	})

	sent, failed := p.outcomes("notification.sent"), p.outcomes("notification.failed")
	require.NotNil(t, sent["ada@example.com"].Duration)
	require.Equal(t, 1, sent["ada@example.com"].Attempts)
	require.Equal(t, 3, sent["later@example.com"].Attempts)
	require.True(t, failed["gone@example.com"].Permanent)
	require.Contains(t, failed["gone@example.com"].Error, "no such mailbox")
	require.Equal(t, 1, failed["gone@example.com"].Attempts)
	require.False(t, failed["busy@example.com"].Permanent)
	require.Contains(t, failed["busy@example.com"].Error, "try again")
	require.Equal(t, 5, failed["busy@example.com"].Attempts)

	var got []string
	for _, m := range mail.received() {
		got = append(got, m.to)
		require.Equal(t, "<"+sent[m.to].MessageID+">", m.messageID)
	}
	require.ElementsMatch(t, []string{"ada@example.com", "later@example.com"}, got)
	p.stop()
}

func TestAMailServerThatIsNotThere(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	nobody := &mailServer{address: l.Addr().String()}
	require.NoError(t, l.Close())
	p := serve(t, "leat", t.TempDir(), nobody.settings()...)
	p.invite("ada@example.com")
	p.eventually("the outcome", func() bool { return len(p.outcomes("notification.failed")) == 1 })
	failed := p.outcomes("notification.failed")["ada@example.com"]
	require.False(t, failed.Permanent)
	require.Contains(t, failed.Error, nobody.address)
	p.stop()
}
