package smtpmail_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/smtpmail"
	"github.com/leat-dev/leat/handlers/email"
)

func message() email.Message {
	return email.Message{
		ID: "abc@example.com", To: email.Address{Address: "grace@example.com", Name: "Grace Höpper"},
		Subject: "Grüße ✓", Text: "Hallo\n.\nEnde", HTML: "<p>Hallo</p>",
	}
}

func TestSend(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	clock := clockwork.NewFakeClockAt(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	require.NoError(t, s.mailer(t, clock, nil).Send(t.Context(), message()))

	require.Len(t, s.mails(), 1)
	got := s.mails()[0]
	require.Equal(t, "leat@example.com", got.from)
	require.Equal(t, "grace@example.com", got.to)
	parsed, err := mail.ReadMessage(strings.NewReader(got.content))
	require.NoError(t, err)
	header := func(key string) string {
		value, err := new(mime.WordDecoder).DecodeHeader(parsed.Header.Get(key))
		require.NoError(t, err)
		return value
	}
	require.Equal(t, "Grüße ✓", header("Subject"))
	require.Equal(t, "<abc@example.com>", header("Message-Id"))
	require.Equal(t, "auto-generated", header("Auto-Submitted"))
	to, err := mail.ParseAddress(parsed.Header.Get("To"))
	require.NoError(t, err)
	require.Equal(t, mail.Address{Name: "Grace Höpper", Address: "grace@example.com"}, *to)
	from, err := mail.ParseAddress(parsed.Header.Get("From"))
	require.NoError(t, err)
	require.Equal(t, mail.Address{Name: "Leat", Address: "leat@example.com"}, *from)
	date, err := parsed.Header.Date()
	require.NoError(t, err)
	require.True(t, date.Equal(clock.Now()))
	for i := 0; i < len(got.content); i++ {
		require.Less(t, got.content[i], byte(0x80), "byte %d", i)
	}

	media, params, err := mime.ParseMediaType(parsed.Header.Get("Content-Type"))
	require.NoError(t, err)
	require.Equal(t, "multipart/alternative", media)
	parts := multipart.NewReader(parsed.Body, params["boundary"])
	for _, want := range []struct{ media, content string }{{"text/plain", "Hallo\n.\nEnde"}, {"text/html", "<p>Hallo</p>"}} {
		part, err := parts.NextRawPart()
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(part.Header.Get("Content-Type"), want.media))
		content, err := io.ReadAll(quotedprintable.NewReader(part))
		require.NoError(t, err)
		require.Equal(t, want.content, strings.TrimSpace(string(bytes.ReplaceAll(content, []byte("\r\n"), []byte("\n")))))
	}
}

func TestTextOnly(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	m := message()
	m.HTML, m.From = "", "other@example.com"
	require.NoError(t, s.mailer(t, clockwork.NewRealClock(), nil).Send(t.Context(), m))
	require.Equal(t, "other@example.com", s.mails()[0].from)
	require.NotContains(t, s.mails()[0].content, "multipart")
}

func TestAnswersAreClassified(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		change    func(*server)
		permanent bool
		text      string
	}{
		{"5xx to MAIL", func(s *server) { s.onMail = always(553) }, true, "MAIL: 553"},
		{"5xx to RCPT", func(s *server) { s.onRcpt = always(550) }, true, "RCPT: 550"},
		{"5xx to the content", func(s *server) { s.onData = always(554) }, true, "DATA: 554"},
		{"4xx to MAIL", func(s *server) { s.onMail = always(451) }, false, "MAIL: 451"},
		{"4xx to RCPT", func(s *server) { s.onRcpt = always(450) }, false, "RCPT: 450"},
		{"4xx to the content", func(s *server) { s.onData = always(452) }, false, "DATA: 452"},
		{"421", func(s *server) { s.onRcpt = always(421) }, false, "RCPT: 421"},
		{"dropped at MAIL", func(s *server) { s.onMail = drop }, false, "MAIL: "},
		{"dropped at RCPT", func(s *server) { s.onRcpt = drop }, false, "RCPT: "},
		{"dropped after the content", func(s *server) { s.onData = drop }, false, "DATA: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, test.change)
			err := s.mailer(t, clockwork.NewRealClock(), nil).Send(t.Context(), message())
			require.ErrorContains(t, err, test.text)
			require.Equal(t, test.permanent, email.IsPermanent(err), "got %v", err)
			require.Empty(t, s.mails())
		})
	}
}

