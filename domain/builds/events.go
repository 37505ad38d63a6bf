package builds

import "github.com/leat-dev/leat/domain"

// Ref names a build in its events.
type Ref struct {
	BuildID   string `json:"buildId" jsonschema:"minLength=1"`
	ProjectID string `json:"projectId" jsonschema:"minLength=1"`
	Image     string `json:"image" jsonschema:"minLength=1,maxLength=256"`
}

// Queued says that a build waits for its turn.
type Queued struct{ Ref }

// EventType is "build.queued".
func (Queued) EventType() string { return "build.queued" }

// Started says that a build runs.
type Started struct{ Ref }

// EventType is "build.started".
func (Started) EventType() string { return "build.started" }

// Progressed says how far a build is.
type Progressed struct {
	Ref
	Percent int    `json:"percent" jsonschema:"minimum=0,maximum=100"`
	Stage   string `json:"stage,omitempty" jsonschema:"maxLength=100"`
}

// EventType is "build.progressed".
func (Progressed) EventType() string { return "build.progressed" }

// Completed says that a build made its image.
type Completed struct {
	Ref
	DurationMS int64 `json:"durationMs" jsonschema:"minimum=0"` // from start to end
}

// EventType is "build.completed".
func (Completed) EventType() string { return "build.completed" }

// Failed says that a build broke.
type Failed struct {
	Ref
	Reason     string `json:"reason" jsonschema:"minLength=1,maxLength=1000"`
	Stage      string `json:"stage,omitempty" jsonschema:"maxLength=100"` // what it was doing
	DurationMS int64  `json:"durationMs" jsonschema:"minimum=0"`          // from start to end
}

// EventType is "build.failed".
func (Failed) EventType() string { return "build.failed" }

// Failing asks somebody to look after a build that broke.
type Failing struct {
	Ref
	Reason string `json:"reason" jsonschema:"minLength=1,maxLength=1000"`
}

// EventType is "build.failing".
func (Failing) EventType() string { return "build.failing" }

// Severity is domain.High: the image is missing, but what runs goes on running.
func (Failing) Severity() domain.Severity { return domain.High }

// Cancelled says that somebody gave a build up.
type Cancelled struct {
	Ref
	Reason string `json:"reason,omitempty" jsonschema:"maxLength=1000"`
}

// EventType is "build.cancelled".
func (Cancelled) EventType() string { return "build.cancelled" }

var _ domain.Alert = Failing{}
