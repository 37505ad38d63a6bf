package smtpmail

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/mail"
	"strings"
	"time"
	"unicode/utf8"

	gomail "github.com/wneessen/go-mail"

	"github.com/leat-dev/leat/handlers/email"
)

// composed is a mail ready for the wire.
type composed struct {
	from, to string // bare addresses
	content  []byte
	ascii    bool // both addresses are
}

// compose checks what goes into headers and writes the mail. Its errors are about the mail itself.
func compose(m email.Message, defaultFrom string, now time.Time) (composed, error) {
	if m.From == "" {
		m.From = defaultFrom
	}
	from, err := parseAddress(m.From)
	if err != nil {
		return composed{}, fmt.Errorf("sender: %w", err)
	}
	to, err := parseAddress(m.To.Address)
	if err != nil {
		return composed{}, fmt.Errorf("recipient: %w", err)
	}
	if to.Address != m.To.Address {
		return composed{}, fmt.Errorf("recipient: %q is not a bare mail address", m.To.Address)
	}
	for what, value := range map[string]string{"recipient's name": m.To.Name, "subject": m.Subject} {
		if strings.ContainsFunc(value, isControl) {
			return composed{}, fmt.Errorf("the %s %q holds control characters", what, value)
		}
	}
	if strings.ContainsFunc(m.ID, func(c rune) bool { return c <= 0x20 || c >= 0x7f || c == '<' || c == '>' }) {
		return composed{}, fmt.Errorf("%q is no Message-ID", m.ID)
	}

	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	msg.SetGenHeaderPreformatted("From", addressHeader(from.Name, from.Address))
	msg.SetGenHeaderPreformatted("To", addressHeader(m.To.Name, to.Address))
	if strings.Contains(m.Subject, "=?") {
		msg.SetGenHeaderPreformatted(gomail.HeaderSubject, encodedWords(m.Subject))
	} else {
		msg.Subject(m.Subject)
	}
	msg.SetDateWithValue(now)
	if m.ID != "" {
		msg.SetMessageIDWithValue(m.ID)
	}
	// Out-of-office programs must not answer.
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetBodyString(gomail.TypeTextPlain, m.Text)
	if m.HTML != "" {
		msg.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
	}
	var content bytes.Buffer
	if _, err := msg.WriteTo(&content); err != nil {
		return composed{}, fmt.Errorf("compose: %w", err)
	}
	return composed{
		from: from.Address, to: to.Address, content: content.Bytes(), ascii: isASCII(from.Address) && isASCII(to.Address),
	}, nil
}

// addressHeader writes an address with the name that is shown with it. A name beyond plain ASCII is encoded
// here: net/mail leaves a backslash as it is in an encoded word, which then cannot be read.
func addressHeader(name, address string) string {
	bare := (&mail.Address{Address: address}).String()
	if name == "" {
		return bare
	}
	if isASCII(name) && !strings.Contains(name, "=?") {
		return (&mail.Address{Name: name, Address: address}).String()
	}
	return encodedWords(name) + "\r\n " + bare
}

// encodedWords encodes a text of which a part looks like an encoded word already. Left as it is, it would be
// decoded by who reads the mail, with whatever it hides.
func encodedWords(s string) string {
	const most = 42 // bytes of text in a word, so that it has at most 75
	var words []string
	begin, end := 0, 0
	flush := func() {
		words = append(words, "=?UTF-8?B?"+base64.StdEncoding.EncodeToString([]byte(s[begin:end]))+"?=")
		begin = end
	}
	for i, r := range s {
		if end = i; i+utf8.RuneLen(r)-begin > most {
			flush()
		}
	}
	end = len(s)
	flush()
	return strings.Join(words, "\r\n ")
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c >= 0x80 })
}
