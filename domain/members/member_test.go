package members_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/domain"
	"github.com/leat-dev/leat/domain/members"
	"github.com/leat-dev/leat/domain/projects"
)

var at = time.Date(2025, 3, 14, 15, 9, 26, 0, time.UTC)

func TestNewMember(t *testing.T) {
	t.Parallel()
	m, err := members.NewMember("m1", "acme", members.Invitation{
		Email: " di@acme.example ", Name: " Di ", Role: "developer", ProjectID: "p1",
	}, at)
	require.NoError(t, err)
	require.Equal(t, []domain.Event{members.Invited{
		MemberID: "m1", TenantID: "acme", ProjectID: "p1", Email: "di@acme.example", Name: "Di", Role: "developer",
	}}, m.Pending())
	want := members.Snapshot{
		ID: "m1", Tenant: "acme", InvitedAt: at,
		Invitation: members.Invitation{Email: "di@acme.example", Name: "Di", Role: "developer", ProjectID: "p1"},
	}
	require.Equal(t, want, m.Snapshot())
	want.Version = 2
	require.Equal(t, want, members.Restore(want).Snapshot())
}

func TestRoleHasADefault(t *testing.T) {
	t.Parallel()
	m, err := members.NewMember("m1", "acme", members.Invitation{Email: "di@acme.example", Name: "Di"}, at)
	require.NoError(t, err)
	require.Equal(t, members.DefaultRole, m.Snapshot().Role)
}

func TestNewMemberRefuses(t *testing.T) {
	t.Parallel()
	for field, in := range map[string]members.Invitation{
		"email": {Email: "nobody", Name: "Di"},
		"name":  {Email: "di@acme.example", Name: strings.Repeat("x", members.MaxName+1)},
		"role":  {Email: "di@acme.example", Name: "Di", Role: "a\nb"},
	} {
		_, err := members.NewMember("m1", "acme", in, at)
		var got *domain.Error
		require.ErrorAs(t, err, &got)
		require.Equal(t, field, got.Field)
		require.Equal(t, domain.Invalid, got.Kind)
	}
}

type fakes struct {
	project *projects.Project
	saved   []*members.Member
}

func (f *fakes) Save(_ context.Context, m *members.Member) error {
	f.saved = append(f.saved, m)
	return nil
}

func (*fakes) Get(context.Context, string, string) (*members.Member, error) {
	return nil, errors.ErrUnsupported
}

func (*fakes) List(context.Context, string, members.Query) ([]*members.Member, error) {
	return nil, errors.ErrUnsupported
}

type projectOf struct{ *fakes }

func (p projectOf) Get(_ context.Context, tenant, id string) (*projects.Project, error) {
	if p.project == nil || p.project.Snapshot().Tenant != tenant || p.project.Snapshot().ID != id {
		return nil, domain.Errorf(domain.NotFound, "PROJECT_NOT_FOUND", "no project %s", id)
	}
	return p.project, nil
}

func TestInvite(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	project, err := projects.NewProject("p1", "acme", projects.Details{Name: "Shop"}, at)
	require.NoError(t, err)
	f := &fakes{project: project}
	s := &members.Service{
		Repo: f, Projects: projectOf{f}, Clock: func() time.Time { return at }, NewID: func() string { return "m1" },
	}
	di := members.Invitation{Email: "di@acme.example", Name: "Di"}

	m, err := s.Invite(ctx, "acme", di)
	require.NoError(t, err)
	require.Equal(t, []*members.Member{m}, f.saved)

	di.ProjectID = "p1"
	_, err = s.Invite(ctx, "acme", di)
	require.NoError(t, err)
	_, err = s.Invite(ctx, "other", di)
	require.Equal(t, domain.NotFound, domain.KindOf(err))
	project.Archive()
	_, err = s.Invite(ctx, "acme", di)
	require.Equal(t, domain.Conflict, domain.KindOf(err))
	_, err = s.Invite(ctx, "acme", members.Invitation{})
	require.Equal(t, domain.Invalid, domain.KindOf(err))
	require.Len(t, f.saved, 2)
}
