package reference_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/domain"
	"github.com/leat-dev/leat/domain/builds"
	"github.com/leat-dev/leat/domain/members"
	"github.com/leat-dev/leat/domain/projects"
	"github.com/leat-dev/leat/domain/tenants"
)

var micro = at.Truncate(time.Microsecond)

func TestWhatIsSavedIsRead(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), t.Context()

	tenant, err := tenants.NewTenant("acme", "dev", "Acme", "ada@acme.example", micro)
	require.NoError(t, err)
	require.NoError(t, b.tenants.Save(ctx, tenant))
	gotTenant, err := b.tenants.Get(ctx, "acme", "acme")
	require.NoError(t, err)
	require.Equal(t, tenant.Snapshot(), gotTenant.Snapshot())

	project := b.project(t, "acme", "p1", projects.Details{
		Name: "Shop", Description: "d", Assignee: "bo@acme.example", Watchers: []string{"cy@acme.example", "di@acme.example"},
	})
	require.EqualValues(t, 1, project.Version())
	require.Empty(t, project.Pending())
	gotProject, err := b.projects.Get(ctx, "acme", "p1")
	require.NoError(t, err)
	require.Equal(t, project.Snapshot(), gotProject.Snapshot())
	require.NoError(t, gotProject.Update(projects.Details{Name: "Store"}))
	gotProject.Archive()
	require.NoError(t, b.projects.Save(ctx, gotProject))
	again, err := b.projects.Get(ctx, "acme", "p1")
	require.NoError(t, err)
	require.Equal(t, gotProject.Snapshot(), again.Snapshot())

	build, err := builds.NewBuild("b1", "acme", "p1", "shop/api", micro)
	require.NoError(t, err)
	for n, decide := range []func() error{
		func() error { return nil },
		func() error { return build.Start(micro.Add(time.Second)) },
		func() error { return build.Progress(40, "compile") },
		func() error { return build.Fail("broken", micro.Add(time.Minute)) },
	} {
		require.NoError(t, decide())
		require.NoError(t, b.builds.Save(ctx, build))
		got, err := b.builds.Get(ctx, "acme", "b1")
		require.NoError(t, err)
		require.Equal(t, build.Snapshot(), got.Snapshot())
		require.EqualValues(t, n+1, got.Version())
	}

	member, err := members.NewMember("m1", "acme", members.Invitation{
		Email: "ed@acme.example", Name: "Ed", Role: "developer", ProjectID: "p1",
	}, micro)
	require.NoError(t, err)
	require.NoError(t, b.members.Save(ctx, member))
	gotMember, err := b.members.Get(ctx, "acme", "m1")
	require.NoError(t, err)
	require.Equal(t, member.Snapshot(), gotMember.Snapshot())
}

func TestEventsAreSavedWithTheState(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := event.WithOrigin(t.Context(), event.Origin{Tenant: "dev", Actor: "ada", CorrelationID: "request-1"})

	tenant, err := tenants.NewTenant("acme", "dev", "Acme", "ada@acme.example", micro)
	require.NoError(t, err)
	require.NoError(t, b.tenants.Save(ctx, tenant))
	b.project(t, "acme", "p1", projects.Details{Name: "Shop"})
	build, err := builds.NewBuild("b1", "acme", "p1", "shop/api", micro)
	require.NoError(t, err)
	require.NoError(t, build.Start(micro))
	require.NoError(t, build.Fail("broken", micro))
	require.NoError(t, b.builds.Save(ctx, build))

	require.Equal(t, []string{
		"tenant.created", "project.created", "build.queued", "build.started", "build.failed", "build.failing",
	}, b.logged(t))
	log := b.log(t)
	for i, subject := range []string{"acme", "p1", "b1", "b1", "b1", "b1"} {
		require.Equal(t, subject, log[i].Subject)
		require.Equal(t, subject, log[i].PartitionKey)
		require.Equal(t, "acme", log[i].Tenant, "the aggregate's tenant, not the caller's")
	}
	require.Equal(t, "ada", log[0].Actor)
	require.Equal(t, "request-1", log[0].CorrelationID)
	require.Equal(t, "broken", dataOf(t, log[4])["reason"])
	require.Equal(t, domain.High, log[5].Severity)
}

func TestNothingIsKeptOfASaveThatFails(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), t.Context()
	p := b.project(t, "acme", "p1", projects.Details{Name: "Shop"})

	b.publisher.broken.Store(true)
	require.NoError(t, p.Update(projects.Details{Name: "Store"}))
	require.ErrorIs(t, b.projects.Save(ctx, p), errBroken)
	require.EqualValues(t, 1, p.Version())
	require.Len(t, p.Pending(), 1, "the aggregate can be saved again")
	stored, err := b.projects.Get(ctx, "acme", "p1")
	require.NoError(t, err)
	require.Equal(t, "Shop", stored.Snapshot().Name)
	require.Equal(t, []string{"project.created"}, b.logged(t))

	b.publisher.broken.Store(false)
	require.NoError(t, b.projects.Save(ctx, p))
	require.Equal(t, []string{"project.created", "project.updated"}, b.logged(t))
}

