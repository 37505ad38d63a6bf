package email

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"io"
	"io/fs"
	"path"
	"strings"
	texttemplate "text/template"
	"time"
	"unicode"

	"github.com/leat-dev/leat/app/event"
)

const (
	maxRendered = 1 << 20 // bytes of each part of a rendered mail
	maxSubject  = 300     // characters
)

// Templates are the mails that can be sent. A mail NAME has NAME.subject.tmpl and NAME.txt.tmpl,
// both text/template, and may have NAME.html.tmpl, html/template. They see a View, and a key that
// does not exist is an error: {{with index .Data "note"}} is how to ask for an optional one.
// Templates is never changed and safe for concurrent use.
type Templates struct {
	mails map[string]*mailTemplate
}

type mailTemplate struct {
	subject *texttemplate.Template
	text    *texttemplate.Template
	html    *htmltemplate.Template // nil: text only
}

// NewTemplates reads all *.tmpl files of the file systems, in any folder. A file takes the place of
// one of the same name in an earlier file system. The error joins every fault found.
func NewTemplates(filesystems ...fs.FS) (*Templates, error) {
	t := &Templates{mails: map[string]*mailTemplate{}}
	var faults []error
	for _, fsys := range filesystems {
		seen := map[string]string{}
		err := fs.WalkDir(fsys, ".", func(file string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(file, ".tmpl") {
				return err
			}
			base := path.Base(file)
			if first, twice := seen[base]; twice {
				faults = append(faults, fmt.Errorf("mail template %s is there twice: %s and %s", base, first, file))
				return nil
			}
			seen[base] = file
			content, err := fs.ReadFile(fsys, file)
			if err != nil {
				return err
			}
			if err := t.add(base, string(content)); err != nil {
				faults = append(faults, fmt.Errorf("mail template %s: %w", file, err))
			}
			return nil
		})
		if err != nil {
			faults = append(faults, fmt.Errorf("read mail templates: %w", err))
		}
	}
	for name, m := range t.mails {
		if m.subject == nil || m.text == nil {
			faults = append(faults, fmt.Errorf("mail %q needs both %s.subject.tmpl and %s.txt.tmpl", name, name, name))
		}
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return t, nil
}

func (t *Templates) add(base, content string) error {
	stem := strings.TrimSuffix(base, ".tmpl")
	dot := strings.LastIndexByte(stem, '.')
	if dot < 1 {
		return errors.New("want NAME.subject.tmpl, NAME.txt.tmpl or NAME.html.tmpl")
	}
	name, part := stem[:dot], stem[dot+1:]
	m := t.mails[name]
	if m == nil {
		m = &mailTemplate{}
	}
	var err error
	switch part {
	case "subject":
		m.subject, err = texttemplate.New(base).Option("missingkey=error").Parse(content)
	case "txt":
		m.text, err = texttemplate.New(base).Option("missingkey=error").Parse(content)
	case "html":
		m.html, err = htmltemplate.New(base).Option("missingkey=error").Parse(content)
	default:
		return fmt.Errorf("%q is no part of a mail; want subject, txt or html", part)
	}
	if err != nil {
		return err
	}
	t.mails[name] = m
	return nil
}

// Has tells whether there is a mail of that name.
func (t *Templates) Has(name string) bool { return t.mails[name] != nil }

// View is what templates see.
type View struct {
	Event     Cause          // the event that the mail tells about
	Data      map[string]any // its data; whole numbers are int64, others float64
	Recipient Recipient
}

// Cause is the event that a mail tells about.
type Cause struct {
	Type    string    `json:"type"`
	ID      string    `json:"id"`
	Subject string    `json:"subject"`
	Tenant  string    `json:"tenant"`
	Time    time.Time `json:"time"`
	Actor   string    `json:"actor"`
}

// ViewOf returns what the templates of a mail see. When the mail's data holds the objects "event"
// and "data", these are .Event and .Data; otherwise all of it is .Data and .Event is the
// notification.requested.
func ViewOf(m Mail) (View, error) {
	v := View{Event: causeOf(m.Requested), Recipient: m.To, Data: map[string]any{}}
	if len(m.Data) == 0 {
		return v, nil
	}
	var outer map[string]json.RawMessage
	if err := json.Unmarshal(m.Data, &outer); err != nil {
		return View{}, fmt.Errorf("read the mail's data: %w", err)
	}
	data := []byte(m.Data)
	if isObject(outer["event"]) && isObject(outer["data"]) {
		v.Event = Cause{}
		if err := json.Unmarshal(outer["event"], &v.Event); err != nil {
			return View{}, fmt.Errorf("read the event in the mail's data: %w", err)
		}
		data = outer["data"]
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(&v.Data); err != nil {
		return View{}, fmt.Errorf("read the mail's data: %w", err)
	}
	if v.Data == nil {
		v.Data = map[string]any{}
	}
	for k, value := range v.Data {
		v.Data[k] = plain(value)
	}
	return v, nil
}

func causeOf(e event.Envelope) Cause {
	return Cause{Type: e.Type, ID: e.ID, Subject: e.Subject, Tenant: e.Tenant, Time: e.Time, Actor: e.Actor}
}

func isObject(raw json.RawMessage) bool {
	return bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("{"))
}

// plain turns json.Numbers into numbers that templates can print and compare.
func plain(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		if f, err := v.Float64(); err == nil {
			return f
		}
		return v.String()
	case map[string]any:
		for k, value := range v {
			v[k] = plain(value)
		}
	case []any:
		for i, value := range v {
			v[i] = plain(value)
		}
	}
	return v
}

