package projects_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/domain"
	"github.com/leat-dev/leat/domain/projects"
)

var at = time.Date(2025, 3, 14, 15, 9, 26, 0, time.UTC)

func shop() projects.Details {
	return projects.Details{
		Name: "Shop", Description: "Sells\nthings.", Assignee: "bo@acme.example", Watchers: []string{"cy@acme.example"},
	}
}

// stored returns a project as a repository would.
func stored(t *testing.T, d projects.Details) *projects.Project {
	t.Helper()
	p, err := projects.NewProject("p1", "acme", d, at)
	require.NoError(t, err)
	p.Stored(1)
	return p
}

func requireError(t *testing.T, err error, kind domain.Kind, code, field string) {
	t.Helper()
	var got *domain.Error
	require.ErrorAs(t, err, &got)
	require.Equal(t, []string{string(kind), code, field}, []string{string(got.Kind), got.Code, got.Field}, "%v", err)
}

func TestNewProject(t *testing.T) {
	t.Parallel()
	d := shop()
	d.Name = "  Shop "
	d.Watchers = []string{" cy@acme.example", "", "CY@acme.example", "di@acme.example"}
	p, err := projects.NewProject("p1", "acme", d, at)
	require.NoError(t, err)
	watchers := []string{"cy@acme.example", "di@acme.example"}
	require.Equal(t, []domain.Event{projects.Created{
		ProjectID: "p1", Name: "Shop", Description: "Sells\nthings.", Assignee: "bo@acme.example", Watchers: watchers,
	}}, p.Pending())

	want := p.Snapshot()
	require.Equal(t, watchers, want.Watchers)
	require.Equal(t, "acme", want.Tenant)
	require.Equal(t, at, want.CreatedAt)
	want.Version = 4
	require.Equal(t, want, projects.Restore(want).Snapshot())
}

func TestSnapshotsShareNothing(t *testing.T) {
	t.Parallel()
	p := stored(t, shop())
	p.Snapshot().Watchers[0] = "changed@acme.example"
	require.Equal(t, "cy@acme.example", p.Snapshot().Watchers[0])

	s := p.Snapshot()
	restored := projects.Restore(s)
	s.Watchers[0] = "changed@acme.example"
	require.Equal(t, "cy@acme.example", restored.Snapshot().Watchers[0])
}

func TestNewProjectRefuses(t *testing.T) {
	t.Parallel()
	many := make([]string, projects.MaxWatchers+1)
	for i := range many {
		many[i] = fmt.Sprintf("w%d@acme.example", i)
	}
	for field, d := range map[string]projects.Details{
		"name":        {Name: ""},
		"description": {Name: "x", Description: strings.Repeat("x", projects.MaxDescription+1)},
		"assignee":    {Name: "x", Assignee: "nobody"},
		"watchers":    {Name: "x", Watchers: many},
		"watchers.1":  {Name: "x", Watchers: []string{"cy@acme.example", "nobody"}},
	} {
		_, err := projects.NewProject("p1", "acme", d, at)
		requireError(t, err, domain.Invalid, "INVALID_INPUT", field)
	}
}

func TestUpdateRecordsWhatChanged(t *testing.T) {
	t.Parallel()
	p := stored(t, shop())
	d := shop()
	d.Name, d.Watchers = "Store", nil
	require.NoError(t, p.Update(d))
	require.Equal(t, []domain.Event{projects.Updated{ProjectID: "p1", Name: "Store", Changes: map[string]projects.Change{
		"name":     {From: "Shop", To: "Store"},
		"watchers": {From: []string{"cy@acme.example"}, To: []string{}},
	}}}, p.Pending())

	p = stored(t, shop())
	d = shop()
	d.Description, d.Assignee = "", "di@acme.example"
	require.NoError(t, p.Update(d))
	require.Equal(t, map[string]projects.Change{
		"description": {From: "Sells\nthings.", To: ""},
		"assignee":    {From: "bo@acme.example", To: "di@acme.example"},
	}, p.Pending()[0].(projects.Updated).Changes)
}

