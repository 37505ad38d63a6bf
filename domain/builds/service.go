package builds

import (
	"context"
	"time"

	"github.com/leat-dev/leat/domain/projects"
)

// Repository stores builds. Nothing of another tenant is ever returned.
type Repository interface {
	// Save stores the build together with its pending events, both or neither. A build that
	// somebody else stored since it was read is refused: domain.Conflict, CONCURRENT_UPDATE. A
	// stored build without pending events is left as it is.
	Save(ctx context.Context, b *Build) error
	// Get returns the tenant's build; domain.NotFound, BUILD_NOT_FOUND when there is none.
	Get(ctx context.Context, tenant, id string) (*Build, error)
	// List returns the tenant's builds, newest first.
	List(ctx context.Context, tenant string, q Query) ([]*Build, error)
}

// Query selects a page of builds. Empty fields select everything.
type Query struct {
	ProjectID string
	State     State
	Before    string // older than the build with this id; empty: from the newest
	Limit     int    // at most so many
}

// Projects finds the project that a build is for.
type Projects interface {
	// Get returns the tenant's project; domain.NotFound when there is none.
	Get(ctx context.Context, tenant, id string) (*projects.Project, error)
}

// Service holds the commands on builds. All fields are needed.
type Service struct {
	Repo     Repository
	Projects Projects
	Clock    func() time.Time
	NewID    func() string
}

// Queue queues a build of a project, which must not be archived. Without an image the project's
// name is taken.
func (s *Service) Queue(ctx context.Context, tenant, projectID, image string) (*Build, error) {
	p, err := s.Projects.Get(ctx, tenant, projectID)
	if err != nil {
		return nil, err
	}
	if err := p.MustBeActive(); err != nil {
		return nil, err
	}
	if image == "" {
		image = p.Snapshot().Name
	}
	b, err := NewBuild(s.NewID(), tenant, projectID, image, s.Clock())
	if err != nil {
		return nil, err
	}
	return b, s.Repo.Save(ctx, b)
}

// Start begins a queued build.
func (s *Service) Start(ctx context.Context, tenant, id string) (*Build, error) {
	return s.decide(ctx, tenant, id, func(b *Build) error { return b.Start(s.Clock()) })
}

// Progress notes how far a build is, in percent, and what it is doing.
func (s *Service) Progress(ctx context.Context, tenant, id string, percent int, stage string) (*Build, error) {
	return s.decide(ctx, tenant, id, func(b *Build) error { return b.Progress(percent, stage) })
}

// Complete ends a build that made its image.
func (s *Service) Complete(ctx context.Context, tenant, id string) (*Build, error) {
	return s.decide(ctx, tenant, id, func(b *Build) error { return b.Complete(s.Clock()) })
}

// Fail ends a build that broke.
func (s *Service) Fail(ctx context.Context, tenant, id, reason string) (*Build, error) {
	return s.decide(ctx, tenant, id, func(b *Build) error { return b.Fail(reason, s.Clock()) })
}

// Cancel gives a build up.
func (s *Service) Cancel(ctx context.Context, tenant, id, reason string) (*Build, error) {
	return s.decide(ctx, tenant, id, func(b *Build) error { return b.Cancel(reason, s.Clock()) })
}

func (s *Service) decide(ctx context.Context, tenant, id string, decision func(*Build) error) (*Build, error) {
	b, err := s.Repo.Get(ctx, tenant, id)
	if err != nil {
		return nil, err
	}
	if err := decision(b); err != nil {
		return nil, err
	}
	return b, s.Repo.Save(ctx, b)
}
