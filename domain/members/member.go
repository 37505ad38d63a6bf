package members

import (
	"errors"
	"strings"
	"time"

	"github.com/leat-dev/leat/domain"
	"github.com/leat-dev/leat/domain/tenants"
)

// Limits of an invitation's texts in characters.
const (
	MaxName = 100
	MaxRole = 40
)

// DefaultRole is the role of who is invited without one.
const DefaultRole = "member"

// Member is a person whom a tenant invited.
type Member struct {
	domain.Root
	id        string
	tenant    string
	projectID string
	email     string
	name      string
	role      string
	invitedAt time.Time
}

// Invitation is what is said about a person to invite.
type Invitation struct {
	Email     string
	Name      string
	Role      string // empty: DefaultRole
	ProjectID string // the project to work on; may be empty
}

// Snapshot is a member's state as it is stored and shown.
type Snapshot struct {
	ID     string
	Tenant string
	Invitation
	InvitedAt time.Time
	Version   int64
}

// NewMember invites a person and records member.invited. Errors name every field at fault.
func NewMember(id, tenant string, in Invitation, now time.Time) (*Member, error) {
	in.Email, in.Name, in.Role = strings.TrimSpace(in.Email), strings.TrimSpace(in.Name), strings.TrimSpace(in.Role)
	if in.Role == "" {
		in.Role = DefaultRole
	}
	err := errors.Join(
		tenants.CheckEmail("email", in.Email),
		tenants.CheckText("name", in.Name, 1, MaxName),
		tenants.CheckText("role", in.Role, 1, MaxRole),
	)
	if err != nil {
		return nil, err
	}
	m := &Member{
		id: id, tenant: tenant, projectID: in.ProjectID, email: in.Email, name: in.Name, role: in.Role,
		invitedAt: now.UTC(),
	}
	m.Record(Invited{
		MemberID: id, TenantID: tenant, ProjectID: in.ProjectID, Email: in.Email, Name: in.Name, Role: in.Role,
	})
	return m, nil
}

// Restore returns a stored member.
func Restore(s Snapshot) *Member {
	m := &Member{
		id: s.ID, tenant: s.Tenant, projectID: s.ProjectID, email: s.Email, name: s.Name, role: s.Role,
		invitedAt: s.InvitedAt,
	}
	m.Stored(s.Version)
	return m
}

// Snapshot returns the member's present state.
func (m *Member) Snapshot() Snapshot {
	return Snapshot{
		ID: m.id, Tenant: m.tenant,
		Invitation: Invitation{Email: m.email, Name: m.name, Role: m.role, ProjectID: m.projectID},
		InvitedAt:  m.invitedAt, Version: m.Version(),
	}
}