func TestSaveJoinsTheTransaction(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), t.Context()
	err := b.db.InTx(ctx, func(ctx context.Context) error {
		p, err := projects.NewProject("p1", "acme", projects.Details{Name: "Shop"}, micro)
		if err != nil {
			return err
		}
		if err := b.projects.Save(ctx, p); err != nil {
			return err
		}
		if _, err := b.projects.Get(ctx, "acme", "p1"); err != nil {
			return fmt.Errorf("a transaction must see its own writes: %w", err)
		}
		return errBroken
	})
	require.ErrorIs(t, err, errBroken)
	require.Empty(t, b.logged(t))
	_, err = b.projects.Get(ctx, "acme", "p1")
	requireError(t, err, domain.NotFound, "PROJECT_NOT_FOUND")
}

func TestSaveWithoutEventsChangesNothing(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), t.Context()
	p := b.project(t, "acme", "p1", projects.Details{Name: "Shop"})
	require.NoError(t, p.Update(projects.Details{Name: "Shop"}))
	require.NoError(t, b.projects.Save(ctx, p))
	require.EqualValues(t, 1, p.Version())
	stored, err := b.projects.Get(ctx, "acme", "p1")
	require.NoError(t, err)
	require.EqualValues(t, 1, stored.Version())
}

func TestOnlyOneOfTwoSavesWins(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), t.Context()
	b.project(t, "acme", "p1", projects.Details{Name: "Shop"})
	first, err := b.projects.Get(ctx, "acme", "p1")
	require.NoError(t, err)
	second, err := b.projects.Get(ctx, "acme", "p1")
	require.NoError(t, err)

	require.NoError(t, first.Update(projects.Details{Name: "First"}))
	require.NoError(t, b.projects.Save(ctx, first))
	require.NoError(t, second.Update(projects.Details{Name: "Second"}))
	requireError(t, b.projects.Save(ctx, second), domain.Conflict, "CONCURRENT_UPDATE")
	require.Len(t, second.Pending(), 1)
	require.Equal(t, []string{"project.created", "project.updated"}, b.logged(t))
}

