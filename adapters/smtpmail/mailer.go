package smtpmail

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/leat-dev/leat/handlers/email"
)

var _ email.Sender = (*Mailer)(nil)

// Mailer sends mails through one server. It opens as many connections as there are mails under way
// at the same time, and keeps each for a while for the mails that follow. It is safe for concurrent
// use.
type Mailer struct {
	cfg   Config
	clock clockwork.Clock

	mu     sync.Mutex
	spare  []*session // the last one used at the end
	closed bool
}

// New returns a mailer; it connects when there is something to send. The error joins every fault of
// the configuration.
func New(cfg Config, clock clockwork.Clock) (*Mailer, error) {
	if err := errors.Join(cfg.Validate()...); err != nil {
		return nil, err
	}
	return &Mailer{cfg: cfg.withDefaults(), clock: clock}, nil
}

// Send implements email.Sender.
func (m *Mailer) Send(ctx context.Context, msg email.Message) error {
	mail, err := compose(msg, m.cfg.From, m.clock.Now())
	if err != nil {
		return email.Permanent(err)
	}
	for {
		s, kept, err := m.session(ctx)
		if err != nil {
			return email.Temporary(fmt.Errorf("mail server %s: %w", m.cfg.Host, err))
		}
		stop := context.AfterFunc(ctx, s.cut)
		failed := s.deliver(mail)
		intact := stop()
		if intact && (failed == nil || !failed.broken) {
			m.keep(s)
		} else {
			s.cut()
		}
		switch {
		case failed == nil:
			return nil
		case kept && failed.early && ctx.Err() == nil:
			continue // the server had given up the connection; nothing is known about the mail
		case email.IsPermanent(failed.error):
			return email.Permanent(fmt.Errorf("mail server %s: %w", m.cfg.Host, failed.error))
		default:
			return email.Temporary(fmt.Errorf("mail server %s: %w", m.cfg.Host, failed.error))
		}
	}
}

// session returns a kept connection that still works, else a new one.
func (m *Mailer) session(ctx context.Context) (s *session, kept bool, err error) {
	for {
		s := m.take()
		if s == nil {
			break
		}
		if m.clock.Since(s.kept) < fresh {
			return s, true, nil // if it is gone all the same, that shows before the mail is said
		}
		stop := context.AfterFunc(ctx, s.cut)
		alive := s.alive()
		if stop() && alive {
			return s, true, nil
		}
		s.cut()
	}
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	s, err = dial(ctx, m.cfg)
	return s, false, err
}

func (m *Mailer) take() *session {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.spare) == 0 {
		return nil
	}
	s := m.spare[len(m.spare)-1]
	m.spare = m.spare[:len(m.spare)-1]
	s.idle.Stop() // if it has fired already, drop finds nothing
	return s
}

func (m *Mailer) keep(s *session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || m.cfg.Idle < 0 {
		s.cut()
		return
	}
	s.kept = m.clock.Now()
	s.idle = m.clock.AfterFunc(m.cfg.Idle, func() { m.drop(s) })
	m.spare = append(m.spare, s)
}

// fresh is for how long after a mail a connection is used again without asking whether it is still there.
const fresh = time.Second

// drop ends a connection that nobody has needed.
func (m *Mailer) drop(s *session) {
	m.mu.Lock()
	found := false
	for i, spare := range m.spare {
		if spare == s {
			m.spare = append(m.spare[:i:i], m.spare[i+1:]...)
			found = true
			break
		}
	}
	m.mu.Unlock()
	if found {
		s.quit()
	}
}

// Close ends the connections that are not in use; the others end with their mail. A mail sent later
// has a connection of its own.
func (m *Mailer) Close() error {
	m.mu.Lock()
	m.closed = true
	spare := m.spare
	m.spare = nil
	m.mu.Unlock()
	for _, s := range spare {
		s.idle.Stop()
		s.quit()
	}
	return nil
}
