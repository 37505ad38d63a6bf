package smtpmail

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/wneessen/go-mail/smtp"

	"github.com/leat-dev/leat/app/fault"
	"github.com/leat-dev/leat/handlers/email"
)

// session is one connection to the server. One goroutine uses it at a time.
type session struct {
	raw     net.Conn
	client  *smtp.Client
	timeout time.Duration
	idle    clockwork.Timer // closes it while nobody uses it
	kept    time.Time       // since when nobody uses it
}

// dial connects, protects the connection and logs in.
func dial(ctx context.Context, cfg Config) (*session, error) {
	dialer := net.Dialer{Timeout: cfg.Timeout}
	raw, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port)))
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	s := &session{raw: raw, timeout: cfg.Timeout}
	stop := context.AfterFunc(ctx, s.cut)
	defer stop()
	if err := s.open(cfg); err != nil {
		s.cut()
		return nil, err
	}
	return s, nil
}

func (s *session) open(cfg Config) error {
	s.extend()
	protection := &tls.Config{ServerName: cfg.Host, MinVersion: tls.VersionTLS12, RootCAs: cfg.RootCAs}
	conn := s.raw
	if cfg.TLS == TLSOn {
		conn = tls.Client(s.raw, protection)
	}
	var err error
	if s.client, err = smtp.NewClient(conn, cfg.Host); err != nil {
		return fmt.Errorf("greeting: %w", err)
	}
	s.extend()
	if err := s.client.Hello(ownName()); err != nil {
		return fmt.Errorf("EHLO: %w", err)
	}
	if cfg.TLS == TLSStart {
		if offered, _ := s.client.Extension("STARTTLS"); !offered {
			return errors.New("the server offers no STARTTLS; set smtp.tls to \"tls\" or \"none\" if that is right")
		}
		s.extend()
		if err := s.client.StartTLS(protection); err != nil {
			return fmt.Errorf("STARTTLS: %w", err)
		}
	}
	if cfg.Username == "" {
		return nil
	}
	return s.logIn(cfg)
}

// ownName is what this machine calls itself.
func ownName() string {
	name, err := os.Hostname()
	if err != nil || name == "" || strings.ContainsFunc(name, func(c rune) bool { return c <= 0x20 || c >= 0x7f }) {
		return "localhost"
	}
	return name
}

func (s *session) logIn(cfg Config) error {
	offered, mechanisms := s.client.Extension("AUTH")
	has := func(name string) bool { return offered && slices.Contains(strings.Fields(mechanisms), name) }
	local := isLoopback(cfg.Host)
	var auth smtp.Auth
	switch {
	case has("SCRAM-SHA-256"):
		auth = smtp.ScramSHA256Auth(cfg.Username, cfg.Password)
	case has("PLAIN"):
		auth = smtp.PlainAuth("", cfg.Username, cfg.Password, cfg.Host, local)
	case has("LOGIN"):
		auth = smtp.LoginAuth(cfg.Username, cfg.Password, cfg.Host, local)
	case has("CRAM-MD5"):
		auth = smtp.CRAMMD5Auth(cfg.Username, cfg.Password)
	default:
		return fmt.Errorf("log in: the server offers none of SCRAM-SHA-256, PLAIN, LOGIN and CRAM-MD5, but %q", mechanisms)
	}
	s.extend()
	if err := s.client.Auth(auth); err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	return nil
}

// failure is an error of deliver.
type failure struct {
	error
	broken bool // the connection is of no more use
	early  bool // nothing of the mail had been accepted: another connection may be tried at once
}

// deliver hands over one mail. nil means that the server has taken it.
func (s *session) deliver(m composed) *failure {
	if offered, _ := s.client.Extension("SMTPUTF8"); !m.ascii && !offered {
		return &failure{error: email.Permanent(errors.New("the server takes no addresses with letters outside ASCII"))}
	}
	s.client.SkipSMTPUTF8(m.ascii)
	w, failed := s.begin(m)
	if failed != nil {
		return failed
	}
	fault.Point("smtpmail.in-data")
	s.extend()
	if _, err := w.Write(m.content); err != nil {
		return &failure{error: fmt.Errorf("DATA: %w", err), broken: true}
	}
	fault.Point("smtpmail.content-sent")
	s.extend()
	if err := w.Close(); err != nil {
		code := codeOf(err)
		return &failure{error: judge("DATA", code, err), broken: code == 0 || code == 421}
	}
	fault.Point("smtpmail.taken")
	return nil
}

// begin says from whom and to whom, and returns where the content goes.
func (s *session) begin(m composed) (io.WriteCloser, *failure) {
	fault.Point("smtpmail.before-mail")
	if offered, _ := s.client.Extension("PIPELINING"); offered {
		return s.pipeline(m)
	}
	s.extend()
	if err := s.client.Mail("<" + m.from + ">"); err != nil {
		return nil, s.refused("MAIL", err)
	}
	beforeRcpt()
	s.extend()
	if err := s.client.Rcpt("<" + m.to + ">"); err != nil {
		return nil, s.refused("RCPT", err)
	}
	beforeData()
	s.extend()
	w, err := s.client.Data()
	if err != nil {
		return nil, s.refused("DATA", err)
	}
	return w, nil
}

// The points that both ways to a mail's content pass.
func beforeRcpt() { fault.Point("smtpmail.before-rcpt") }
func beforeData() { fault.Point("smtpmail.before-data") }

// refused says what an error before the mail's content means, and ends the mail's transaction.
func (s *session) refused(step string, err error) *failure {
	code := codeOf(err)
	f := &failure{error: judge(step, code, err), broken: code == 0 || code == 421}
	f.early = f.broken
	if !f.broken {
		s.extend()
		f.broken = s.client.Reset() != nil
	}
	return f
}

func judge(step string, code int, err error) error {
	err = fmt.Errorf("%s: %w", step, err)
	if code >= 500 && code <= 599 {
		return email.Permanent(err)
	}
	return email.Temporary(err)
}

// codeOf returns the code of the server's answer, 0 when there was none.
func codeOf(err error) int {
	var answer *textproto.Error
	if errors.As(err, &answer) {
		return answer.Code
	}
	return 0
}

// alive asks the server whether it is still there.
func (s *session) alive() bool {
	s.extend()
	return s.client.Noop() == nil
}

func (s *session) extend() { _ = s.raw.SetDeadline(time.Now().Add(s.timeout)) }

// cut ends the connection without a word.
func (s *session) cut() { _ = s.raw.Close() }

// quit ends the connection as the protocol wants it, without waiting long.
func (s *session) quit() {
	_ = s.raw.SetDeadline(time.Now().Add(min(s.timeout, time.Second)))
	_ = s.client.Quit()
	s.cut()
}
