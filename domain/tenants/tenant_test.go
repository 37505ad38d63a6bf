package tenants_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/domain"
	"github.com/leat-dev/leat/domain/tenants"
)

var at = time.Date(2025, 3, 14, 15, 9, 26, 0, time.UTC)

// fields returns which fields an error names.
func fields(err error) []string {
	var found *domain.Error
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []string
		for _, e := range joined.Unwrap() {
			all = append(all, fields(e)...)
		}
		return all
	}
	if errors.As(err, &found) && found.Kind == domain.Invalid {
		return []string{found.Field}
	}
	return nil
}

func TestNewTenant(t *testing.T) {
	t.Parallel()
	got, err := tenants.NewTenant("acme", "dev", " Acme ", " ada@acme.example ", at)
	require.NoError(t, err)
	require.Equal(t, []domain.Event{tenants.Created{TenantID: "acme", Name: "Acme", Email: "ada@acme.example"}}, got.Pending())
	want := tenants.Snapshot{ID: "acme", Operator: "dev", Name: "Acme", Email: "ada@acme.example", CreatedAt: at}
	require.Equal(t, want, got.Snapshot())

	want.Version = 3
	restored := tenants.Restore(want)
	require.Equal(t, want, restored.Snapshot())
	require.Empty(t, restored.Pending())
}

func TestNewTenantNamesEveryFault(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		id, name, email string
		want            []string
	}{
		{"acme", "", "ada@acme.example", []string{"name"}},
		{"acme", "  ", "ada@acme.example", []string{"name"}},
		{"acme", strings.Repeat("é", tenants.MaxName), "ada@acme.example", nil},
		{"acme", strings.Repeat("é", tenants.MaxName+1), "ada@acme.example", []string{"name"}},
		{"acme", "a\nb", "ada@acme.example", []string{"name"}},
		{"acme", "a\u2028b", "ada@acme.example", []string{"name"}},
		{"acme", "a\xff", "ada@acme.example", []string{"name"}},
		{"", "Acme", "ada@acme.example", []string{"id"}},
		{"_system", "Acme", "ada@acme.example", []string{"id"}},
		{"a.b", "Acme", "ada@acme.example", []string{"id"}},
		{strings.Repeat("a", tenants.MaxID+1), "Acme", "ada@acme.example", []string{"id"}},
		{"*", "", "nobody", []string{"id", "name", "email"}},
	} {
		_, err := tenants.NewTenant(tc.id, "dev", tc.name, tc.email, at)
		require.Equal(t, tc.want, fields(err), "%q %q %q: %v", tc.id, tc.name, tc.email, err)
	}
}

func TestCheckEmail(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		"ada@example.org", "a.b+c@sub.example.org", "o'neil@example.org", "a@localhost", "A@EXAMPLE.ORG",
		strings.Repeat("a", 64) + "@example.org",
	} {
		require.NoError(t, tenants.CheckEmail("email", good), good)
	}
	for _, bad := range []string{
		"", "ada", "@example.org", "ada@", "ada@exa mple.org", "Ada <ada@example.org>", "<ada@example.org>",
		"ada@example.org\r\nBcc: all@example.org", "ada@example.org, bo@example.org", "ada..b@example.org",
		".ada@example.org", `"a b"@example.org`, "ada@-x.org", "ada@x-.org", "ada@x..org", "ada@[127.0.0.1]",
		"ada@münchen.example", "adä@example.org", "ada@example.org (Ada)", "a_b@under_score.org",
		strings.Repeat("a", 65) + "@example.org", "ada@" + strings.Repeat("a", 64) + ".org",
		"ada@" + strings.Repeat("abcdefgh.", 30) + "org",
	} {
		require.Equal(t, []string{"email"}, fields(tenants.CheckEmail("email", bad)), bad)
	}
}

func TestProseMayHaveLines(t *testing.T) {
	t.Parallel()
	require.NoError(t, tenants.CheckProse("reason", "a\n\tb\r\nc", 1, 100))
	require.Error(t, tenants.CheckProse("reason", "a\x00b", 1, 100))
	require.Error(t, tenants.CheckText("name", "ab", 3, 100))
}

type repository struct{ saved []*tenants.Tenant }

func (r *repository) Save(_ context.Context, t *tenants.Tenant) error {
	r.saved = append(r.saved, t)
	return nil
}
func (*repository) Get(context.Context, string, string) (*tenants.Tenant, error) { return nil, nil }
func (*repository) List(context.Context, string, tenants.Query) ([]*tenants.Tenant, error) {
	return nil, nil
}

func TestCreate(t *testing.T) {
	t.Parallel()
	repo := &repository{}
	s := &tenants.Service{Repo: repo, Clock: func() time.Time { return at }, NewID: func() string { return "new" }}

	named, err := s.Create(t.Context(), "dev", tenants.CreateTenant{ID: "acme", Name: "Acme", Email: "ada@acme.example"})
	require.NoError(t, err)
	require.Equal(t, "acme", named.Snapshot().ID)

	unnamed, err := s.Create(t.Context(), "dev", tenants.CreateTenant{Name: "Acme", Email: "ada@acme.example"})
	require.NoError(t, err)
	require.Equal(t, "new", unnamed.Snapshot().ID)
	require.Equal(t, at, unnamed.Snapshot().CreatedAt)
	require.Equal(t, []*tenants.Tenant{named, unnamed}, repo.saved)

	_, err = s.Create(t.Context(), "dev", tenants.CreateTenant{Name: "", Email: "ada@acme.example"})
	require.Equal(t, []string{"name"}, fields(err))
	require.Len(t, repo.saved, 2)
}
