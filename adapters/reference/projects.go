package reference

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/leat-dev/leat/app/sqltx"
	"github.com/leat-dev/leat/domain"
	"github.com/leat-dev/leat/domain/projects"
)

var _ projects.Repository = (*Projects)(nil)

// Projects keeps projects.
type Projects struct {
	store
	table string
}

// NewProjects returns the repository.
func NewProjects(db sqltx.Store, p Publisher) *Projects {
	return &Projects{store: store{db: db, publisher: p}, table: db.Table("reference_projects")}
}

const projectColumns = "tenant, id, name, description, assignee, watchers, archived, created_at, version"

// Save implements projects.Repository.
func (r *Projects) Save(ctx context.Context, p *projects.Project) error {
	s := p.Snapshot()
	watchers, err := json.Marshal(append([]string{}, s.Watchers...))
	if err != nil {
		return fmt.Errorf("write the watchers of project %s: %w", s.ID, err)
	}
	return r.save(ctx, p, item{
		tenant: s.Tenant, id: s.ID,
		insert: statement{
			"INSERT INTO " + r.table + " (" + projectColumns + ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1) ON CONFLICT DO NOTHING",
			[]any{s.Tenant, s.ID, s.Name, s.Description, s.Assignee, string(watchers), truth(s.Archived), sqltx.Micros(s.CreatedAt)},
		},
		update: statement{
			"UPDATE " + r.table + " SET name = ?, description = ?, assignee = ?, watchers = ?, archived = ?, version = version + 1" +
				" WHERE tenant = ? AND id = ? AND version = ?",
			[]any{s.Name, s.Description, s.Assignee, string(watchers), truth(s.Archived), s.Tenant, s.ID, s.Version},
		},
		taken: domain.Errorf(domain.Conflict, "PROJECT_EXISTS", "there is a project %s already", s.ID),
	})
}

// Get implements projects.Repository.
func (r *Projects) Get(ctx context.Context, tenant, id string) (*projects.Project, error) {
	p, err := one(ctx, r.db, statement{
		"SELECT " + projectColumns + " FROM " + r.table + " WHERE tenant = ? AND id = ?", []any{tenant, id},
	}, readProject, domain.Errorf(domain.NotFound, "PROJECT_NOT_FOUND", "there is no project %q", id))
	if err != nil {
		return nil, fmt.Errorf("read project %s: %w", id, err)
	}
	return p, nil
}

// List implements projects.Repository.
func (r *Projects) List(ctx context.Context, tenant string, q projects.Query) ([]*projects.Project, error) {
	s := statement{"SELECT " + projectColumns + " FROM " + r.table + " WHERE tenant = ?", []any{tenant}}
	if !q.Archived {
		s.query += " AND archived = 0"
	}
	found, err := all(ctx, r.db, s.before(q.Before, q.Limit), readProject)
	if err != nil {
		return nil, fmt.Errorf("list projects: %w", err)
	}
	return found, nil
}

// before completes a query for a page that is newest first.
func (s statement) before(id string, limit int) statement {
	if id != "" {
		s.query, s.args = s.query+" AND id < ?", append(s.args, id)
	}
	return statement{s.query + " ORDER BY id DESC LIMIT ?", append(s.args, limit)}
}

func readProject(row sqltx.Row) (*projects.Project, error) {
	var s projects.Snapshot
	var watchers string
	var archived, created int64
	if err := row.Scan(&s.Tenant, &s.ID, &s.Name, &s.Description, &s.Assignee, &watchers, &archived, &created, &s.Version); err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(watchers), &s.Watchers); err != nil {
		return nil, fmt.Errorf("read the watchers: %w", err)
	}
	s.Archived, s.CreatedAt = archived != 0, sqltx.FromMicros(created)
	return projects.Restore(s), nil
}

// truth is a bool as it is stored.
func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
