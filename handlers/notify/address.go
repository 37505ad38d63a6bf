package notify

import (
	"fmt"
	"net/mail"
	"strings"
)

// check refuses what cannot stand in a mail's header. JSON Schema's idea of an address is wider than
// what mail servers take, and nobody may end a header line.
func (r Recipient) check() error {
	if strings.ContainsFunc(r.Address+r.Name, isControl) {
		return fmt.Errorf("control characters in %q or its name", r.Address)
	}
	parsed, err := mail.ParseAddress(r.Address)
	if err != nil {
		return fmt.Errorf("%q is no mail address: %w", r.Address, err)
	}
	if parsed.Address != r.Address {
		return fmt.Errorf("%q is not a bare mail address; the name has a field of its own", r.Address)
	}
	return nil
}

func isControl(c rune) bool {
	return c < 0x20 || c >= 0x7f && c < 0xa0 || c == '\u2028' || c == '\u2029'
}
