package reference

import "github.com/leat-dev/leat/handlers/notify"

// Rules returns which event leads to which mail.
func Rules() []notify.Rule {
	return []notify.Rule{
		{Type: "tenant.created", Template: "welcome"},
		{Type: "member.invited", Template: "invitation"},
		{Type: "project.archived", Template: "project-archived"},
		{Type: "build.completed", Template: "build-completed"},
		{Type: "build.failed", Template: "build-failed"},
	}
}
