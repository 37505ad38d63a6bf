package reference

import (
	"context"
	"fmt"

	"github.com/leat-dev/leat/app/sqltx"
	"github.com/leat-dev/leat/domain"
	"github.com/leat-dev/leat/domain/builds"
)

var _ builds.Repository = (*Builds)(nil)

// Builds keeps builds.
type Builds struct {
	store
	table string
}

// NewBuilds returns the repository.
func NewBuilds(db sqltx.Store, p Publisher) *Builds {
	return &Builds{store: store{db: db, publisher: p}, table: db.Table("reference_builds")}
}

const buildColumns = "tenant, id, project_id, image, state, percent, stage, reason, queued_at, started_at, finished_at, version"

// Save implements builds.Repository.
func (r *Builds) Save(ctx context.Context, b *builds.Build) error {
	s := b.Snapshot()
	return r.save(ctx, b, item{
		tenant: s.Tenant, id: s.ID,
		insert: statement{
			"INSERT INTO " + r.table + " (" + buildColumns + ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1) ON CONFLICT DO NOTHING",
			[]any{
				s.Tenant, s.ID, s.ProjectID, s.Image, s.State, s.Percent, s.Stage, s.Reason,
				sqltx.Micros(s.QueuedAt), sqltx.Micros(s.StartedAt), sqltx.Micros(s.FinishedAt),
			},
		},
		update: statement{
			"UPDATE " + r.table + " SET state = ?, percent = ?, stage = ?, reason = ?, started_at = ?, finished_at = ?, version = version + 1" +
				" WHERE tenant = ? AND id = ? AND version = ?",
			[]any{
				s.State, s.Percent, s.Stage, s.Reason, sqltx.Micros(s.StartedAt), sqltx.Micros(s.FinishedAt), s.Tenant, s.ID, s.Version,
			},
		},
		taken: domain.Errorf(domain.Conflict, "BUILD_EXISTS", "there is a build %s already", s.ID),
	})
}

// Get implements builds.Repository.
func (r *Builds) Get(ctx context.Context, tenant, id string) (*builds.Build, error) {
	b, err := one(ctx, r.db, statement{
		"SELECT " + buildColumns + " FROM " + r.table + " WHERE tenant = ? AND id = ?", []any{tenant, id},
	}, readBuild, domain.Errorf(domain.NotFound, "BUILD_NOT_FOUND", "there is no build %q", id))
	if err != nil {
		return nil, fmt.Errorf("read build %s: %w", id, err)
	}
	return b, nil
}

// List implements builds.Repository.
func (r *Builds) List(ctx context.Context, tenant string, q builds.Query) ([]*builds.Build, error) {
	s := statement{"SELECT " + buildColumns + " FROM " + r.table + " WHERE tenant = ?", []any{tenant}}
	if q.ProjectID != "" {
		s = statement{s.query + " AND project_id = ?", append(s.args, q.ProjectID)}
	}
	if q.State != "" {
		s = statement{s.query + " AND state = ?", append(s.args, q.State)}
	}
	found, err := all(ctx, r.db, s.before(q.Before, q.Limit), readBuild)
	if err != nil {
		return nil, fmt.Errorf("list builds: %w", err)
	}
	return found, nil
}

func readBuild(row sqltx.Row) (*builds.Build, error) {
	var s builds.Snapshot
	var queued, started, finished int64
	if err := row.Scan(&s.Tenant, &s.ID, &s.ProjectID, &s.Image, &s.State, &s.Percent, &s.Stage, &s.Reason,
		&queued, &started, &finished, &s.Version); err != nil {
		return nil, err
	}
	s.QueuedAt, s.StartedAt, s.FinishedAt = sqltx.FromMicros(queued), sqltx.FromMicros(started), sqltx.FromMicros(finished)
	return builds.Restore(s), nil
}