func TestUpdateWithoutAChangeRecordsNothing(t *testing.T) {
	t.Parallel()
	p := stored(t, shop())
	d := shop()
	d.Name = " Shop "
	require.NoError(t, p.Update(d))
	require.Empty(t, p.Pending())
}

func TestARefusedUpdateChangesNothing(t *testing.T) {
	t.Parallel()
	p := stored(t, shop())
	before := p.Snapshot()
	requireError(t, p.Update(projects.Details{Name: ""}), domain.Invalid, "INVALID_INPUT", "name")
	require.Equal(t, before, p.Snapshot())
	require.Empty(t, p.Pending())
}

func TestArchive(t *testing.T) {
	t.Parallel()
	p := stored(t, shop())
	require.NoError(t, p.MustBeActive())
	p.Archive()
	p.Archive()
	require.Equal(t, []domain.Event{projects.Archived{ProjectID: "p1", Name: "Shop"}}, p.Pending(), "once only")
	require.True(t, p.Snapshot().Archived)
	require.True(t, projects.Restore(p.Snapshot()).Snapshot().Archived)

	d := shop()
	d.Name = "Store"
	requireError(t, p.Update(d), domain.Conflict, "PROJECT_ARCHIVED", "")
	requireError(t, p.MustBeActive(), domain.Conflict, "PROJECT_ARCHIVED", "")
}

// repository keeps snapshots, as a store does.
type repository struct {
	rows  map[string]projects.Snapshot
	saves int
}

func (r *repository) Save(_ context.Context, p *projects.Project) error {
	if r.rows == nil {
		r.rows = map[string]projects.Snapshot{}
	}
	r.saves++
	p.Stored(p.Version() + 1)
	s := p.Snapshot()
	r.rows[s.Tenant+"/"+s.ID] = s
	return nil
}

func (r *repository) Get(_ context.Context, tenant, id string) (*projects.Project, error) {
	s, ok := r.rows[tenant+"/"+id]
	if !ok {
		return nil, domain.Errorf(domain.NotFound, "PROJECT_NOT_FOUND", "no project %s", id)
	}
	return projects.Restore(s), nil
}

func (*repository) List(context.Context, string, projects.Query) ([]*projects.Project, error) {
	return nil, errors.ErrUnsupported
}

func TestCommands(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	repo := &repository{}
	s := &projects.Service{Repo: repo, Clock: func() time.Time { return at }, NewID: func() string { return "p1" }}

	p, err := s.Create(ctx, "acme", shop())
	require.NoError(t, err)
	require.Equal(t, "p1", p.Snapshot().ID)

	name := "Store"
	p, err = s.Update(ctx, "acme", "p1", projects.UpdateProject{Name: &name})
	require.NoError(t, err)
	want := shop()
	want.Name = "Store"
	require.Equal(t, want, p.Snapshot().Details, "what is not given stays")

	nobody, none := "", []string{}
	p, err = s.Update(ctx, "acme", "p1", projects.UpdateProject{Assignee: &nobody, Watchers: &none})
	require.NoError(t, err)
	require.Empty(t, p.Snapshot().Assignee)
	require.Empty(t, p.Snapshot().Watchers)

	_, err = s.Update(ctx, "other", "p1", projects.UpdateProject{Name: &name})
	requireError(t, err, domain.NotFound, "PROJECT_NOT_FOUND", "")
	_, err = s.Archive(ctx, "other", "p1")
	requireError(t, err, domain.NotFound, "PROJECT_NOT_FOUND", "")

	_, err = s.Archive(ctx, "acme", "p1")
	require.NoError(t, err)
	_, err = s.Update(ctx, "acme", "p1", projects.UpdateProject{Name: &name})
	requireError(t, err, domain.Conflict, "PROJECT_ARCHIVED", "")

	saves := repo.saves
	_, err = s.Create(ctx, "acme", projects.Details{})
	requireError(t, err, domain.Invalid, "INVALID_INPUT", "name")
	require.Equal(t, saves, repo.saves)
}
