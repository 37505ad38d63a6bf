package reference

import (
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/domain/builds"
	"github.com/leat-dev/leat/domain/members"
	"github.com/leat-dev/leat/domain/projects"
	"github.com/leat-dev/leat/domain/tenants"
)

// Definitions returns how the events of the reference domain travel. What people watch while it
// happens is real-time.
func Definitions() event.Definitions {
	return event.Definitions{
		event.Define[tenants.Created](event.Business),

		event.Define[projects.Created](event.Business),
		event.Define[projects.Updated](event.Business),
		event.Define[projects.Archived](event.Business),

		event.Define[builds.Queued](event.Business),
		event.Define[builds.Started](event.Business, event.Realtime()),
		event.Define[builds.Progressed](event.Business, event.Realtime()),
		event.Define[builds.Completed](event.Business, event.Realtime()),
		event.Define[builds.Failed](event.Business, event.Realtime()),
		event.Define[builds.Failing](event.Alert),
		event.Define[builds.Cancelled](event.Business),

		event.Define[members.Invited](event.Business),
	}
}

// AuditPatterns returns which events leave an audit entry: everything that happens in the
// reference domain.
func AuditPatterns() []event.Pattern {
	return []event.Pattern{"build.*", "project.*", "tenant.*", "member.*"}
}