// Rendered is what became of a mail's templates.
type Rendered struct {
	Subject string // one line without control characters
	Text    string
	HTML    string // empty when the mail has no HTML template
}

// Render fills in a mail's templates. Its error says what is wrong with the mail: rendering the same
// again fails again.
func (t *Templates) Render(name string, v View) (r Rendered, err error) {
	m := t.mails[name]
	if m == nil {
		return Rendered{}, fmt.Errorf("there is no mail template %q", name)
	}
	defer func() {
		if p := recover(); p != nil {
			r, err = Rendered{}, fmt.Errorf("render %s: panic: %v", name, p)
		}
	}()
	subject, err := execute(m.subject, v)
	if err != nil {
		return Rendered{}, err
	}
	if r.Subject = oneLine(subject, maxSubject); r.Subject == "" {
		return Rendered{}, fmt.Errorf("render %s: the subject is empty", name)
	}
	if r.Text, err = execute(m.text, v); err != nil {
		return Rendered{}, err
	}
	if m.html != nil {
		if r.HTML, err = execute(m.html, v); err != nil {
			return Rendered{}, err
		}
	}
	return r, nil
}

func execute(t interface {
	Name() string
	Execute(io.Writer, any) error
}, v View,
) (string, error) {
	var out bounded
	if err := t.Execute(&out, v); err != nil {
		return "", fmt.Errorf("render %s: %w", t.Name(), err)
	}
	return out.b.String(), nil
}

// bounded is a buffer that refuses to grow beyond maxRendered.
type bounded struct{ b strings.Builder }

func (b *bounded) Write(p []byte) (int, error) {
	if b.b.Len()+len(p) > maxRendered {
		return 0, fmt.Errorf("more than %d bytes", maxRendered)
	}
	return b.b.Write(p)
}

// oneLine makes each run of white space and control characters one space, and cuts what is longer
// than limit characters: what data brought into a header cannot end it.
func oneLine(s string, limit int) string {
	s = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "\uFFFD"), func(c rune) bool {
		return unicode.IsSpace(c) || unicode.IsControl(c)
	}), " ")
	if r := []rune(s); len(r) > limit {
		s = string(r[:limit-1]) + "…"
	}
	return s
}
