package smtpmail_test

import (
	"bytes"
	"maps"
	"mime"
	"net/mail"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/smtpmail"
	"github.com/leat-dev/leat/handlers/email"
)

// A subject that looks as if it were encoded is read as it was written.
func TestSubjectsThatLookEncoded(t *testing.T) {
	t.Parallel()
	for _, subject := range []string{
		"=?utf-8?q?=0D=0ABcc:_e@example.com?=", "About =??q??=", "=?x?q?y?= and " + strings.Repeat("=?ä?", 60), "a =? b",
	} {
		m := message()
		m.Subject = subject
		content, err := smtpmail.Compose(m, "leat@example.com", time.Now())
		require.NoError(t, err)
		parsed, err := mail.ReadMessage(bytes.NewReader(content))
		require.NoError(t, err)
		got, err := new(mime.WordDecoder).DecodeHeader(parsed.Header.Get("Subject"))
		require.NoError(t, err)
		require.Equal(t, subject, got)
		for line := range strings.SplitSeq(string(content), "\r\n") {
			require.LessOrEqual(t, len(line), 78, line)
		}
	}
}

// Whatever an event's data brings into a mail, it stays where the template put it: the mail has the
// headers that we write, each once, and the subject that was rendered.
func FuzzMail(f *testing.F) {
	f.Add(`{"x":"hello"}`, "Grace Höpper", "grace@example.com")
	f.Add(`{"x":"a\r\nBcc: everybody@example.com\r\n\r\n<script>"}`, "Grace\r\nBcc: e@example.com", "grace@example.com")
	f.Add(`{"x":"\u2028\u0085\u0000 =?utf-8?q?=0D=0ABcc:_e?= ","event":{}}`, "=?utf-8?q?=0A?=", "\"a\\\"b\"@example.com")
	f.Add(`{"data":{"x":["\ud800",1e400]},"event":{"type":"a.b"}}`, "\"", "grace@example.com\nBcc: e@example.com")
	f.Add(`{"x":"`+strings.Repeat("ä", 400)+`"}`, ",;<>()", "ä@ü.example")
	templates, err := email.NewTemplates(fstest.MapFS{
		"m.subject.tmpl": {Data: []byte(`About {{with index .Data "x"}}{{.}}{{end}}`)},
		"m.txt.tmpl":     {Data: []byte(`{{with index .Data "x"}}{{.}}{{end}}`)},
		"m.html.tmpl":    {Data: []byte(`<p title="{{with index .Data "x"}}{{.}}{{end}}">{{with index .Data "x"}}{{.}}{{end}}</p>`)},
	})
	require.NoError(f, err)
	headers := []string{"Auto-Submitted", "Content-Type", "Date", "From", "Message-Id", "Mime-Version", "Subject", "To"}
	f.Fuzz(func(t *testing.T, data, name, address string) {
		view, err := email.ViewOf(email.Mail{To: email.Recipient{Address: address, Name: name}, Template: "m", Data: []byte(data)})
		if err != nil {
			return
		}
		rendered, err := templates.Render("m", view)
		if err != nil {
			return
		}
		m := email.Message{
			ID: "id@example.com", To: email.Address{Address: "grace@example.com"}, Subject: rendered.Subject, Text: rendered.Text, HTML: rendered.HTML,
		}
		at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		_, err = smtpmail.Compose(m, "leat@example.com", at)
		require.NoError(t, err, "what was rendered can be sent")

		m.To = email.Address{Address: address, Name: name}
		content, err := smtpmail.Compose(m, "leat@example.com", at)
		if err != nil {
			return
		}
		for line := range bytes.SplitSeq(content, []byte("\r\n")) {
			require.NotContains(t, string(line), "\r")
			require.NotContains(t, string(line), "\n")
		}
		parsed, err := mail.ReadMessage(bytes.NewReader(content))
		require.NoError(t, err, "%s", content)
		require.Equal(t, headers, slices.Sorted(maps.Keys(parsed.Header)), "%s", content)
		for key, values := range parsed.Header {
			require.Len(t, values, 1, key)
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(parsed.Header.Get("Subject"))
		require.NoError(t, err)
		require.Equal(t, rendered.Subject, subject)
		to, err := parsed.Header.AddressList("To")
		require.NoError(t, err, "%s", content)
		require.Len(t, to, 1)
		require.Equal(t, address, to[0].Address)
	})
}
