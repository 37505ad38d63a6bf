package reference_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/domain/projects"
	"github.com/leat-dev/leat/domain/tenants"
	"github.com/leat-dev/leat/handlers/notify"
)

func (b *bundle) recipients(t *testing.T, e event.Envelope) ([]notify.Recipient, error) {
	t.Helper()
	var found []notify.Recipient
	err := b.db.InTx(t.Context(), func(ctx context.Context) (err error) {
		found, err = b.service.Recipients.Recipients(ctx, e)
		return err
	})
	return found, err
}

func TestRecipients(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tenant, err := tenants.NewTenant("acme", "dev", "Acme", "ada@acme.example", micro)
	require.NoError(t, err)
	require.NoError(t, b.tenants.Save(t.Context(), tenant))
	b.project(t, "acme", "p1", projects.Details{
		Name: "Shop", Assignee: "bo@acme.example",
		Watchers: []string{"cy@acme.example", "BO@acme.example", "Ada@acme.example"},
	})
	b.project(t, "acme", "alone", projects.Details{Name: "Alone"})
	b.project(t, "new", "p1", projects.Details{Name: "Other", Assignee: "other@new.example"})

	contact := notify.Recipient{Address: "ada@acme.example", Role: "contact"}
	everybody := []notify.Recipient{
		contact, {Address: "bo@acme.example", Role: "assignee"}, {Address: "cy@acme.example", Role: "watcher"},
	}
	for _, tc := range []struct {
		name, tenant, typ, data string
		want                    []notify.Recipient
	}{
		{"failed build", "acme", "build.failed", `{"buildId":"b","projectId":"p1"}`, everybody},
		{"completed build", "acme", "build.completed", `{"buildId":"b","projectId":"p1"}`, everybody},
		{"archived project", "acme", "project.archived", `{"projectId":"p1"}`, everybody},
		{"project without people", "acme", "build.failed", `{"projectId":"alone"}`, []notify.Recipient{contact}},
		{"unknown project", "acme", "build.failed", `{"projectId":"none"}`, []notify.Recipient{contact}},
		{"tenant without a row", "new", "build.failed", `{"projectId":"p1"}`, []notify.Recipient{{Address: "other@new.example", Role: "assignee"}}},
		{"nobody", "nowhere", "build.failed", `{"projectId":"p1"}`, nil},
		{
			"invitation", "acme", "member.invited", `{"email":"di@acme.example","name":"Di","projectId":"p1"}`,
			[]notify.Recipient{{Address: "di@acme.example", Name: "Di", Role: "invitee"}},
		},
		{
			"new tenant", "acme", "tenant.created", `{"email":"first@acme.example"}`,
			[]notify.Recipient{{Address: "first@acme.example", Role: "contact"}},
		},
		{"something else", "acme", "order.shipped", `{"projectId":"p1"}`, nil},
	} {
		got, err := b.recipients(t, event.Envelope{Tenant: tc.tenant, Type: tc.typ, Data: []byte(tc.data)})
		require.NoError(t, err, tc.name)
		require.Equal(t, tc.want, got, tc.name)
	}
}

func TestRecipientsOfUnreadableData(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, typ := range []string{"tenant.created", "member.invited", "build.failed"} {
		_, err := b.recipients(t, event.Envelope{Tenant: "acme", Type: typ, Data: []byte(`[`)})
		require.True(t, handler.IsPermanent(err), "%s: %v", typ, err)
	}
}
