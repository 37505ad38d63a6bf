package email_test

import (
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/handlers/email"
)

func files(contents map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, content := range contents {
		fsys[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return fsys
}

func render(t *testing.T, subject, text, html string, data map[string]any) (email.Rendered, error) {
	t.Helper()
	contents := map[string]string{"m.subject.tmpl": subject, "m.txt.tmpl": text}
	if html != "" {
		contents["m.html.tmpl"] = html
	}
	templates, err := email.NewTemplates(files(contents))
	require.NoError(t, err)
	return templates.Render("m", email.View{Data: data, Recipient: email.Recipient{Address: "a@example.com"}})
}

func TestRender(t *testing.T) {
	t.Parallel()
	evil := "<script>alert(1)</script>\r\nBcc: everybody@example.com\x00"
	r, err := render(t, "About {{.Data.x}}\n", "{{.Data.x}}", `<a href="{{.Data.u}}">{{.Data.x}}</a>`,
		map[string]any{"x": evil, "u": "javascript:alert(1)"})
	require.NoError(t, err)
	require.Equal(t, "About <script>alert(1)</script> Bcc: everybody@example.com", r.Subject)
	require.Equal(t, evil, r.Text)
	require.NotContains(t, r.HTML, "<script>")
	require.NotContains(t, r.HTML, "javascript:")

	r, err = render(t, "x", "y", "", nil)
	require.NoError(t, err)
	require.Empty(t, r.HTML)

	r, err = render(t, strings.Repeat("ä", 1000), "y", "", nil)
	require.NoError(t, err)
	require.Len(t, []rune(r.Subject), 300)
}

func TestRenderFailures(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ subject, text, html, want string }{
		"missing key":         {"x", "{{.Data.nothing}}", "", "no entry for key"},
		"missing key in HTML": {"x", "y", "{{.Data.nothing}}", "no entry for key"},
		"missing field":       {"{{.Nothing}}", "y", "", "Nothing"},
		"empty subject":       {" \n", "y", "", "the subject is empty"},
		"endless":             {"x", `{{range .Data.many}}{{$.Data.long}}{{end}}`, "", "more than 1048576 bytes"},
	} {
		_, err := render(t, test.subject, test.text, test.html, map[string]any{
			"many": make([]int, 2000), "long": strings.Repeat("x", 1000),
		})
		require.ErrorContains(t, err, test.want, name)
	}
	templates, err := email.NewTemplates()
	require.NoError(t, err)
	_, err = templates.Render("m", email.View{})
	require.ErrorContains(t, err, `there is no mail template "m"`)
}

func TestLaterTemplatesTakeTheEarliersPlace(t *testing.T) {
	t.Parallel()
	templates, err := email.NewTemplates(
		files(map[string]string{"m.subject.tmpl": "old", "m.txt.tmpl": "old", "notes.md": "{{"}),
		files(map[string]string{"sub/m.txt.tmpl": "new", "a.b.subject.tmpl": "x", "a.b.txt.tmpl": "x"}),
	)
	require.NoError(t, err)
	r, err := templates.Render("m", email.View{})
	require.NoError(t, err)
	require.Equal(t, email.Rendered{Subject: "old", Text: "new"}, r)
	require.True(t, templates.Has("m"))
	require.True(t, templates.Has("a.b"))
	require.False(t, templates.Has("a"))
}

func TestTemplateFaultsAreReportedTogether(t *testing.T) {
	t.Parallel()
	_, err := email.NewTemplates(files(map[string]string{
		"half.subject.tmpl": "x",
		"bad.subject.tmpl":  "x", "bad.txt.tmpl": "{{",
		"m.pdf.tmpl":   "x",
		"plain.tmpl":   "x",
		"a/t.txt.tmpl": "x", "b/t.txt.tmpl": "x", "t.subject.tmpl": "x",
	}))
	for _, want := range []string{
		`mail "half" needs both half.subject.tmpl and half.txt.tmpl`, "mail template bad.txt.tmpl: ",
		`mail template m.pdf.tmpl: "pdf" is no part of a mail`, "mail template plain.tmpl: want NAME.subject.tmpl",
		"mail template t.txt.tmpl is there twice: a/t.txt.tmpl and b/t.txt.tmpl",
	} {
		require.ErrorContains(t, err, want)
	}
}

func TestViewOf(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	m := email.Mail{
		Requested: event.Envelope{ID: "r1", Type: "notification.requested", Subject: "s", Tenant: "acme", Actor: "ada", Time: at},
		To:        email.Recipient{Address: "a@example.com", Role: "watcher"},
	}
	own := email.Cause{ID: "r1", Type: "notification.requested", Subject: "s", Tenant: "acme", Actor: "ada", Time: at}
	for name, test := range map[string]struct {
		data  string
		event email.Cause
		want  map[string]any
	}{
		"nothing": {"", own, map[string]any{}},
		"a caller's own": {
			`{"name":"x","data":{"n":1}}`, own,
			map[string]any{"name": "x", "data": map[string]any{"n": int64(1)}},
		},
		"event is no object": {`{"event":"party","data":{}}`, own, map[string]any{"event": "party", "data": map[string]any{}}},
		"a rule's": {
			`{"event":{"type":"a.b","id":"e1","time":"2026-01-02T03:04:05Z"},"data":{"big":12345678901,"f":1.5,"huge":1e400,"l":[1,{"x":2}]}}`,
			email.Cause{Type: "a.b", ID: "e1", Time: at},
			map[string]any{"big": int64(12345678901), "f": 1.5, "huge": "1e400", "l": []any{int64(1), map[string]any{"x": int64(2)}}},
		},
	} {
		m.Data = []byte(test.data)
		got, err := email.ViewOf(m)
		require.NoError(t, err, name)
		require.Equal(t, email.View{Event: test.event, Data: test.want, Recipient: m.To}, got, name)
	}
	for _, data := range []string{`[1]`, `{`, `{"event":{"time":3},"data":{}}`} {
		m.Data = []byte(data)
		_, err := email.ViewOf(m)
		require.Error(t, err, data)
	}
}
