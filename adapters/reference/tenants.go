package reference

import (
	"context"
	"fmt"

	"github.com/leat-dev/leat/app/sqltx"
	"github.com/leat-dev/leat/domain"
	"github.com/leat-dev/leat/domain/tenants"
)

var _ tenants.Repository = (*Tenants)(nil)

// Tenants keeps tenants. Their events belong to the tenant itself, not to who created it.
type Tenants struct {
	store
	table string
}

// NewTenants returns the repository.
func NewTenants(db sqltx.Store, p Publisher) *Tenants {
	return &Tenants{store: store{db: db, publisher: p}, table: db.Table("reference_tenants")}
}

const tenantColumns = "id, operator, name, email, created_at, version"

// Save implements tenants.Repository.
func (r *Tenants) Save(ctx context.Context, t *tenants.Tenant) error {
	s := t.Snapshot()
	return r.save(ctx, t, item{
		tenant: s.ID, id: s.ID,
		insert: statement{
			"INSERT INTO " + r.table + " (" + tenantColumns + ") VALUES (?, ?, ?, ?, ?, 1) ON CONFLICT DO NOTHING",
			[]any{s.ID, s.Operator, s.Name, s.Email, sqltx.Micros(s.CreatedAt)},
		},
		update: statement{
			"UPDATE " + r.table + " SET name = ?, email = ?, version = version + 1 WHERE id = ? AND version = ?",
			[]any{s.Name, s.Email, s.ID, s.Version},
		},
		taken: domain.Errorf(domain.Conflict, "TENANT_EXISTS", "there is a tenant %q already", s.ID).InField("id"),
	})
}

// Get implements tenants.Repository.
func (r *Tenants) Get(ctx context.Context, viewer, id string) (*tenants.Tenant, error) {
	t, err := one(ctx, r.db, statement{
		"SELECT " + tenantColumns + " FROM " + r.table + " WHERE id = ? AND (id = ? OR operator = ?)", []any{id, viewer, viewer},
	}, readTenant, noTenant(id))
	if err != nil {
		return nil, fmt.Errorf("read tenant %s: %w", id, err)
	}
	return t, nil
}

// List implements tenants.Repository.
func (r *Tenants) List(ctx context.Context, viewer string, q tenants.Query) ([]*tenants.Tenant, error) {
	found, err := all(ctx, r.db, statement{
		"SELECT " + tenantColumns + " FROM " + r.table + " WHERE (id = ? OR operator = ?) AND id > ? ORDER BY id LIMIT ?",
		[]any{viewer, viewer, q.After, q.Limit},
	}, readTenant)
	if err != nil {
		return nil, fmt.Errorf("list tenants: %w", err)
	}
	return found, nil
}

func readTenant(row sqltx.Row) (*tenants.Tenant, error) {
	var s tenants.Snapshot
	var created int64
	if err := row.Scan(&s.ID, &s.Operator, &s.Name, &s.Email, &created, &s.Version); err != nil {
		return nil, err
	}
	s.CreatedAt = sqltx.FromMicros(created)
	return tenants.Restore(s), nil
}

func noTenant(id string) error {
	return domain.Errorf(domain.NotFound, "TENANT_NOT_FOUND", "there is no tenant %q", id)
}
