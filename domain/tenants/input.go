package tenants

import (
	"fmt"
	"net/mail"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/leat-dev/leat/domain"
)

// MaxEmail is the length limit of a mail address in bytes.
const MaxEmail = 254

// CheckText reports what is wrong with a text of one line: it must have least to most characters,
// be valid UTF-8 and hold no control characters or line breaks. Space around it counts: callers
// trim it.
func CheckText(field, text string, least, most int) error {
	return checkText(field, text, least, most, breaksLine)
}

// CheckProse is CheckText for a text that may have several lines.
func CheckProse(field, text string, least, most int) error {
	return checkText(field, text, least, most, func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t'
	})
}

func breaksLine(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }

func checkText(field, text string, least, most int, refuse func(rune) bool) error {
	n := utf8.RuneCountInString(text)
	switch {
	case !utf8.ValidString(text):
		return invalid(field, "must be valid UTF-8")
	case n < least && text == "":
		return invalid(field, "must not be empty")
	case n < least:
		return invalid(field, fmt.Sprintf("must have at least %d characters", least))
	case n > most:
		return invalid(field, fmt.Sprintf("has %d characters; the limit is %d", n, most))
	case strings.ContainsFunc(text, refuse):
		return invalid(field, "must not hold control characters or line breaks")
	}
	return nil
}

// CheckEmail reports what is wrong with a mail address. It must be a bare address, without a
// display name, at a host of ASCII letters, digits and hyphens: what every mail server takes.
func CheckEmail(field, address string) error {
	if address == "" {
		return invalid(field, "must not be empty")
	}
	if len(address) > MaxEmail {
		return invalid(field, fmt.Sprintf("has %d bytes; the limit of a mail address is %d", len(address), MaxEmail))
	}
	parsed, err := mail.ParseAddress(address)
	if err != nil || parsed.Address != address {
		return invalid(field, fmt.Sprintf("%q is not a mail address such as \"ada@example.org\"", address))
	}
	at := strings.LastIndexByte(address, '@')
	if at > 64 || !isASCII(address) || !isHost(address[at+1:]) {
		return invalid(field, fmt.Sprintf("%q is not a mail address such as \"ada@example.org\"", address))
	}
	return nil
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > unicode.MaxASCII }) < 0
}

func isHost(host string) bool {
	if len(host) > 253 {
		return false
	}
	for _, label := range strings.Split(host, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := 0; i < len(label); i++ {
			if !isLetterOrDigit(label[i]) && label[i] != '-' {
				return false
			}
		}
	}
	return true
}

func isLetterOrDigit(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func invalid(field, message string) error {
	return &domain.Error{Kind: domain.Invalid, Code: "INVALID_INPUT", Field: field, Message: message}
}
