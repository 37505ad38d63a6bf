package reference

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leat-dev/leat/domain/members"
)

// Invitation is an invited person as the API shows it.
type Invitation struct {
	ID        string    `json:"id"`
	Email     string    `json:"email" example:"di@acme.example"`
	Name      string    `json:"name" example:"Di"`
	Role      string    `json:"role" example:"developer"`
	ProjectID string    `json:"projectId,omitempty" doc:"The project that the person is invited to."`
	InvitedAt time.Time `json:"invitedAt"`
}

func showInvitation(m *members.Member) Invitation {
	s := m.Snapshot()
	return Invitation{
		ID: s.ID, Email: s.Email, Name: s.Name, Role: s.Role, ProjectID: s.ProjectID, InvitedAt: s.InvitedAt,
	}
}

// InvitationList is a page of invited people, newest first.
type InvitationList struct {
	Invitations []Invitation `json:"invitations" nullable:"false"`
	Next        string       `json:"next" doc:"The cursor of the next page; empty on the last one."`
}

// NewInvitation is the body that invites a person.
type NewInvitation struct {
	Email     string `json:"email" example:"di@acme.example"`
	Name      string `json:"name" example:"Di"`
	Role      string `json:"role,omitempty" example:"developer" doc:"Default: member."`
	ProjectID string `json:"projectId,omitempty" doc:"A project to invite the person to."`
}

func (s *Service) memberRoutes(api huma.API) {
	command(s, api, operation("invite-member", http.MethodPost, "/v1/tenants/{id}/invitations", http.StatusCreated,
		"Invite a person to the caller's tenant"),
		func(ctx context.Context, tenant string, in *struct {
			ByID
			Body NewInvitation
		},
		) (Invitation, error) {
			if in.ID != tenant {
				return Invitation{}, noTenant(in.ID)
			}
			m, err := s.members.Invite(ctx, tenant, members.Invitation{
				Email: in.Body.Email, Name: in.Body.Name, Role: in.Body.Role, ProjectID: in.Body.ProjectID,
			})
			if err != nil {
				return Invitation{}, err
			}
			return showInvitation(m), nil
		})
	query(api, operation("list-invitations", http.MethodGet, "/v1/tenants/{id}/invitations", http.StatusOK,
		"List the people whom the caller's tenant invited, newest first"),
		func(ctx context.Context, tenant string, in *struct {
			ByID
			Page
		},
		) (InvitationList, error) {
			if in.ID != tenant {
				return InvitationList{}, noTenant(in.ID)
			}
			found, err := s.members.Repo.List(ctx, tenant, members.Query{Before: in.Cursor, Limit: in.Limit + 1})
			if err != nil {
				return InvitationList{}, err
			}
			found, next := cut(found, in.Limit, func(m *members.Member) string { return m.Snapshot().ID })
			return InvitationList{Invitations: shown(found, showInvitation), Next: next}, nil
		})
}