func TestAConnectionServesSeveralMails(t *testing.T) {
	t.Parallel()
	s := serve(t, func(s *server) {
		s.onRcpt = func(_ *smtp.Conn, n int) error {
			if n == 2 {
				return answer(550) // a refused mail must not cost the connection, nor spoil the next mail
			}
			return nil
		}
	})
	m := s.mailer(t, clockwork.NewRealClock(), nil)
	for n := 1; n <= 4; n++ {
		require.Equal(t, n == 2, m.Send(t.Context(), message()) != nil)
	}
	require.Len(t, s.mails(), 3)
	require.Equal(t, 1, s.count())
}

func TestAStaleConnectionIsReplaced(t *testing.T) {
	t.Parallel()
	var kept *smtp.Conn
	s := serve(t, func(s *server) {
		s.onMail = func(c *smtp.Conn, n int) error {
			if n == 1 {
				kept = c
			}
			return nil
		}
	})
	m := s.mailer(t, clockwork.NewRealClock(), nil)
	require.NoError(t, m.Send(t.Context(), message()))
	require.NoError(t, kept.Conn().Close())
	require.NoError(t, m.Send(t.Context(), message()))
	require.Len(t, s.mails(), 2)
	require.Equal(t, 2, s.count())
}

func TestAKeptConnectionThatTheServerEndsAtMail(t *testing.T) {
	t.Parallel()
	s := serve(t, func(s *server) {
		s.onMail = func(_ *smtp.Conn, n int) error {
			if n == 2 {
				return answer(421) // after answering NOOP: as servers do that count mails
			}
			return nil
		}
	})
	m := s.mailer(t, clockwork.NewRealClock(), nil)
	require.NoError(t, m.Send(t.Context(), message()))
	require.NoError(t, m.Send(t.Context(), message()), "nothing is known about the mail: no attempt is lost")
	require.Equal(t, 2, s.count())
}

func TestAnIdleConnectionIsClosed(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{})
	s := serve(t, nil)
	proxy := relay(t, s, func() { close(gone) })
	clock := clockwork.NewFakeClock()
	m := s.mailer(t, clock, func(c *smtpmail.Config) { c.Port = proxy; c.Idle = time.Minute })
	require.NoError(t, m.Send(t.Context(), message()))
	clock.Advance(time.Minute)
	<-gone
}

// relay stands between a mailer and a server; ended is called when a mailer has closed a connection.
func relay(t *testing.T, s *server, ended func()) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		in, err := l.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", s.addr.String())
		if err != nil {
			return
		}
		var both sync.WaitGroup
		both.Go(func() {
			_, _ = io.Copy(out, in)
			_ = out.Close()
			ended()
		})
		both.Go(func() {
			_, _ = io.Copy(in, out)
			_ = in.Close()
		})
		both.Wait()
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().(*net.TCPAddr).Port
}

func TestMailsSideBySide(t *testing.T) {
	t.Parallel()
	var meet sync.WaitGroup
	meet.Add(3)
	s := serve(t, func(s *server) {
		s.onData = func(_ *smtp.Conn, n int) error {
			if n <= 3 {
				meet.Done()
				meet.Wait()
			}
			return nil
		}
	})
	m := s.mailer(t, clockwork.NewRealClock(), nil)
	for round := range 2 {
		errs := make(chan error)
		for range 3 {
			go func() { errs <- m.Send(t.Context(), message()) }()
		}
		for range 3 {
			require.NoError(t, <-errs, "round %d", round)
		}
	}
	require.Len(t, s.mails(), 6)
	require.Equal(t, 3, s.count())
}

func TestAServerThatHangs(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"mail", "data"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			reached, release := make(chan struct{}), make(chan struct{})
			hang := func(*smtp.Conn, int) error {
				close(reached)
				<-release
				return nil
			}
			s := serve(t, func(s *server) {
				if step == "mail" {
					s.onMail = hang
				} else {
					s.onData = hang
				}
			})
			defer close(release)
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				<-reached
				cancel()
			}()
			err := s.mailer(t, clockwork.NewRealClock(), nil).Send(ctx, message())
			require.Error(t, err)
			require.False(t, email.IsPermanent(err))
		})
	}
}

