package reference

import (
	"context"
	"fmt"

	"github.com/leat-dev/leat/app/sqltx"
	"github.com/leat-dev/leat/domain"
	"github.com/leat-dev/leat/domain/members"
)

var _ members.Repository = (*Members)(nil)

// Members keeps members.
type Members struct {
	store
	table string
}

// NewMembers returns the repository.
func NewMembers(db sqltx.Store, p Publisher) *Members {
	return &Members{store: store{db: db, publisher: p}, table: db.Table("reference_members")}
}

const memberColumns = "tenant, id, project_id, email, name, role, invited_at, version"

// Save implements members.Repository.
func (r *Members) Save(ctx context.Context, m *members.Member) error {
	s := m.Snapshot()
	return r.save(ctx, m, item{
		tenant: s.Tenant, id: s.ID,
		insert: statement{
			"INSERT INTO " + r.table + " (" + memberColumns + ") VALUES (?, ?, ?, ?, ?, ?, ?, 1) ON CONFLICT DO NOTHING",
			[]any{s.Tenant, s.ID, s.ProjectID, s.Email, s.Name, s.Role, sqltx.Micros(s.InvitedAt)},
		},
		update: statement{
			"UPDATE " + r.table + " SET project_id = ?, name = ?, role = ?, version = version + 1" +
				" WHERE tenant = ? AND id = ? AND version = ?",
			[]any{s.ProjectID, s.Name, s.Role, s.Tenant, s.ID, s.Version},
		},
		taken: domain.Errorf(domain.Conflict, "MEMBER_EXISTS", "%s is invited already", s.Email).InField("email"),
	})
}

// Get implements members.Repository.
func (r *Members) Get(ctx context.Context, tenant, id string) (*members.Member, error) {
	m, err := one(ctx, r.db, statement{
		"SELECT " + memberColumns + " FROM " + r.table + " WHERE tenant = ? AND id = ?", []any{tenant, id},
	}, readMember, domain.Errorf(domain.NotFound, "MEMBER_NOT_FOUND", "there is no member %q", id))
	if err != nil {
		return nil, fmt.Errorf("read member %s: %w", id, err)
	}
	return m, nil
}

// List implements members.Repository.
func (r *Members) List(ctx context.Context, tenant string, q members.Query) ([]*members.Member, error) {
	s := statement{"SELECT " + memberColumns + " FROM " + r.table + " WHERE tenant = ?", []any{tenant}}
	found, err := all(ctx, r.db, s.before(q.Before, q.Limit), readMember)
	if err != nil {
		return nil, fmt.Errorf("list members: %w", err)
	}
	return found, nil
}

func readMember(row sqltx.Row) (*members.Member, error) {
	var s members.Snapshot
	var invited int64
	if err := row.Scan(&s.Tenant, &s.ID, &s.ProjectID, &s.Email, &s.Name, &s.Role, &invited, &s.Version); err != nil {
		return nil, err
	}
	s.InvitedAt = sqltx.FromMicros(invited)
	return members.Restore(s), nil
}
