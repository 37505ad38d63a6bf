package builds

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/leat-dev/leat/domain"
	"github.com/leat-dev/leat/domain/tenants"
)

// Limits of a build's texts in characters.
const (
	MaxImage  = 256
	MaxStage  = 100
	MaxReason = 1000
)

// Build is the making of one image of a project.
type Build struct {
	domain.Root
	id         string
	tenant     string
	projectID  string
	image      string
	state      State
	percent    int
	stage      string
	reason     string
	queuedAt   time.Time
	startedAt  time.Time
	finishedAt time.Time
}

// Snapshot is a build's state as it is stored and shown.
type Snapshot struct {
	ID         string
	Tenant     string
	ProjectID  string
	Image      string // what is made, such as "shop/api:1.4"
	State      State
	Percent    int    // 0 to 100
	Stage      string // what it is doing; may be empty
	Reason     string // why it failed or was cancelled; else empty
	QueuedAt   time.Time
	StartedAt  time.Time // zero: not started
	FinishedAt time.Time // zero: not finished
	Version    int64
}

// NewBuild queues a build and records build.queued.
func NewBuild(id, tenant, projectID, image string, now time.Time) (*Build, error) {
	image = strings.TrimSpace(image)
	if err := tenants.CheckText("image", image, 1, MaxImage); err != nil {
		return nil, err
	}
	b := &Build{id: id, tenant: tenant, projectID: projectID, image: image, state: StateQueued, queuedAt: now.UTC()}
	b.Record(Queued{b.ref()})
	return b, nil
}

// Restore returns a stored build.
func Restore(s Snapshot) *Build {
	b := &Build{
		id: s.ID, tenant: s.Tenant, projectID: s.ProjectID, image: s.Image, state: s.State, percent: s.Percent,
		stage: s.Stage, reason: s.Reason, queuedAt: s.QueuedAt, startedAt: s.StartedAt, finishedAt: s.FinishedAt,
	}
	b.Stored(s.Version)
	return b
}

// Snapshot returns the build's present state.
func (b *Build) Snapshot() Snapshot {
	return Snapshot{
		ID: b.id, Tenant: b.tenant, ProjectID: b.projectID, Image: b.image, State: b.state, Percent: b.percent,
		Stage: b.stage, Reason: b.reason, QueuedAt: b.queuedAt, StartedAt: b.startedAt, FinishedAt: b.finishedAt,
		Version: b.Version(),
	}
}

// Start begins a queued build and records build.started.
func (b *Build) Start(now time.Time) error {
	if b.state != StateQueued {
		return b.wrongState(StateStarted)
	}
	b.state, b.startedAt = StateStarted, now.UTC()
	b.Record(Started{b.ref()})
	return nil
}

// Progress notes how far a started build is, 0 to 100, and what it is doing (empty: the same as
// before), and records build.progressed. It never goes backwards: less than before is refused with domain.Conflict,
// BUILD_PROGRESS_BACKWARDS. The same again changes nothing.
func (b *Build) Progress(percent int, stage string) error {
	if b.state != StateStarted {
		return b.wrongState("progressed")
	}
	stage = strings.TrimSpace(stage)
	var outside error
	if percent < 0 || percent > 100 {
		outside = &domain.Error{
			Kind: domain.Invalid, Code: "INVALID_INPUT", Field: "percent",
			Message: fmt.Sprintf("%d is not from 0 to 100", percent),
		}
	}
	if err := errors.Join(outside, tenants.CheckText("stage", stage, 0, MaxStage)); err != nil {
		return err
	}
	if percent < b.percent {
		return domain.Errorf(domain.Conflict, "BUILD_PROGRESS_BACKWARDS",
			"the build is at %d percent and cannot go back to %d", b.percent, percent).InField("percent")
	}
	if stage == "" {
		stage = b.stage
	}
	if percent == b.percent && stage == b.stage {
		return nil
	}
	b.percent, b.stage = percent, stage
	b.Record(Progressed{Ref: b.ref(), Percent: percent, Stage: stage})
	return nil
}

// Complete ends a started build that made its image and records build.completed.
func (b *Build) Complete(now time.Time) error {
	if b.state != StateStarted {
		return b.wrongState(StateCompleted)
	}
	b.state, b.percent, b.finishedAt = StateCompleted, 100, now.UTC()
	b.Record(Completed{Ref: b.ref(), DurationMS: b.took()})
	return nil
}

// Fail ends a started build that broke, and records build.failed and the alert build.failing.
func (b *Build) Fail(reason string, now time.Time) error {
	if b.state != StateStarted {
		return b.wrongState(StateFailed)
	}
	reason = strings.TrimSpace(reason)
	if err := tenants.CheckProse("reason", reason, 1, MaxReason); err != nil {
		return err
	}
	b.state, b.reason, b.finishedAt = StateFailed, reason, now.UTC()
	b.Record(Failed{Ref: b.ref(), Reason: reason, Stage: b.stage, DurationMS: b.took()})
	b.Record(Failing{Ref: b.ref(), Reason: reason})
	return nil
}

// Cancel gives up a build that is queued or started, for a reason that may be empty, and records
// build.cancelled.
func (b *Build) Cancel(reason string, now time.Time) error {
	if b.state.Final() {
		return b.wrongState(StateCancelled)
	}
	reason = strings.TrimSpace(reason)
	if err := tenants.CheckProse("reason", reason, 0, MaxReason); err != nil {
		return err
	}
	b.state, b.reason, b.finishedAt = StateCancelled, reason, now.UTC()
	b.Record(Cancelled{Ref: b.ref(), Reason: reason})
	return nil
}

func (b *Build) ref() Ref { return Ref{BuildID: b.id, ProjectID: b.projectID, Image: b.image} }

// took is how long the build ran, in milliseconds; a clock that was set back makes it 0.
func (b *Build) took() int64 { return max(0, b.finishedAt.Sub(b.startedAt).Milliseconds()) }

func (b *Build) wrongState(to State) error {
	return domain.Errorf(domain.Conflict, "BUILD_WRONG_STATE", "build %s cannot go from %s to %s", b.id, b.state, to)
}
