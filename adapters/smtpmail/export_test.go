package smtpmail

import (
	"time"

	"github.com/leat-dev/leat/handlers/email"
)

// Compose writes a mail as it goes over the wire.
func Compose(m email.Message, from string, now time.Time) ([]byte, error) {
	c, err := compose(m, from, now)
	return c.content, err
}
