package devinbox_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/smtp"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leat-dev/leat/adapters/devinbox"
	"github.com/leat-dev/leat/adapters/smtpmail"
	"github.com/leat-dev/leat/handlers/email"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, cfg devinbox.Config) (*devinbox.Inbox, *clockwork.FakeClock) {
	t.Helper()
	clock := clockwork.NewFakeClock()
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	inbox, err := devinbox.New(cfg, clock, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.Empty(t, inbox.Addr())
	require.NoError(t, inbox.Listen())
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- inbox.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-done)
	})
	return inbox, clock
}

func mailer(t *testing.T, inbox *devinbox.Inbox) *smtpmail.Mailer {
	t.Helper()
	addr, err := net.ResolveTCPAddr("tcp", inbox.Addr())
	require.NoError(t, err)
	m, err := smtpmail.New(smtpmail.Config{Host: addr.IP.String(), Port: addr.Port, From: "Leat <leat@example.com>"}, clockwork.NewRealClock())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	inbox, clock := start(t, devinbox.Config{})
	changed := inbox.Changed()
	require.NoError(t, mailer(t, inbox).Send(t.Context(), email.Message{
		ID: "abc@example.com", To: email.Address{Address: "grace@example.com", Name: "Grace Höpper"},
		Subject: "Grüße an alle – ✓", Text: "Hallo Grace,\n.\nzwei Zeilen\n", HTML: "<p>Hallo <b>Grace</b></p>",
	}))
	<-changed
	mails := inbox.Mails()
	require.Len(t, mails, 1)
	got := mails[0]
	got.Text = strings.ReplaceAll(got.Text, "\r\n", "\n")
	require.Equal(t, devinbox.Mail{
		ID: got.ID, From: "Leat <leat@example.com>", To: []string{"grace@example.com"}, Subject: "Grüße an alle – ✓",
		Received: clock.Now().UTC(), Text: "Hallo Grace,\n.\nzwei Zeilen\n", HTML: "<p>Hallo <b>Grace</b></p>", MessageID: "abc@example.com",
	}, got)

	found, ok := inbox.Mail(got.ID)
	require.True(t, ok)
	require.Equal(t, mails[0], found)
	_, ok = inbox.Mail("nothing")
	require.False(t, ok)
}

func TestKeepsTheNewest(t *testing.T) {
	t.Parallel()
	inbox, _ := start(t, devinbox.Config{Keep: 3})
	m := mailer(t, inbox)
	for i := range 5 {
		require.NoError(t, m.Send(t.Context(), email.Message{To: email.Address{Address: "a@example.com"}, Subject: fmt.Sprint(i), Text: "x"}))
	}
	var subjects []string
	for _, mail := range inbox.Mails() {
		subjects = append(subjects, mail.Subject)
	}
	require.Equal(t, []string{"4", "3", "2"}, subjects)
}

func TestRefusesWhatIsTooLarge(t *testing.T) {
	t.Parallel()
	inbox, _ := start(t, devinbox.Config{})
	err := smtp.SendMail(inbox.Addr(), nil, "a@example.com", []string{"b@example.com"},
		[]byte("Subject: big\r\n\r\n"+strings.Repeat(strings.Repeat("x", 998)+"\r\n", devinbox.MaxSize/1000+1)))
	require.ErrorContains(t, err, "552")
	require.Empty(t, inbox.Mails())
}

func TestEndsWithOpenConnections(t *testing.T) {
	t.Parallel()
	inbox, _ := start(t, devinbox.Config{})
	conn, err := net.Dial("tcp", inbox.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() }) // runs before Run has to end; reading shows that it was served
	_, err = conn.Read(make([]byte, 3))
	require.NoError(t, err)
	idle, err := net.Dial("tcp", inbox.Addr())
	require.NoError(t, err)
	_, err = idle.Read(make([]byte, 3))
	require.NoError(t, err) // stays open: Run must end all the same
}

func TestRunThatIsStoppedAtOnce(t *testing.T) {
	t.Parallel()
	inbox, err := devinbox.New(devinbox.Config{Listen: "localhost:0"}, clockwork.NewRealClock(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	require.NoError(t, inbox.Run(ctx))
}

func TestConfig(t *testing.T) {
	t.Parallel()
	require.Empty(t, devinbox.Config{}.Validate())
	require.Empty(t, devinbox.Config{Listen: "[::1]:0"}.Validate())
	for listen, want := range map[string]string{
		"0.0.0.0:1025":     "can be reached from elsewhere",
		":1025":            "can be reached from elsewhere",
		"192.168.1.1:1025": "can be reached from elsewhere",
		"127.0.0.1":        "is no address",
		"127.0.0.1:smtp":   "is no port",
	} {
		_, err := devinbox.New(devinbox.Config{Listen: listen}, clockwork.NewRealClock(), slog.New(slog.DiscardHandler))
		require.ErrorContains(t, err, want, listen)
		require.ErrorContains(t, err, "inbox.listen: ")
	}
	require.ErrorContains(t, devinbox.Config{Keep: -1}.Validate()[0], "inbox.keep: ")
}

func TestTheAddressIsTaken(t *testing.T) {
	t.Parallel()
	first, _ := start(t, devinbox.Config{})
	second, err := devinbox.New(devinbox.Config{Listen: first.Addr()}, clockwork.NewRealClock(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	require.ErrorContains(t, second.Run(ctx), "inbox.listen: ")
}
