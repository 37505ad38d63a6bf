package reference_test

import (
	"encoding/json"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/domain"
	"github.com/leat-dev/leat/domain/builds"
	"github.com/leat-dev/leat/domain/members"
	"github.com/leat-dev/leat/domain/projects"
	"github.com/leat-dev/leat/handlers/email"
	"github.com/leat-dev/leat/handlers/notify"
	"github.com/leat-dev/leat/handlers/reference"
)

func TestDefinitions(t *testing.T) {
	t.Parallel()
	c := catalogue(t)
	require.Equal(t, []string{
		"build.cancelled", "build.completed", "build.failed", "build.failing", "build.progressed", "build.queued",
		"build.started", "member.invited", "project.archived", "project.created", "project.updated", "tenant.created",
	}, c.Types())

	var realtime []string
	for _, typ := range c.Types() {
		def, _ := c.Lookup(typ)
		if def.IsRealtime() {
			realtime = append(realtime, typ)
		}
		want := event.Business
		if typ == "build.failing" {
			want = event.Alert
		}
		require.Equal(t, want, def.Kind(), typ)
	}
	require.Equal(t, []string{"build.completed", "build.failed", "build.progressed", "build.started"}, realtime)
}

func TestAlertRoute(t *testing.T) {
	t.Parallel()
	c := catalogue(t)
	for _, e := range samples() {
		if alert, ok := e.(domain.Alert); ok {
			require.Equal(t, domain.High, alert.Severity())
			require.Equal(t, "alert.build.high", envelope(t, c, e).Route())
		}
	}
}

func TestAuditPatternsSelectEverything(t *testing.T) {
	t.Parallel()
	c := catalogue(t)
	require.Equal(t, c.Types(), c.Match(reference.AuditPatterns()...))
}

func TestSchemasRefuseWhatTheDomainRefuses(t *testing.T) {
	t.Parallel()
	c := catalogue(t)
	for _, tc := range []struct{ typ, data, field string }{
		{"tenant.created", `{"tenantId":"acme","name":"Acme","email":"nobody"}`, "data.email"},
		{"tenant.created", `{"tenantId":"acme","name":"","email":"ada@acme.example"}`, "data.name"},
		{"build.progressed", `{"buildId":"b","projectId":"p","image":"i","percent":101}`, "data.percent"},
		{"build.progressed", `{"buildId":"b","projectId":"p","image":"i","percent":-1}`, "data.percent"},
		{"build.failed", `{"buildId":"b","projectId":"p","image":"i","reason":"","durationMs":1}`, "data.reason"},
		{"build.queued", `{"buildId":"","projectId":"p","image":"i"}`, "data.buildId"},
		{"project.updated", `{"projectId":"p","name":"n","changes":{"name":{"from":"a"}}}`, "data.changes.name.to"},
		{"project.created", `{"projectId":"p","name":"n","assignee":"nobody"}`, "data.assignee"},
		{"project.created", `{"projectId":"p","name":"n","watchers":["nobody"]}`, "data.watchers.0"},
		{"member.invited", `{"memberId":"m","tenantId":"t","email":"nobody","name":"n","role":"r"}`, "data.email"},
	} {
		_, _, _, err := c.Admit(tc.typ, 0, []byte(tc.data))
		var refused *domain.Error
		require.ErrorAs(t, err, &refused, "%s %s", tc.typ, tc.data)
		require.Equal(t, tc.field, refused.Field, "%s %s", tc.typ, tc.data)
	}
}

func templates(t *testing.T) *email.Templates {
	t.Helper()
	found, err := email.NewTemplates(reference.Templates())
	require.NoError(t, err)
	return found
}

func TestEveryRuleHasItsMail(t *testing.T) {
	t.Parallel()
	require.Empty(t, notify.CheckRules(reference.Rules(), templates(t)))

	want := map[string]bool{}
	for _, rule := range reference.Rules() {
		for _, suffix := range []string{".subject.tmpl", ".txt.tmpl", ".html.tmpl"} {
			want[rule.Template+suffix] = true
		}
	}
	entries, err := fs.ReadDir(reference.Templates(), ".")
	require.NoError(t, err)
	require.Len(t, entries, len(want))
	for _, e := range entries {
		require.True(t, want[e.Name()], "%s belongs to no rule", e.Name())
	}
}

// mailOf returns the mail about an event as the email worker gets it.
func mailOf(t *testing.T, e event.Envelope, role string) email.Mail {
	t.Helper()
	data, err := json.Marshal(map[string]any{
		"event": notify.Cause{Type: e.Type, ID: e.ID, Subject: e.Subject, Tenant: e.Tenant, Time: e.Time, Actor: e.Actor},
		"data":  json.RawMessage(e.Data),
	})
	require.NoError(t, err)
	return email.Mail{To: email.Recipient{Address: "ada@acme.example", Name: "Ada <b>", Role: role}, Data: data}
}

func render(t *testing.T, name string, m email.Mail) email.Rendered {
	t.Helper()
	view, err := email.ViewOf(m)
	require.NoError(t, err)
	r, err := templates(t).Render(name, view)
	require.NoError(t, err)
	return r
}

func TestMails(t *testing.T) {
	t.Parallel()
	c := catalogue(t)
	byType := map[string]domain.Event{}
	for _, e := range samples() {
		byType[e.EventType()] = e
	}
	wants := map[string]struct{ subject, says string }{
		"welcome":          {"Welcome, Acme", "Acme is set up"},
		"invitation":       {"Invitation to acme", "ada invites you to work with acme as developer."},
		"project-archived": {"Project Store is archived", "The project Store was archived by ada."},
		"build-completed":  {"Build of shop/api:1.4 completed", "The image shop/api:1.4 is ready."},
		"build-failed":     {"Build of shop/api:1.4 failed", "exit status 2"},
	}
	for _, rule := range reference.Rules() {
		want := wants[rule.Template]
		for _, role := range []string{"contact", "assignee", "watcher", "invitee"} {
			r := render(t, rule.Template, mailOf(t, envelope(t, c, byType[rule.Type]), role))
			require.Equal(t, want.subject, r.Subject)
			require.Contains(t, r.Text, "Hello Ada <b>,")
			require.Contains(t, r.Text, want.says)
			require.Contains(t, r.HTML, "Hello Ada &lt;b&gt;,")
			require.NotContains(t, r.Text+r.HTML, "no value")
		}
	}
}

// What an event may leave out must not break its mail.
func TestMailsWithoutOptionalData(t *testing.T) {
	t.Parallel()
	c := catalogue(t)
	ref := builds.Ref{BuildID: "b", ProjectID: "p", Image: "shop/api"}
	for template, e := range map[string]domain.Event{
		"build-failed":     builds.Failed{Ref: ref, Reason: "broken"},
		"build-completed":  builds.Completed{Ref: ref},
		"invitation":       members.Invited{MemberID: "m", TenantID: "acme", Email: "di@acme.example", Name: "Di", Role: "member"},
		"project-archived": projects.Archived{ProjectID: "p", Name: "Shop"},
	} {
		env := envelope(t, c, e)
		env.Actor = ""
		m := mailOf(t, env, "")
		m.To.Name = ""
		r := render(t, template, m)
		require.Contains(t, r.Text, "Hello,\n")
		require.NotContains(t, r.Text, "while it was at")
		require.NotContains(t, r.Text, " by ")
	}
}