// Many callers at once: each change is read, decided and saved, and tried again when somebody else
// was faster. No change may be lost and none may be logged that was not saved.
func TestConcurrentSaves(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.project(t, "acme", "p1", projects.Details{Name: "Shop"})
	const callers, changes = 8, 10
	group, ctx := errgroup.WithContext(t.Context())
	for c := range callers {
		group.Go(func() error {
			for n := 0; n < changes; {
				p, err := b.projects.Get(ctx, "acme", "p1")
				if err != nil {
					return err
				}
				if err := p.Update(projects.Details{Name: fmt.Sprintf("%d-%d", c, n)}); err != nil {
					return err
				}
				switch err := b.projects.Save(ctx, p); domain.KindOf(err) {
				case "":
					n++
				case domain.Conflict:
				default:
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())

	p, err := b.projects.Get(t.Context(), "acme", "p1")
	require.NoError(t, err)
	require.EqualValues(t, 1+callers*changes, p.Version())
	log := b.log(t)
	require.Len(t, log, 1+callers*changes)
	name := "Shop"
	for _, e := range log[1:] {
		change := dataOf(t, e)["changes"].(map[string]any)["name"].(map[string]any)
		require.Equal(t, name, change["from"], "each change follows the one before it in the log")
		name = change["to"].(string)
	}
	require.Equal(t, name, p.Snapshot().Name)
}

func TestTakenIDsAreRefused(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), t.Context()
	tenant := func() *tenants.Tenant {
		v, err := tenants.NewTenant("acme", "dev", "Acme", "ada@acme.example", micro)
		require.NoError(t, err)
		return v
	}
	require.NoError(t, b.tenants.Save(ctx, tenant()))
	requireError(t, b.tenants.Save(ctx, tenant()), domain.Conflict, "TENANT_EXISTS")

	member := func(id, tenant, email string) *members.Member {
		v, err := members.NewMember(id, tenant, members.Invitation{Email: email, Name: "Ed"}, micro)
		require.NoError(t, err)
		return v
	}
	require.NoError(t, b.members.Save(ctx, member("m1", "acme", "ed@acme.example")))
	requireError(t, b.members.Save(ctx, member("m2", "acme", "Ed@ACME.example")), domain.Conflict, "MEMBER_EXISTS")
	require.NoError(t, b.members.Save(ctx, member("m2", "other", "ed@acme.example")), "another tenant may invite the same person")
	require.Equal(t, []string{"tenant.created", "member.invited", "member.invited"}, b.logged(t))
}

func TestNothingCrossesATenant(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), t.Context()
	for _, tenant := range []string{"a", "b"} {
		v, err := tenants.NewTenant(tenant, "dev", "T", "t@acme.example", micro)
		require.NoError(t, err)
		require.NoError(t, b.tenants.Save(ctx, v))
	}
	b.project(t, "a", "p1", projects.Details{Name: "A's"})
	b.project(t, "b", "p1", projects.Details{Name: "B's"})
	b.project(t, "a", "p2", projects.Details{Name: "A's"})
	build, err := builds.NewBuild("b1", "a", "p1", "i", micro)
	require.NoError(t, err)
	require.NoError(t, b.builds.Save(ctx, build))
	member, err := members.NewMember("m1", "a", members.Invitation{Email: "ed@acme.example", Name: "Ed"}, micro)
	require.NoError(t, err)
	require.NoError(t, b.members.Save(ctx, member))

	_, err = b.tenants.Get(ctx, "b", "a")
	requireError(t, err, domain.NotFound, "TENANT_NOT_FOUND")
	_, err = b.tenants.Get(ctx, "dev", "a")
	require.NoError(t, err, "who created it sees it")
	seen, err := b.tenants.List(ctx, "b", tenants.Query{Limit: 10})
	require.NoError(t, err)
	require.Len(t, seen, 1)

	theirs, err := b.projects.Get(ctx, "b", "p1")
	require.NoError(t, err)
	require.Equal(t, "B's", theirs.Snapshot().Name, "the same id in another tenant is another project")
	_, err = b.projects.Get(ctx, "b", "p2")
	requireError(t, err, domain.NotFound, "PROJECT_NOT_FOUND")
	_, err = b.builds.Get(ctx, "b", "b1")
	requireError(t, err, domain.NotFound, "BUILD_NOT_FOUND")
	_, err = b.members.Get(ctx, "b", "m1")
	requireError(t, err, domain.NotFound, "MEMBER_NOT_FOUND")

	listedProjects, err := b.projects.List(ctx, "b", projects.Query{Limit: 10})
	require.NoError(t, err)
	require.Len(t, listedProjects, 1)
	listedBuilds, err := b.builds.List(ctx, "b", builds.Query{Limit: 10})
	require.NoError(t, err)
	require.Empty(t, listedBuilds)
	listedMembers, err := b.members.List(ctx, "b", members.Query{Limit: 10})
	require.NoError(t, err)
	require.Empty(t, listedMembers)
}

func TestListsAreFilteredAndPaged(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), t.Context()
	b.project(t, "acme", "p1", projects.Details{Name: "1"})
	b.project(t, "acme", "p2", projects.Details{Name: "2"})
	archived := b.project(t, "acme", "p3", projects.Details{Name: "3"})
	archived.Archive()
	require.NoError(t, b.projects.Save(ctx, archived))

	ids := func(q projects.Query) []string {
		found, err := b.projects.List(ctx, "acme", q)
		require.NoError(t, err)
		var ids []string
		for _, p := range found {
			ids = append(ids, p.Snapshot().ID)
		}
		return ids
	}
	require.Equal(t, []string{"p2", "p1"}, ids(projects.Query{Limit: 10}))
	require.Equal(t, []string{"p3", "p2", "p1"}, ids(projects.Query{Archived: true, Limit: 10}))
	require.Equal(t, []string{"p3", "p2"}, ids(projects.Query{Archived: true, Limit: 2}))
	require.Equal(t, []string{"p1"}, ids(projects.Query{Archived: true, Before: "p2", Limit: 2}))

	for i := range 4 {
		build, err := builds.NewBuild(fmt.Sprintf("b%d", i), "acme", fmt.Sprintf("p%d", 1+i%2), "i", micro)
		require.NoError(t, err)
		if i < 2 {
			require.NoError(t, build.Start(micro))
		}
		require.NoError(t, b.builds.Save(ctx, build))
	}
	buildIDs := func(q builds.Query) []string {
		found, err := b.builds.List(ctx, "acme", q)
		require.NoError(t, err)
		var ids []string
		for _, p := range found {
			ids = append(ids, p.Snapshot().ID)
		}
		return ids
	}
	require.Equal(t, []string{"b3", "b2", "b1", "b0"}, buildIDs(builds.Query{Limit: 10}))
	require.Equal(t, []string{"b2", "b0"}, buildIDs(builds.Query{ProjectID: "p1", Limit: 10}))
	require.Equal(t, []string{"b1", "b0"}, buildIDs(builds.Query{State: builds.StateStarted, Limit: 10}))
	require.Equal(t, []string{"b0"}, buildIDs(builds.Query{ProjectID: "p1", State: builds.StateStarted, Before: "b2", Limit: 10}))
}
