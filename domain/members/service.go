package members

import (
	"context"
	"time"

	"github.com/leat-dev/leat/domain/projects"
)

// Repository stores members. Nothing of another tenant is ever returned.
type Repository interface {
	// Save stores the member together with its pending events, both or neither. A new member whose
	// address, in whatever case, the tenant has invited already is refused: domain.Conflict,
	// MEMBER_EXISTS.
	Save(ctx context.Context, m *Member) error
	// Get returns the tenant's member; domain.NotFound, MEMBER_NOT_FOUND when there is none.
	Get(ctx context.Context, tenant, id string) (*Member, error)
	// List returns the tenant's members, newest first.
	List(ctx context.Context, tenant string, q Query) ([]*Member, error)
}

// Query selects a page of members.
type Query struct {
	Before string // older than the member with this id; empty: from the newest
	Limit  int    // at most so many
}

// Projects finds the project that a person is invited to.
type Projects interface {
	// Get returns the tenant's project; domain.NotFound when there is none.
	Get(ctx context.Context, tenant, id string) (*projects.Project, error)
}

// Service holds the commands on members. All fields are needed.
type Service struct {
	Repo     Repository
	Projects Projects
	Clock    func() time.Time
	NewID    func() string
}

// Invite invites a person to the tenant and, when a project is named, to that project, which must
// not be archived.
func (s *Service) Invite(ctx context.Context, tenant string, in Invitation) (*Member, error) {
	m, err := NewMember(s.NewID(), tenant, in, s.Clock())
	if err != nil {
		return nil, err
	}
	if in.ProjectID != "" {
		p, err := s.Projects.Get(ctx, tenant, in.ProjectID)
		if err != nil {
			return nil, err
		}
		if err := p.MustBeActive(); err != nil {
			return nil, err
		}
	}
	return m, s.Repo.Save(ctx, m)
}
