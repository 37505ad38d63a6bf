package reference

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/app/sqltx"
	"github.com/leat-dev/leat/domain"
	"github.com/leat-dev/leat/domain/members"
	"github.com/leat-dev/leat/domain/tenants"
	"github.com/leat-dev/leat/handlers/notify"
)

var _ notify.Recipients = (*Recipients)(nil)

// Recipients knows whom the events of the reference domain concern:
//
//   - tenant.created: the contact that it names
//   - member.invited: the invitee
//   - build.* and project.*: the tenant's contact, the project's assignee, the project's watchers,
//     as they are when the event is handled
//
// Nobody is named twice: who has several roles has the first of these. Events of other types
// concern nobody.
type Recipients struct {
	tenants  *Tenants
	projects *Projects
}

// NewRecipients returns Recipients that read the store.
func NewRecipients(db sqltx.Store) *Recipients {
	// The repositories only read here, so that they need no publisher.
	return &Recipients{tenants: NewTenants(db, nil), projects: NewProjects(db, nil)}
}

// Recipients implements notify.Recipients.
func (r *Recipients) Recipients(ctx context.Context, e event.Envelope) ([]notify.Recipient, error) {
	switch {
	case e.Type == tenants.Created{}.EventType():
		var created tenants.Created
		if err := decode(e, &created); err != nil {
			return nil, err
		}
		return []notify.Recipient{{Address: created.Email, Role: "contact"}}, nil
	case e.Type == members.Invited{}.EventType():
		var invited members.Invited
		if err := decode(e, &invited); err != nil {
			return nil, err
		}
		return []notify.Recipient{{Address: invited.Email, Name: invited.Name, Role: "invitee"}}, nil
	case strings.HasPrefix(e.Type, "build."), strings.HasPrefix(e.Type, "project."):
		var about struct {
			ProjectID string `json:"projectId"`
		}
		if err := decode(e, &about); err != nil {
			return nil, err
		}
		return r.ofProject(ctx, e.Tenant, about.ProjectID)
	}
	return nil, nil
}

// ofProject looks up who stands behind a project. The tenant, or the project, may be unknown: a
// tenant need not be set up here to publish events.
func (r *Recipients) ofProject(ctx context.Context, tenant, projectID string) ([]notify.Recipient, error) {
	var found people
	t, err := r.tenants.Get(ctx, tenant, tenant)
	switch {
	case err == nil:
		found.add("contact", t.Snapshot().Email)
	case domain.KindOf(err) != domain.NotFound:
		return nil, err
	}
	p, err := r.projects.Get(ctx, tenant, projectID)
	switch {
	case err == nil:
		details := p.Snapshot().Details
		found.add("assignee", details.Assignee)
		found.add("watcher", details.Watchers...)
	case domain.KindOf(err) != domain.NotFound:
		return nil, err
	}
	return found, nil
}

// people is a list in which no address stands twice, whatever its case.
type people []notify.Recipient

func (p *people) add(role string, addresses ...string) {
	for _, address := range addresses {
		if address != "" && !p.has(address) {
			*p = append(*p, notify.Recipient{Address: address, Role: role})
		}
	}
}

func (p *people) has(address string) bool {
	for _, known := range *p {
		if strings.EqualFold(known.Address, address) {
			return true
		}
	}
	return false
}

func decode(e event.Envelope, into any) error {
	if err := json.Unmarshal(e.Data, into); err != nil {
		return handler.Permanent(fmt.Errorf("read the data of %s: %w", e.Type, err))
	}
	return nil
}
