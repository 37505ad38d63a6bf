package projects

import (
	"context"
	"time"
)

// Repository stores projects. Nothing of another tenant is ever returned.
type Repository interface {
	// Save stores the project together with its pending events, both or neither. A project that
	// somebody else stored since it was read is refused: domain.Conflict, CONCURRENT_UPDATE. A
	// stored project without pending events is left as it is.
	Save(ctx context.Context, p *Project) error
	// Get returns the tenant's project; domain.NotFound, PROJECT_NOT_FOUND when there is none.
	Get(ctx context.Context, tenant, id string) (*Project, error)
	// List returns the tenant's projects, newest first.
	List(ctx context.Context, tenant string, q Query) ([]*Project, error)
}

// Query selects a page of projects.
type Query struct {
	Archived bool   // the archived ones, too
	Before   string // older than the project with this id; empty: from the newest
	Limit    int    // at most so many
}

// Service holds the commands on projects. All fields are needed.
type Service struct {
	Repo  Repository
	Clock func() time.Time
	NewID func() string
}

// Create sets up a project.
func (s *Service) Create(ctx context.Context, tenant string, d Details) (*Project, error) {
	p, err := NewProject(s.NewID(), tenant, d, s.Clock())
	if err != nil {
		return nil, err
	}
	return p, s.Repo.Save(ctx, p)
}

// UpdateProject is the input of Update. What is nil stays as it is; an empty value removes.
type UpdateProject struct {
	Name        *string
	Description *string
	Assignee    *string
	Watchers    *[]string
}

// Update changes some of a project's details.
func (s *Service) Update(ctx context.Context, tenant, id string, in UpdateProject) (*Project, error) {
	p, err := s.Repo.Get(ctx, tenant, id)
	if err != nil {
		return nil, err
	}
	d := p.Snapshot().Details
	set(&d.Name, in.Name)
	set(&d.Description, in.Description)
	set(&d.Assignee, in.Assignee)
	set(&d.Watchers, in.Watchers)
	if err := p.Update(d); err != nil {
		return nil, err
	}
	return p, s.Repo.Save(ctx, p)
}

// Archive closes a project for good.
func (s *Service) Archive(ctx context.Context, tenant, id string) (*Project, error) {
	p, err := s.Repo.Get(ctx, tenant, id)
	if err != nil {
		return nil, err
	}
	p.Archive()
	return p, s.Repo.Save(ctx, p)
}

func set[T any](field *T, value *T) {
	if value != nil {
		*field = *value
	}
}
