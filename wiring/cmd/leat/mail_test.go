package main

import (
	"encoding/json"
	"net"
	"sync"
	"testing"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/wiring/cmd/leat/leattest"
)

// mailServer is an SMTP server that a test owns.
type mailServer struct{ *leattest.MailServer }

func startMailServer(t testing.TB, answer func(to string) *smtp.SMTPError) *mailServer {
	t.Helper()
	return &mailServer{leattest.StartMailServer(t, answer)}
}

// settings lets the program send its mails here.
func (m *mailServer) settings() []string { return m.Settings() }

func (m *mailServer) received() []leattest.Mail { return m.Received() }

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
		got = append(got, m.To)
		require.Equal(t, "<"+sent[m.To].MessageID+">", m.MessageID)
	}
	require.ElementsMatch(t, []string{"ada@example.com", "later@example.com"}, got)
	p.stop()
}

func TestAMailServerThatIsNotThere(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	nobody := &leattest.MailServer{Address: l.Addr().String()}
	require.NoError(t, l.Close())
	p := serve(t, "leat", t.TempDir(), nobody.Settings()...)
	p.invite("ada@example.com")
	p.eventually("the outcome", func() bool { return len(p.outcomes("notification.failed")) == 1 })
	failed := p.outcomes("notification.failed")["ada@example.com"]
	require.False(t, failed.Permanent)
	require.Contains(t, failed.Error, nobody.Address)
	p.stop()
}