func TestAStepTakesNoLongerThanItsTimeout(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts and says nothing
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	m, err := smtpmail.New(smtpmail.Config{
		Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, Timeout: 50 * time.Millisecond,
	}, clockwork.NewRealClock())
	require.NoError(t, err)
	err = m.Send(t.Context(), message())
	require.ErrorContains(t, err, "greeting: ")
	require.False(t, email.IsPermanent(err))
}

// A mail of which only a part was written must not be ended: servers would deliver the part.
func TestAMailThatIsCutIsNotDelivered(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	passed, returned := make(chan []byte, 1), make(chan struct{})
	go func() {
		in, err := l.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", s.addr.String())
		if err != nil {
			return
		}
		go func() {
			_, _ = io.Copy(in, out)
			_ = in.Close()
		}()
		var seen []byte
		buf := make([]byte, 4096)
		for {
			n, err := in.Read(buf)
			seen = append(seen, buf[:n]...)
			_, _ = out.Write(buf[:n])
			if ctx.Err() == nil && bytes.Contains(seen, []byte("xxxxxxxxxx")) {
				cancel() // in the middle of the content, which is more than the connection's buffers hold
				<-returned
			}
			if err != nil {
				break
			}
		}
		_ = out.Close()
		passed <- seen
	}()
	defer func() { _ = l.Close() }()
	m := s.mailer(t, clockwork.NewRealClock(), func(c *smtpmail.Config) { c.Port = l.Addr().(*net.TCPAddr).Port })
	msg := message()
	msg.Text = strings.Repeat(strings.Repeat("x", 70)+"\n", 300_000)
	err = m.Send(ctx, msg)
	close(returned)
	require.Error(t, err)
	require.False(t, email.IsPermanent(err))
	seen := <-passed
	require.NotContains(t, string(seen), "\r\n.\r\n")
	require.NotContains(t, string(seen), "QUIT")
	require.Empty(t, s.mails())
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := l.Addr().(*net.TCPAddr).Port
	require.NoError(t, l.Close())
	m, err := smtpmail.New(smtpmail.Config{Host: "localhost", Port: port}, clockwork.NewRealClock())
	require.NoError(t, err)
	err = m.Send(t.Context(), message())
	require.ErrorContains(t, err, "mail server localhost: connect: ")
	require.False(t, email.IsPermanent(err))
}

func TestHeadersCannotBeInjected(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	m := s.mailer(t, clockwork.NewRealClock(), nil)
	for name, change := range map[string]func(*email.Message){
		"subject":             func(m *email.Message) { m.Subject = "Hi\r\nBcc: everybody@example.com" },
		"subject, LF":         func(m *email.Message) { m.Subject = "Hi\nBcc: everybody@example.com" },
		"subject, CR":         func(m *email.Message) { m.Subject = "Hi\rBcc: everybody@example.com" },
		"subject, zero":       func(m *email.Message) { m.Subject = "Hi\x00" },
		"name":                func(m *email.Message) { m.To.Name = "Grace\r\nBcc: everybody@example.com" },
		"address":             func(m *email.Message) { m.To.Address = "grace@example.com\r\nRCPT TO:<everybody@example.com>" },
		"address with more":   func(m *email.Message) { m.To.Address = "grace@example.com>\r\nDATA" },
		"two addresses":       func(m *email.Message) { m.To.Address = "grace@example.com, everybody@example.com" },
		"address with a name": func(m *email.Message) { m.To.Address = "Grace <grace@example.com>" },
		"no address":          func(m *email.Message) { m.To.Address = "grace" },
		"sender":              func(m *email.Message) { m.From = "leat@example.com\r\nBcc: everybody@example.com" },
		"encoded sender":      func(m *email.Message) { m.From = "=?utf-8?q?a=0D=0ABcc:_x@example.com?= <leat@example.com>" },
		"message id":          func(m *email.Message) { m.ID = "a@example.com>\r\nBcc: everybody@example.com" },
	} {
		msg := message()
		change(&msg)
		err := m.Send(t.Context(), msg)
		require.Error(t, err, name)
		require.True(t, email.IsPermanent(err), name)
	}
	require.Zero(t, s.count(), "no connection is opened for such a mail")
}

