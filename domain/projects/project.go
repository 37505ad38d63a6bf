package projects

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/leat-dev/leat/domain"
	"github.com/leat-dev/leat/domain/tenants"
)

// Limits of a project: MaxName and MaxDescription in characters.
const (
	MaxName        = 100
	MaxDescription = 1000
	MaxWatchers    = 50
)

// Project is what images are built for. People may be attached to it: one who is responsible, and
// others who want to know.
type Project struct {
	domain.Root
	id        string
	tenant    string
	details   Details
	archived  bool
	createdAt time.Time
}

// Details is what people say about a project.
type Details struct {
	Name        string
	Description string   // may be empty
	Assignee    string   // mail address of who is responsible; may be empty
	Watchers    []string // mail addresses of who else wants to know, no address twice
}

// Snapshot is a project's state as it is stored and shown.
type Snapshot struct {
	ID     string
	Tenant string
	Details
	Archived  bool
	CreatedAt time.Time
	Version   int64
}

// NewProject creates a project and records project.created. Errors name every field at fault.
func NewProject(id, tenant string, d Details, now time.Time) (*Project, error) {
	d = d.tidy()
	if err := d.check(); err != nil {
		return nil, err
	}
	p := &Project{id: id, tenant: tenant, details: d, createdAt: now.UTC()}
	p.Record(Created{
		ProjectID: id, Name: d.Name, Description: d.Description, Assignee: d.Assignee,
		Watchers: slices.Clone(d.Watchers),
	})
	return p, nil
}

// Restore returns a stored project.
func Restore(s Snapshot) *Project {
	s.Watchers = append([]string(nil), s.Watchers...) // none is nil, so that equal states are equal
	p := &Project{id: s.ID, tenant: s.Tenant, details: s.Details, archived: s.Archived, createdAt: s.CreatedAt}
	p.Stored(s.Version)
	return p
}

// Snapshot returns the project's present state.
func (p *Project) Snapshot() Snapshot {
	d := p.details
	d.Watchers = slices.Clone(d.Watchers)
	return Snapshot{
		ID: p.id, Tenant: p.tenant, Details: d, Archived: p.archived, CreatedAt: p.createdAt, Version: p.Version(),
	}
}

// Update replaces the details and records project.updated with every field that changed. When
// nothing changed nothing is recorded. An archived project refuses it with PROJECT_ARCHIVED.
func (p *Project) Update(d Details) error {
	if err := p.MustBeActive(); err != nil {
		return err
	}
	d = d.tidy()
	if err := d.check(); err != nil {
		return err
	}
	changes := map[string]Change{}
	note := func(field string, from, to any, same bool) {
		if !same {
			changes[field] = Change{From: from, To: to}
		}
	}
	old := p.details
	note("name", old.Name, d.Name, old.Name == d.Name)
	note("description", old.Description, d.Description, old.Description == d.Description)
	note("assignee", old.Assignee, d.Assignee, old.Assignee == d.Assignee)
	note("watchers", list(old.Watchers), list(d.Watchers), slices.Equal(old.Watchers, d.Watchers))
	if len(changes) == 0 {
		return nil
	}
	p.details = d
	p.Record(Updated{ProjectID: p.id, Name: d.Name, Changes: changes})
	return nil
}

// Archive closes the project for good and records project.archived. Archiving it again changes
// nothing.
func (p *Project) Archive() {
	if p.archived {
		return
	}
	p.archived = true
	p.Record(Archived{ProjectID: p.id, Name: p.details.Name})
}

// MustBeActive refuses an archived project: domain.Conflict with code PROJECT_ARCHIVED.
func (p *Project) MustBeActive() error {
	if p.archived {
		return domain.Errorf(domain.Conflict, "PROJECT_ARCHIVED",
			"project %q is archived and takes neither changes nor builds", p.details.Name)
	}
	return nil
}

// tidy removes space around the texts, empty watchers and watchers named twice.
func (d Details) tidy() Details {
	d.Name = strings.TrimSpace(d.Name)
	d.Description = strings.TrimSpace(d.Description)
	d.Assignee = strings.TrimSpace(d.Assignee)
	var watchers []string
	seen := map[string]bool{}
	for _, w := range d.Watchers {
		w = strings.TrimSpace(w)
		if key := strings.ToLower(w); w != "" && !seen[key] {
			seen[key] = true
			watchers = append(watchers, w)
		}
	}
	d.Watchers = watchers
	return d
}

func (d Details) check() error {
	faults := []error{
		tenants.CheckText("name", d.Name, 1, MaxName),
		tenants.CheckProse("description", d.Description, 0, MaxDescription),
	}
	if d.Assignee != "" {
		faults = append(faults, tenants.CheckEmail("assignee", d.Assignee))
	}
	if len(d.Watchers) > MaxWatchers {
		faults = append(faults, &domain.Error{
			Kind: domain.Invalid, Code: "INVALID_INPUT", Field: "watchers",
			Message: fmt.Sprintf("has %d addresses; the limit is %d", len(d.Watchers), MaxWatchers),
		})
	} else {
		for i, w := range d.Watchers {
			faults = append(faults, tenants.CheckEmail(fmt.Sprintf("watchers.%d", i), w))
		}
	}
	return errors.Join(faults...)
}

// list returns a list that is never null in JSON.
func list(s []string) []string { return append([]string{}, s...) }
