package reference

import (
	"context"
	"embed"
	"io/fs"
	"time"

	"github.com/google/uuid"
	"github.com/jonboulle/clockwork"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/app/sqltx"
	"github.com/leat-dev/leat/domain/builds"
	"github.com/leat-dev/leat/domain/members"
	"github.com/leat-dev/leat/domain/projects"
	"github.com/leat-dev/leat/domain/tenants"
)

// Publisher accepts events into the transaction that ctx carries.
type Publisher interface {
	Publish(ctx context.Context, drafts ...event.Draft) ([]eventlog.Receipt, error)
}

//go:embed migrations/*.sql
var migrations embed.FS

// Service is the reference domain on a store: its commands, its queries and its routes.
type Service struct {
	// Recipients says who is to be told about the domain's events.
	Recipients *Recipients

	db       sqltx.Store
	tenants  *tenants.Service
	projects *projects.Service
	builds   *builds.Service
	members  *members.Service
}

// New returns the service. Migrate must have run before its first use.
func New(db sqltx.Store, p Publisher, clock clockwork.Clock) *Service {
	// What is stored has microseconds; a fresh aggregate must show the same.
	now := func() time.Time { return clock.Now().UTC().Truncate(time.Microsecond) }
	projectsRepo := NewProjects(db, p)
	return &Service{
		Recipients: NewRecipients(db),
		db:         db,
		tenants:    &tenants.Service{Repo: NewTenants(db, p), Clock: now, NewID: newID},
		projects:   &projects.Service{Repo: projectsRepo, Clock: now, NewID: newID},
		builds:     &builds.Service{Repo: NewBuilds(db, p), Projects: projectsRepo, Clock: now, NewID: newID},
		members:    &members.Service{Repo: NewMembers(db, p), Projects: projectsRepo, Clock: now, NewID: newID},
	}
}

// Migrate brings the service's tables up to date.
func (s *Service) Migrate(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	return s.db.Migrate(ctx, files, "reference")
}

// newID returns an id that sorts after those made before: lists are in the order of ids.
func newID() string { return uuid.Must(uuid.NewV7()).String() }
