package smtpmail

import (
	"errors"
	"io"
	"net/textproto"
)

// pipeline says MAIL, RCPT and DATA in one go and then reads the three answers (RFC 2920): one way there and back
// instead of three. Nothing of the content is sent before all three are known.
func (s *session) pipeline(m composed) (io.WriteCloser, *failure) {
	s.extend()
	text := s.client.Text
	mail := "MAIL FROM:<" + m.from + ">"
	if offered, _ := s.client.Extension("8BITMIME"); offered {
		mail += " BODY=8BITMIME"
	}
	if !m.ascii {
		mail += " SMTPUTF8"
	}
	_, err := text.W.WriteString(mail + "\r\nRCPT TO:<" + m.to + ">\r\nDATA\r\n")
	if err == nil {
		err = text.W.Flush()
	}
	if err != nil {
		return nil, s.refused("MAIL", err)
	}
	var first *failure // why there will be no mail
	judged := func(step string, err error) bool {
		if err != nil && first == nil {
			code := codeOf(err)
			first = &failure{error: judge(step, code, err), broken: code == 0 || code == 421, early: code == 0 || code == 421}
		}
		return first == nil || !first.broken
	}
	if !judged("MAIL", s.answer(text, 250)) {
		return nil, first
	}
	beforeRcpt()
	if !judged("RCPT", s.answer(text, 25)) {
		return nil, first
	}
	beforeData()
	err = s.answer(text, 354)
	if first == nil && err == nil {
		return &content{text.DotWriter(), s, text}, nil
	}
	if judged("DATA", err); first.broken {
		return nil, first
	}
	if err == nil { // the server waits for the content of a mail to nobody
		_ = text.DotWriter().Close()
		if codeOf(s.answer(text, 250)) == 0 {
			first.broken = true
			return nil, first
		}
	}
	s.extend()
	first.broken = codeOf(err) == 0 && err != nil || s.client.Reset() != nil
	return nil, first
}

// answer reads an answer that shall begin with the code.
func (s *session) answer(text *textproto.Conn, code int) error {
	s.extend()
	_, _, err := text.ReadResponse(code)
	return err
}

// content is where a mail's content goes; its end waits for the answer.
type content struct {
	io.WriteCloser
	session *session
	text    *textproto.Conn
}

// Close ends the content and returns what the server says to it.
func (c *content) Close() error {
	return errors.Join(c.WriteCloser.Close(), c.session.answer(c.text, 250))
}
