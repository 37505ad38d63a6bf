package reference

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leat-dev/leat/domain/builds"
)

// Build is a build as the API shows it.
type Build struct {
	ID         string     `json:"id"`
	ProjectID  string     `json:"projectId"`
	Image      string     `json:"image" example:"shop/api:1.4"`
	State      string     `json:"state" enum:"queued,started,completed,failed,cancelled"`
	Percent    int        `json:"percent" doc:"0 to 100."`
	Stage      string     `json:"stage" doc:"What it is doing; may be empty."`
	Reason     string     `json:"reason" doc:"Why it failed or was cancelled; else empty."`
	QueuedAt   time.Time  `json:"queuedAt"`
	StartedAt  *time.Time `json:"startedAt,omitempty"`
	FinishedAt *time.Time `json:"finishedAt,omitempty"`
	Version    int64      `json:"version" doc:"One more with each change."`
}

func showBuild(b *builds.Build) Build {
	s := b.Snapshot()
	return Build{
		ID: s.ID, ProjectID: s.ProjectID, Image: s.Image, State: string(s.State), Percent: s.Percent, Stage: s.Stage,
		Reason: s.Reason, QueuedAt: s.QueuedAt, StartedAt: optional(s.StartedAt), FinishedAt: optional(s.FinishedAt),
		Version: s.Version,
	}
}

func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// BuildList is a page of builds, newest first.
type BuildList struct {
	Builds []Build `json:"builds" nullable:"false"`
	Next   string  `json:"next" doc:"The cursor of the next page; empty on the last one."`
}

// NewBuild is the body that queues a build. The body may be missing.
type NewBuild struct {
	Image string `json:"image,omitempty" example:"shop/api:1.4" doc:"What is to be made. Default: the project's name."`
}

// BuildProgress is the body that tells how far a build is.
type BuildProgress struct {
	Percent int    `json:"percent" doc:"0 to 100, and never less than before."`
	Stage   string `json:"stage,omitempty" example:"compile" doc:"What it is doing. Default: the same as before."`
}

// BuildFailure is the body that tells why a build failed.
type BuildFailure struct {
	Reason string `json:"reason" example:"exit status 2"`
}

// BuildCancellation is the body that tells why a build is given up. The body may be missing.
type BuildCancellation struct {
	Reason string `json:"reason,omitempty"`
}

func (s *Service) buildRoutes(api huma.API) {
	show := func(b *builds.Build, err error) (Build, error) {
		if err != nil {
			return Build{}, err
		}
		return showBuild(b), nil
	}
	command(s, api, operation("queue-build", http.MethodPost, "/v1/projects/{id}/builds", http.StatusCreated, "Queue a build of a project"),
		func(ctx context.Context, tenant string, in *struct {
			ByID
			Body *NewBuild
		},
		) (Build, error) {
			var image string
			if in.Body != nil {
				image = in.Body.Image
			}
			return show(s.builds.Queue(ctx, tenant, in.ID, image))
		})
	query(api, operation("list-builds", http.MethodGet, "/v1/builds", http.StatusOK, "List builds, newest first"),
		func(ctx context.Context, tenant string, in *struct {
			Page
			Project string `query:"project" doc:"Only builds of the project with this id."`
			State   string `query:"state" enum:"queued,started,completed,failed,cancelled" doc:"Only builds in this state."`
		},
		) (BuildList, error) {
			found, err := s.builds.Repo.List(ctx, tenant, builds.Query{
				ProjectID: in.Project, State: builds.State(in.State), Before: in.Cursor, Limit: in.Limit + 1,
			})
			if err != nil {
				return BuildList{}, err
			}
			found, next := cut(found, in.Limit, func(b *builds.Build) string { return b.Snapshot().ID })
			return BuildList{Builds: shown(found, showBuild), Next: next}, nil
		})
	query(api, operation("get-build", http.MethodGet, "/v1/builds/{id}", http.StatusOK, "Show a build"),
		func(ctx context.Context, tenant string, in *ByID) (Build, error) {
			return show(s.builds.Repo.Get(ctx, tenant, in.ID))
		})
	command(s, api, operation("start-build", http.MethodPost, "/v1/builds/{id}/start", http.StatusOK, "Say that a build runs"),
		func(ctx context.Context, tenant string, in *ByID) (Build, error) {
			return show(s.builds.Start(ctx, tenant, in.ID))
		})
	command(s, api, operation("progress-build", http.MethodPost, "/v1/builds/{id}/progress", http.StatusOK, "Say how far a build is"),
		func(ctx context.Context, tenant string, in *struct {
			ByID
			Body BuildProgress
		},
		) (Build, error) {
			return show(s.builds.Progress(ctx, tenant, in.ID, in.Body.Percent, in.Body.Stage))
		})
	command(s, api, operation("complete-build", http.MethodPost, "/v1/builds/{id}/complete", http.StatusOK, "Say that a build made its image"),
		func(ctx context.Context, tenant string, in *ByID) (Build, error) {
			return show(s.builds.Complete(ctx, tenant, in.ID))
		})
	command(s, api, operation("fail-build", http.MethodPost, "/v1/builds/{id}/fail", http.StatusOK, "Say that a build broke"),
		func(ctx context.Context, tenant string, in *struct {
			ByID
			Body BuildFailure
		},
		) (Build, error) {
			return show(s.builds.Fail(ctx, tenant, in.ID, in.Body.Reason))
		})
	command(s, api, operation("cancel-build", http.MethodPost, "/v1/builds/{id}/cancel", http.StatusOK, "Give a build up"),
		func(ctx context.Context, tenant string, in *struct {
			ByID
			Body *BuildCancellation
		},
		) (Build, error) {
			var reason string
			if in.Body != nil {
				reason = in.Body.Reason
			}
			return show(s.builds.Cancel(ctx, tenant, in.ID, reason))
		})
}
