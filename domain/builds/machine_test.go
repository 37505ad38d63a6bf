package builds_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/leat-dev/leat/domain"
	"github.com/leat-dev/leat/domain/builds"
)

// machine takes a build through random decisions, and says by itself what must come of each.
type machine struct {
	build   *builds.Build
	now     time.Time
	state   builds.State
	percent int
	stored  int64
}

// step takes one decision. allowed are the states in which it may be taken, wants the events that
// it then records.
func (m *machine) step(t *rapid.T, decide func() error, allowed []builds.State, next builds.State, wants ...string) {
	before := m.build.Snapshot()
	err := decide()
	if !slices.Contains(allowed, m.state) {
		if domain.KindOf(err) != domain.Conflict {
			t.Fatalf("in %s: got %v, want a conflict", m.state, err)
		}
		m.requireUntouched(t, before)
		return
	}
	if err != nil {
		t.Fatalf("in %s: got %v, want no error", m.state, err)
	}
	m.state = next
	var got []string
	for _, e := range m.build.Pending() {
		got = append(got, e.EventType())
	}
	if !slices.Equal(got, wants) {
		t.Fatalf("in %s: recorded %v, want %v", before.State, got, wants)
	}
	m.save()
}

func (m *machine) requireUntouched(t *rapid.T, before builds.Snapshot) {
	if after := m.build.Snapshot(); after != before {
		t.Fatalf("a refused decision changed the build: got %+v, want %+v", after, before)
	}
	if n := len(m.build.Pending()); n != 0 {
		t.Fatalf("a refused decision recorded %d events", n)
	}
}

// save stores the build and loads it again, as a repository does.
func (m *machine) save() {
	m.stored++
	m.build.Stored(m.stored)
	m.build = builds.Restore(m.build.Snapshot())
}

func (m *machine) tick() time.Time {
	m.now = m.now.Add(time.Second)
	return m.now
}

func TestEveryWayThroughABuild(t *testing.T) {
	t.Parallel()
	started := []builds.State{builds.StateStarted}
	rapid.Check(t, func(t *rapid.T) {
		b, err := builds.NewBuild("b1", "acme", "p1", "image", at)
		if err != nil {
			t.Fatal(err)
		}
		m := &machine{build: b, now: at, state: builds.StateQueued}
		m.save()
		t.Repeat(map[string]func(*rapid.T){
			"start": func(t *rapid.T) {
				m.step(t, func() error { return m.build.Start(m.tick()) },
					[]builds.State{builds.StateQueued}, builds.StateStarted, "build.started")
			},
			"progress": func(t *rapid.T) {
				percent := rapid.IntRange(m.percent, 100).Draw(t, "percent")
				stage := rapid.SampledFrom([]string{"", "fetch", "compile"}).Draw(t, "stage")
				var wants []string
				if s := m.build.Snapshot(); percent != s.Percent || stage != "" && stage != s.Stage {
					wants = []string{"build.progressed"}
				}
				m.step(t, func() error { return m.build.Progress(percent, stage) }, started, builds.StateStarted, wants...)
				if m.state == builds.StateStarted {
					m.percent = percent
				}
			},
			"progress outside": func(t *rapid.T) {
				percent := rapid.OneOf(rapid.IntMax(-1), rapid.IntMin(101)).Draw(t, "percent")
				before := m.build.Snapshot()
				if err := m.build.Progress(percent, ""); err == nil {
					t.Fatalf("%d percent was taken", percent)
				}
				m.requireUntouched(t, before)
			},
			"progress backwards": func(t *rapid.T) {
				if m.percent == 0 {
					t.Skip("nothing to go back from")
				}
				percent := rapid.IntRange(0, m.percent-1).Draw(t, "percent")
				before := m.build.Snapshot()
				if err := m.build.Progress(percent, ""); domain.KindOf(err) != domain.Conflict {
					t.Fatalf("from %d to %d percent: got %v, want a conflict", m.percent, percent, err)
				}
				m.requireUntouched(t, before)
			},
			"complete": func(t *rapid.T) {
				m.step(t, func() error { return m.build.Complete(m.tick()) }, started, builds.StateCompleted, "build.completed")
			},
			"fail": func(t *rapid.T) {
				m.step(t, func() error { return m.build.Fail("broken", m.tick()) }, started, builds.StateFailed,
					"build.failed", "build.failing")
			},
			"cancel": func(t *rapid.T) {
				m.step(t, func() error { return m.build.Cancel("", m.tick()) },
					[]builds.State{builds.StateQueued, builds.StateStarted}, builds.StateCancelled, "build.cancelled")
			},
			"": func(t *rapid.T) {
				s := m.build.Snapshot()
				switch {
				case s.State != m.state:
					t.Fatalf("state: got %s, want %s", s.State, m.state)
				case s.Version != m.stored:
					t.Fatalf("version: got %d, want %d", s.Version, m.stored)
				case s.Percent < m.percent:
					t.Fatalf("percent: got %d after %d", s.Percent, m.percent)
				case (s.State == builds.StateCompleted) && s.Percent != 100:
					t.Fatalf("completed at %d percent", s.Percent)
				case s.State.Final() == s.FinishedAt.IsZero():
					t.Fatalf("in %s: finished at %v", s.State, s.FinishedAt)
				case s.State == builds.StateQueued && !s.StartedAt.IsZero():
					t.Fatalf("queued, but started at %v", s.StartedAt)
				case (s.State == builds.StateFailed) != (s.Reason != ""):
					t.Fatalf("in %s: reason %q", s.State, s.Reason)
				}
			},
		})
	})
}
