package builds_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/domain"
	"github.com/leat-dev/leat/domain/builds"
	"github.com/leat-dev/leat/domain/projects"
)

// store keeps snapshots, as a store does, and the events that were saved.
type store struct {
	project *projects.Project
	rows    map[string]builds.Snapshot
	events  []string
}

func (s *store) Save(_ context.Context, b *builds.Build) error {
	for _, e := range b.Pending() {
		s.events = append(s.events, e.EventType())
	}
	b.Stored(b.Version() + 1)
	row := b.Snapshot()
	s.rows[row.Tenant+"/"+row.ID] = row
	return nil
}

func (s *store) Get(_ context.Context, tenant, id string) (*builds.Build, error) {
	row, ok := s.rows[tenant+"/"+id]
	if !ok {
		return nil, domain.Errorf(domain.NotFound, "BUILD_NOT_FOUND", "no build %s", id)
	}
	return builds.Restore(row), nil
}

func (*store) List(context.Context, string, builds.Query) ([]*builds.Build, error) {
	return nil, errors.ErrUnsupported
}

type projectOf struct{ *store }

func (p projectOf) Get(_ context.Context, tenant, id string) (*projects.Project, error) {
	if s := p.project.Snapshot(); s.Tenant != tenant || s.ID != id {
		return nil, domain.Errorf(domain.NotFound, "PROJECT_NOT_FOUND", "no project %s", id)
	}
	return p.project, nil
}

func setup(t *testing.T) (*builds.Service, *store) {
	t.Helper()
	project, err := projects.NewProject("p1", "acme", projects.Details{Name: "Shop"}, at)
	require.NoError(t, err)
	s := &store{project: project, rows: map[string]builds.Snapshot{}}
	return &builds.Service{
		Repo: s, Projects: projectOf{s}, Clock: func() time.Time { return at }, NewID: func() string { return "b1" },
	}, s
}

func TestQueue(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s, store := setup(t)

	b, err := s.Queue(ctx, "acme", "p1", "")
	require.NoError(t, err)
	require.Equal(t, "Shop", b.Snapshot().Image, "the project's name")
	b, err = s.Queue(ctx, "acme", "p1", "shop/api")
	require.NoError(t, err)
	require.Equal(t, "shop/api", b.Snapshot().Image)

	_, err = s.Queue(ctx, "other", "p1", "shop/api")
	requireError(t, err, domain.NotFound, "PROJECT_NOT_FOUND", "")
	_, err = s.Queue(ctx, "acme", "p1", "a\nb")
	requireError(t, err, domain.Invalid, "INVALID_INPUT", "image")
	store.project.Archive()
	_, err = s.Queue(ctx, "acme", "p1", "shop/api")
	requireError(t, err, domain.Conflict, "PROJECT_ARCHIVED", "")
	require.Equal(t, []string{"build.queued", "build.queued"}, store.events)
}

func TestCommandsSave(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for _, tc := range []struct {
		end  func(s *builds.Service) (*builds.Build, error)
		want []string
	}{
		{func(s *builds.Service) (*builds.Build, error) { return s.Complete(ctx, "acme", "b1") }, []string{"build.completed"}},
		{func(s *builds.Service) (*builds.Build, error) { return s.Fail(ctx, "acme", "b1", "x") }, []string{"build.failed", "build.failing"}},
		{func(s *builds.Service) (*builds.Build, error) { return s.Cancel(ctx, "acme", "b1", "") }, []string{"build.cancelled"}},
	} {
		s, store := setup(t)
		_, err := s.Queue(ctx, "acme", "p1", "")
		require.NoError(t, err)
		_, err = s.Start(ctx, "acme", "b1")
		require.NoError(t, err)
		b, err := s.Progress(ctx, "acme", "b1", 40, "compile")
		require.NoError(t, err)
		require.EqualValues(t, 3, b.Version())
		_, err = tc.end(s)
		require.NoError(t, err)
		require.Equal(t, append([]string{"build.queued", "build.started", "build.progressed"}, tc.want...), store.events)

		_, err = s.Start(ctx, "acme", "b1")
		requireError(t, err, domain.Conflict, "BUILD_WRONG_STATE", "")
		_, err = s.Start(ctx, "other", "b1")
		requireError(t, err, domain.NotFound, "BUILD_NOT_FOUND", "")
	}
}
