package smtpmail_test

import (
	"bytes"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/leat-dev/leat/adapters/smtpmail"
	"github.com/leat-dev/leat/handlers/email"
)

// A recipient's name is read as it was given, whatever it is made of.
func TestNamesAreReadAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	check := func(t require.TestingT, name string) {
		m := message()
		m.To = email.Address{Address: "grace@example.com", Name: name}
		content, err := smtpmail.Compose(m, "leat@example.com", time.Now())
		require.NoError(t, err)
		parsed, err := mail.ReadMessage(bytes.NewReader(content))
		require.NoError(t, err, "%s", content)
		to, err := parsed.Header.AddressList("To")
		require.NoError(t, err, "%s", content)
		require.Len(t, to, 1)
		require.Equal(t, "grace@example.com", to[0].Address)
		require.Equal(t, strings.TrimSpace(name), strings.TrimSpace(to[0].Name), "%s", content)
		for line := range strings.SplitSeq(string(content), "\r\n") {
			require.LessOrEqual(t, len(line), 998)
		}
	}
	for _, name := range []string{
		`Ä\`, `\ä\"`, `"ä`, `ä <b@example.com>`, `(ä)`, `=?utf-8?q?ä?=`, `=?utf-8?q?a?=`, `a\`, `Grace "G" Hopper, PhD`, strings.Repeat(`ä\`, 40), "",
	} {
		check(t, name)
	}
	rapid.Check(t, func(t *rapid.T) { check(t, rapid.StringMatching(`[a-zäß€\\"<>(),;:@=?_ .]{0,40}`).Draw(t, "name")) })
}
