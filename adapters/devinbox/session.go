package devinbox

import (
	"bytes"
	"fmt"
	"io"
	"net/mail"
	"strings"

	"github.com/emersion/go-smtp"
	"github.com/google/uuid"
	"github.com/jhillyerd/enmime/v2"
)

var _ smtp.Session = (*session)(nil)

// session is one conversation with a sender.
type session struct {
	inbox *Inbox
	from  string
	to    []string
}

// Reset implements smtp.Session.
func (s *session) Reset() { s.from, s.to = "", nil }

// Logout implements smtp.Session.
func (s *session) Logout() error { return nil }

// Mail implements smtp.Session.
func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return nil
}

// Rcpt implements smtp.Session.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
	return nil
}

// Data implements smtp.Session.
func (s *session) Data(r io.Reader) error {
	content, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	parsed, err := enmime.ReadEnvelope(bytes.NewReader(content))
	if err != nil {
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: fmt.Sprintf("cannot read the mail: %v", err)}
	}
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	m := Mail{
		ID: id.String(), From: readable(parsed.GetHeader("From")), To: s.to, Subject: parsed.GetHeader("Subject"),
		Received: s.inbox.clock.Now().UTC(), Text: parsed.Text, HTML: parsed.HTML,
		MessageID: strings.Trim(parsed.GetHeader("Message-ID"), "<> "),
	}
	if m.From == "" {
		m.From = s.from
	}
	s.inbox.box.add(m)
	s.inbox.log.Debug("mail in the inbox", "mail", m.ID, "message_id", m.MessageID)
	return nil
}

// readable shows an address without needless quotes and brackets.
func readable(from string) string {
	a, err := mail.ParseAddress(from)
	switch {
	case err != nil:
		return from
	case a.Name == "":
		return a.Address
	}
	return a.Name + " <" + a.Address + ">"
}
