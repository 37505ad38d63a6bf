package builds_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/domain"
	"github.com/leat-dev/leat/domain/builds"
)

var (
	at  = time.Date(2025, 3, 14, 15, 9, 26, 0, time.UTC)
	ref = builds.Ref{BuildID: "b1", ProjectID: "p1", Image: "shop/api:1.4"}
)

// in returns a build that is stored in a state.
func in(state builds.State) *builds.Build {
	s := builds.Snapshot{
		ID: "b1", Tenant: "acme", ProjectID: "p1", Image: "shop/api:1.4", State: state, QueuedAt: at, Version: 1,
	}
	if state != builds.StateQueued {
		s.StartedAt = at
	}
	return builds.Restore(s)
}

func requireError(t *testing.T, err error, kind domain.Kind, code, field string) {
	t.Helper()
	var got *domain.Error
	require.ErrorAs(t, err, &got)
	require.Equal(t, []string{string(kind), code, field}, []string{string(got.Kind), got.Code, got.Field}, "%v", err)
}

func TestNewBuild(t *testing.T) {
	t.Parallel()
	b, err := builds.NewBuild("b1", "acme", "p1", " shop/api:1.4 ", at)
	require.NoError(t, err)
	require.Equal(t, []domain.Event{builds.Queued{Ref: ref}}, b.Pending())
	require.Equal(t, builds.Snapshot{
		ID: "b1", Tenant: "acme", ProjectID: "p1", Image: "shop/api:1.4", State: builds.StateQueued, QueuedAt: at,
	}, b.Snapshot())

	for _, image := range []string{"", " ", strings.Repeat("x", builds.MaxImage+1), "a\nb"} {
		_, err := builds.NewBuild("b1", "acme", "p1", image, at)
		requireError(t, err, domain.Invalid, "INVALID_INPUT", "image")
	}
}

func TestRestoreKeepsEverything(t *testing.T) {
	t.Parallel()
	want := builds.Snapshot{
		ID: "b1", Tenant: "acme", ProjectID: "p1", Image: "i", State: builds.StateFailed, Percent: 40, Stage: "compile",
		Reason: "broken", QueuedAt: at, StartedAt: at.Add(time.Second), FinishedAt: at.Add(time.Minute), Version: 5,
	}
	b := builds.Restore(want)
	require.Equal(t, want, b.Snapshot())
	require.Empty(t, b.Pending())
}

func TestTheWayToCompleted(t *testing.T) {
	t.Parallel()
	b := in(builds.StateQueued)
	require.NoError(t, b.Start(at.Add(time.Second)))
	require.NoError(t, b.Progress(40, "compile"))
	require.NoError(t, b.Progress(60, ""))
	require.NoError(t, b.Complete(at.Add(3500*time.Millisecond)))
	require.Equal(t, []domain.Event{
		builds.Started{Ref: ref},
		builds.Progressed{Ref: ref, Percent: 40, Stage: "compile"},
		builds.Progressed{Ref: ref, Percent: 60, Stage: "compile"},
		builds.Completed{Ref: ref, DurationMS: 2500},
	}, b.Pending())
	s := b.Snapshot()
	require.Equal(t, builds.StateCompleted, s.State)
	require.Equal(t, 100, s.Percent)
	require.Equal(t, at.Add(time.Second), s.StartedAt)
	require.Equal(t, at.Add(3500*time.Millisecond), s.FinishedAt)
}

func TestFailingAsksForHelp(t *testing.T) {
	t.Parallel()
	b := in(builds.StateStarted)
	require.NoError(t, b.Progress(10, "fetch"))
	require.NoError(t, b.Fail("exit status 2\nsee log", at.Add(-time.Second)))
	require.Equal(t, []domain.Event{
		builds.Progressed{Ref: ref, Percent: 10, Stage: "fetch"},
		builds.Failed{Ref: ref, Reason: "exit status 2\nsee log", Stage: "fetch", DurationMS: 0},
		builds.Failing{Ref: ref, Reason: "exit status 2\nsee log"},
	}, b.Pending(), "a clock that was set back gives no negative duration")
	require.Equal(t, domain.High, builds.Failing{}.Severity())

	for _, reason := range []string{"", " ", strings.Repeat("x", builds.MaxReason+1)} {
		requireError(t, in(builds.StateStarted).Fail(reason, at), domain.Invalid, "INVALID_INPUT", "reason")
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	for _, state := range []builds.State{builds.StateQueued, builds.StateStarted} {
		b := in(state)
		require.NoError(t, b.Cancel("superseded", at))
		require.Equal(t, []domain.Event{builds.Cancelled{Ref: ref, Reason: "superseded"}}, b.Pending())
		require.Equal(t, builds.StateCancelled, b.Snapshot().State)
	}
	require.NoError(t, in(builds.StateQueued).Cancel("", at), "a reason is not asked for")
	requireError(t, in(builds.StateQueued).Cancel(strings.Repeat("x", builds.MaxReason+1), at),
		domain.Invalid, "INVALID_INPUT", "reason")
}

func TestProgressRefuses(t *testing.T) {
	t.Parallel()
	b := in(builds.StateStarted)
	require.NoError(t, b.Progress(50, "compile"))
	b.Stored(2)
	before := b.Snapshot()
	requireError(t, b.Progress(-1, ""), domain.Invalid, "INVALID_INPUT", "percent")
	requireError(t, b.Progress(101, ""), domain.Invalid, "INVALID_INPUT", "percent")
	requireError(t, b.Progress(60, strings.Repeat("x", builds.MaxStage+1)), domain.Invalid, "INVALID_INPUT", "stage")
	requireError(t, b.Progress(49, "compile"), domain.Conflict, "BUILD_PROGRESS_BACKWARDS", "percent")
	require.NoError(t, b.Progress(50, "compile"), "the same again")
	require.Empty(t, b.Pending())
	require.Equal(t, before, b.Snapshot())
}

func TestWrongStatesSayFromWhereToWhere(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		from builds.State
		do   func(*builds.Build) error
		want string
	}{
		{builds.StateStarted, func(b *builds.Build) error { return b.Start(at) }, "build b1 cannot go from started to started"},
		{builds.StateQueued, func(b *builds.Build) error { return b.Progress(1, "") }, "build b1 cannot go from queued to progressed"},
		{builds.StateQueued, func(b *builds.Build) error { return b.Complete(at) }, "build b1 cannot go from queued to completed"},
		{builds.StateCompleted, func(b *builds.Build) error { return b.Fail("x", at) }, "build b1 cannot go from completed to failed"},
		{builds.StateFailed, func(b *builds.Build) error { return b.Cancel("", at) }, "build b1 cannot go from failed to cancelled"},
	} {
		err := tc.do(in(tc.from))
		requireError(t, err, domain.Conflict, "BUILD_WRONG_STATE", "")
		require.EqualError(t, err, tc.want)
	}
}