func TestLogIn(t *testing.T) {
	t.Parallel()
	secured, pool := certificate(t)
	for _, mode := range []string{smtpmail.TLSNone, smtpmail.TLSStart} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(s *server) {
				s.wantUser, s.wantPassword = "leat", "secret"
				s.TLSConfig = secured
			})
			use := func(password string) *smtpmail.Mailer {
				return s.mailer(t, clockwork.NewRealClock(), func(c *smtpmail.Config) {
					c.TLS, c.RootCAs, c.Username, c.Password = mode, pool, "leat", password
				})
			}
			require.NoError(t, use("secret").Send(t.Context(), message()))
			require.Len(t, s.mails(), 1)

			err := use("wrong").Send(t.Context(), message())
			require.ErrorContains(t, err, "log in: 535")
			require.False(t, email.IsPermanent(err), "it says nothing about the mail")
			require.NotContains(t, err.Error(), "wrong")
		})
	}
}

func TestStartTLSIsNotOptional(t *testing.T) {
	t.Parallel()
	secured, pool := certificate(t)
	plain := serve(t, nil)
	require.ErrorContains(t, plain.mailer(t, clockwork.NewRealClock(), func(c *smtpmail.Config) { c.TLS = smtpmail.TLSStart }).
		Send(t.Context(), message()), "offers no STARTTLS")

	tls := serve(t, func(s *server) { s.TLSConfig = secured })
	require.NoError(t, tls.mailer(t, clockwork.NewRealClock(), func(c *smtpmail.Config) {
		c.TLS, c.RootCAs = smtpmail.TLSStart, pool
	}).Send(t.Context(), message()))
	require.ErrorContains(t, tls.mailer(t, clockwork.NewRealClock(), func(c *smtpmail.Config) { c.TLS = smtpmail.TLSStart }).
		Send(t.Context(), message()), "certificate")
	require.Len(t, tls.mails(), 1)
	require.Empty(t, plain.mails())
}

func TestAddressesOutsideASCII(t *testing.T) {
	t.Parallel()
	msg := message()
	msg.To.Address = "grüße@example.com"
	old := serve(t, nil)
	err := old.mailer(t, clockwork.NewRealClock(), nil).Send(t.Context(), msg)
	require.True(t, email.IsPermanent(err), "got %v", err)

	modern := serve(t, func(s *server) { s.EnableSMTPUTF8 = true })
	require.NoError(t, modern.mailer(t, clockwork.NewRealClock(), nil).Send(t.Context(), msg))
	require.Equal(t, "grüße@example.com", modern.mails()[0].to)
}

func TestSendAfterClose(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	m := s.mailer(t, clockwork.NewRealClock(), nil)
	require.NoError(t, m.Send(t.Context(), message()))
	require.NoError(t, m.Close())
	require.NoError(t, m.Send(t.Context(), message()))
	require.Equal(t, 2, s.count())
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]smtpmail.Config{
		"smtp.host: the mail server's name is missing": {},
		"smtp.host: ":     {Host: "mail.example.com/x"},
		"smtp.port: ":     {Host: "mail.example.com", Port: 70000},
		"smtp.tls: ":      {Host: "mail.example.com", TLS: "ssl"},
		"smtp.tls: \"n":   {Host: "mail.example.com", TLS: "none", Username: "u", Password: "p"},
		"smtp.username: ": {Host: "mail.example.com", Password: "p"},
		"smtp.from: ":     {Host: "mail.example.com", From: "nobody"},
		"smtp.timeout: ":  {Host: "mail.example.com", Timeout: -1},
	} {
		_, err := smtpmail.New(cfg, clockwork.NewRealClock())
		require.ErrorContains(t, err, want, fmt.Sprintf("%+v", cfg))
	}
	require.Empty(t, smtpmail.Config{Host: "mail.example.com", Username: "u", Password: "p"}.Validate())
	require.Empty(t, smtpmail.Config{Host: "localhost", Username: "u", Password: "p"}.Validate())
}
