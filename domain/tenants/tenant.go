package tenants

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/leat-dev/leat/domain"
)

// Limits of a tenant's texts: MaxID in bytes, MaxName in characters.
const (
	MaxID   = 64
	MaxName = 100
)

// Tenant is an organisation that uses the service, with the person to write to. Everything else
// belongs to exactly one tenant.
type Tenant struct {
	domain.Root
	id        string
	operator  string
	name      string
	email     string
	createdAt time.Time
}

// Snapshot is a tenant's state as it is stored and shown.
type Snapshot struct {
	ID        string
	Operator  string // the tenant on whose behalf it was created; it sees the tenant, too
	Name      string
	Email     string // of the contact
	CreatedAt time.Time
	Version   int64
}

// NewTenant creates a tenant and records tenant.created. The id has at most MaxID letters, digits,
// '-' and '_' and begins with a letter or digit. Errors name every field at fault.
func NewTenant(id, operator, name, email string, now time.Time) (*Tenant, error) {
	name, email = strings.TrimSpace(name), strings.TrimSpace(email)
	if err := errors.Join(checkID(id), CheckText("name", name, 1, MaxName), CheckEmail("email", email)); err != nil {
		return nil, err
	}
	t := &Tenant{id: id, operator: operator, name: name, email: email, createdAt: now.UTC()}
	t.Record(Created{TenantID: id, Name: name, Email: email})
	return t, nil
}

// Restore returns a stored tenant.
func Restore(s Snapshot) *Tenant {
	t := &Tenant{id: s.ID, operator: s.Operator, name: s.Name, email: s.Email, createdAt: s.CreatedAt}
	t.Stored(s.Version)
	return t
}

// Snapshot returns the tenant's present state.
func (t *Tenant) Snapshot() Snapshot {
	return Snapshot{
		ID: t.id, Operator: t.operator, Name: t.name, Email: t.email, CreatedAt: t.createdAt, Version: t.Version(),
	}
}

// checkID keeps to what can name a tenant on every event; ids that begin with '_' are the
// program's own.
func checkID(id string) error {
	if id == "" || len(id) > MaxID || !isLetterOrDigit(id[0]) {
		return invalid("id", fmt.Sprintf("must have 1 to %d characters and begin with a letter or digit", MaxID))
	}
	for i := 0; i < len(id); i++ {
		if c := id[i]; !isLetterOrDigit(c) && c != '-' && c != '_' {
			return invalid("id", "may hold letters, digits, '-' and '_' only")
		}
	}
	return nil
}
