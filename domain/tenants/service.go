package tenants

import (
	"context"
	"time"
)

// Repository stores tenants.
type Repository interface {
	// Save stores the tenant together with its pending events, both or neither. A new tenant whose
	// id is taken is refused with domain.Conflict and code TENANT_EXISTS.
	Save(ctx context.Context, t *Tenant) error
	// Get returns a tenant that the viewer may see: itself, or one that it is the operator of.
	// Otherwise the error is domain.NotFound with code TENANT_NOT_FOUND.
	Get(ctx context.Context, viewer, id string) (*Tenant, error)
	// List returns the tenants that the viewer may see, by id.
	List(ctx context.Context, viewer string, q Query) ([]*Tenant, error)
}

// Query selects a page of tenants.
type Query struct {
	After string // ids above this one; empty: from the first
	Limit int    // at most so many
}

// Service holds the commands on tenants. All fields are needed.
type Service struct {
	Repo  Repository
	Clock func() time.Time
	NewID func() string
}

// CreateTenant is the input of Create.
type CreateTenant struct {
	ID    string // empty: a new one
	Name  string
	Email string // of the contact
}

// Create sets up a tenant on behalf of the operator.
func (s *Service) Create(ctx context.Context, operator string, in CreateTenant) (*Tenant, error) {
	if in.ID == "" {
		in.ID = s.NewID()
	}
	t, err := NewTenant(in.ID, operator, in.Name, in.Email, s.Clock())
	if err != nil {
		return nil, err
	}
	if err := s.Repo.Save(ctx, t); err != nil {
		return nil, err
	}
	return t, nil
}
