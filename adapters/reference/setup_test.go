package reference_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leat-dev/leat/adapters/reference"
	"github.com/leat-dev/leat/adapters/sqlite"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/app/publish"
	"github.com/leat-dev/leat/domain"
	"github.com/leat-dev/leat/domain/projects"
	definitions "github.com/leat-dev/leat/handlers/reference"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var at = time.Date(2025, 3, 14, 15, 9, 26, 535_897_932, time.UTC)

// bundle is the service on a real store.
type bundle struct {
	db        *sqlite.DB
	clock     *clockwork.FakeClock
	publisher *flaky
	service   *reference.Service

	tenants  *reference.Tenants
	projects *reference.Projects
	builds   *reference.Builds
	members  *reference.Members
}

func setup(t *testing.T) *bundle {
	t.Helper()
	clock := clockwork.NewFakeClockAt(at)
	db, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "leat.db"), TablePrefix: "mine_"},
		clock, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	catalogue, err := event.NewCatalogue(definitions.Definitions())
	require.NoError(t, err)
	p := &flaky{Publisher: publish.New(publish.Config{}, catalogue, db, clock, nil)}
	b := &bundle{
		db: db, clock: clock, publisher: p, service: reference.New(db, p, clock),
		tenants: reference.NewTenants(db, p), projects: reference.NewProjects(db, p), builds: reference.NewBuilds(db, p),
		members: reference.NewMembers(db, p),
	}
	require.NoError(t, b.service.Migrate(t.Context()))
	require.NoError(t, b.service.Migrate(t.Context()), "a second time changes nothing")
	return b
}

var errBroken = errors.New("broken")

// flaky publishes, and can be made to fail after it has published.
type flaky struct {
	*publish.Publisher
	broken atomic.Bool
}

func (f *flaky) Publish(ctx context.Context, drafts ...event.Draft) ([]eventlog.Receipt, error) {
	receipts, err := f.Publisher.Publish(ctx, drafts...)
	if err == nil && f.broken.Load() {
		err = errBroken
	}
	return receipts, err
}

// log returns all events in the log.
func (b *bundle) log(t *testing.T) []event.Envelope {
	t.Helper()
	events, _, err := b.db.Read(t.Context(), 0, 0, 10_000)
	require.NoError(t, err)
	return events
}

// logged returns the types of all events in the log.
func (b *bundle) logged(t *testing.T) []string {
	t.Helper()
	var types []string
	for _, e := range b.log(t) {
		types = append(types, e.Type)
	}
	return types
}

// project stores a new project.
func (b *bundle) project(t *testing.T, tenant, id string, d projects.Details) *projects.Project {
	t.Helper()
	p, err := projects.NewProject(id, tenant, d, at.Truncate(time.Microsecond))
	require.NoError(t, err)
	require.NoError(t, b.projects.Save(t.Context(), p))
	return p
}

func requireError(t *testing.T, err error, kind domain.Kind, code string) {
	t.Helper()
	var got *domain.Error
	require.ErrorAs(t, err, &got)
	require.Equal(t, []string{string(kind), code}, []string{string(got.Kind), got.Code}, "%v", err)
}

func dataOf(t *testing.T, e event.Envelope) map[string]any {
	t.Helper()
	var data map[string]any
	require.NoError(t, json.Unmarshal(e.Data, &data))
	return data
}
