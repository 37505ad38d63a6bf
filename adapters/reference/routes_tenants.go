package reference

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leat-dev/leat/domain/tenants"
)

// Tenant is a tenant as the API shows it.
type Tenant struct {
	ID        string    `json:"id" example:"acme"`
	Name      string    `json:"name" example:"Acme"`
	Email     string    `json:"email" example:"ada@acme.example" doc:"The contact's mail address."`
	CreatedAt time.Time `json:"createdAt"`
}

func showTenant(t *tenants.Tenant) Tenant {
	s := t.Snapshot()
	return Tenant{ID: s.ID, Name: s.Name, Email: s.Email, CreatedAt: s.CreatedAt}
}

// TenantList is a page of tenants.
type TenantList struct {
	Tenants []Tenant `json:"tenants" nullable:"false"`
	Next    string   `json:"next" doc:"The cursor of the next page; empty on the last one."`
}

// NewTenant is the body that creates a tenant.
type NewTenant struct {
	ID    string `json:"id,omitempty" example:"acme" doc:"Letters, digits, '-' and '_'. Default: a new one."`
	Name  string `json:"name" example:"Acme"`
	Email string `json:"email" example:"ada@acme.example" doc:"The contact's mail address."`
}

// ByID is what routes of one thing take. It is exported because huma reads no other fields.
type ByID struct {
	ID string `path:"id"`
}

func (s *Service) tenantRoutes(api huma.API) {
	command(s, api, operation("create-tenant", http.MethodPost, "/v1/tenants", http.StatusCreated, "Set up a tenant"),
		func(ctx context.Context, operator string, in *struct{ Body NewTenant }) (Tenant, error) {
			t, err := s.tenants.Create(ctx, operator, tenants.CreateTenant{ID: in.Body.ID, Name: in.Body.Name, Email: in.Body.Email})
			if err != nil {
				return Tenant{}, err
			}
			return showTenant(t), nil
		})
	query(api, operation("list-tenants", http.MethodGet, "/v1/tenants", http.StatusOK,
		"List the tenants that the caller may see: its own, and those that it created"),
		func(ctx context.Context, viewer string, in *Page) (TenantList, error) {
			found, err := s.tenants.Repo.List(ctx, viewer, tenants.Query{After: in.Cursor, Limit: in.Limit + 1})
			if err != nil {
				return TenantList{}, err
			}
			found, next := cut(found, in.Limit, func(t *tenants.Tenant) string { return t.Snapshot().ID })
			return TenantList{Tenants: shown(found, showTenant), Next: next}, nil
		})
	query(api, operation("get-tenant", http.MethodGet, "/v1/tenants/{id}", http.StatusOK, "Show a tenant"),
		func(ctx context.Context, viewer string, in *ByID) (Tenant, error) {
			t, err := s.tenants.Repo.Get(ctx, viewer, in.ID)
			if err != nil {
				return Tenant{}, err
			}
			return showTenant(t), nil
		})
}
