package reference

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leat-dev/leat/domain/projects"
)

// Project is a project as the API shows it.
type Project struct {
	ID          string    `json:"id"`
	Name        string    `json:"name" example:"Shop"`
	Description string    `json:"description"`
	Assignee    string    `json:"assignee" example:"bo@acme.example" doc:"Mail address of who is responsible; may be empty."`
	Watchers    []string  `json:"watchers" nullable:"false" doc:"Mail addresses of who else wants to know."`
	Archived    bool      `json:"archived"`
	CreatedAt   time.Time `json:"createdAt"`
	Version     int64     `json:"version" doc:"One more with each change."`
}

func showProject(p *projects.Project) Project {
	s := p.Snapshot()
	return Project{
		ID: s.ID, Name: s.Name, Description: s.Description, Assignee: s.Assignee,
		Watchers: append([]string{}, s.Watchers...), Archived: s.Archived, CreatedAt: s.CreatedAt, Version: s.Version,
	}
}

// ProjectList is a page of projects, newest first.
type ProjectList struct {
	Projects []Project `json:"projects" nullable:"false"`
	Next     string    `json:"next" doc:"The cursor of the next page; empty on the last one."`
}

// NewProject is the body that creates a project.
type NewProject struct {
	Name        string   `json:"name" example:"Shop"`
	Description string   `json:"description,omitempty"`
	Assignee    string   `json:"assignee,omitempty" example:"bo@acme.example"`
	Watchers    []string `json:"watchers,omitempty"`
}

// ProjectChanges is the body that changes a project: what is missing stays as it is.
type ProjectChanges struct {
	Name        *string   `json:"name,omitempty"`
	Description *string   `json:"description,omitempty"`
	Assignee    *string   `json:"assignee,omitempty" doc:"Empty: nobody."`
	Watchers    *[]string `json:"watchers,omitempty"`
}

func (s *Service) projectRoutes(api huma.API) {
	show := func(p *projects.Project, err error) (Project, error) {
		if err != nil {
			return Project{}, err
		}
		return showProject(p), nil
	}
	command(s, api, operation("create-project", http.MethodPost, "/v1/projects", http.StatusCreated, "Set up a project"),
		func(ctx context.Context, tenant string, in *struct{ Body NewProject }) (Project, error) {
			return show(s.projects.Create(ctx, tenant, projects.Details{
				Name: in.Body.Name, Description: in.Body.Description, Assignee: in.Body.Assignee, Watchers: in.Body.Watchers,
			}))
		})
	query(api, operation("list-projects", http.MethodGet, "/v1/projects", http.StatusOK, "List projects, newest first"),
		func(ctx context.Context, tenant string, in *struct {
			Page
			Archived bool `query:"archived" doc:"The archived ones, too."`
		},
		) (ProjectList, error) {
			found, err := s.projects.Repo.List(ctx, tenant, projects.Query{
				Archived: in.Archived, Before: in.Cursor, Limit: in.Limit + 1,
			})
			if err != nil {
				return ProjectList{}, err
			}
			found, next := cut(found, in.Limit, func(p *projects.Project) string { return p.Snapshot().ID })
			return ProjectList{Projects: shown(found, showProject), Next: next}, nil
		})
	query(api, operation("get-project", http.MethodGet, "/v1/projects/{id}", http.StatusOK, "Show a project"),
		func(ctx context.Context, tenant string, in *ByID) (Project, error) {
			return show(s.projects.Repo.Get(ctx, tenant, in.ID))
		})
	command(s, api, operation("update-project", http.MethodPatch, "/v1/projects/{id}", http.StatusOK, "Change a project"),
		func(ctx context.Context, tenant string, in *struct {
			ByID
			Body ProjectChanges
		},
		) (Project, error) {
			return show(s.projects.Update(ctx, tenant, in.ID, projects.UpdateProject{
				Name: in.Body.Name, Description: in.Body.Description, Assignee: in.Body.Assignee, Watchers: in.Body.Watchers,
			}))
		})
	command(s, api, operation("archive-project", http.MethodDelete, "/v1/projects/{id}", http.StatusOK,
		"Archive a project: it stays to be seen, and takes no changes and builds any more"),
		func(ctx context.Context, tenant string, in *ByID) (Project, error) {
			return show(s.projects.Archive(ctx, tenant, in.ID))
		})
}
