//go:build prove

package prove_test

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/leat-dev/leat/wiring/cmd/leat/prove/oracle"
	"github.com/leat-dev/leat/wiring/cmd/leat/prove/report"
)

// results gathers what all tests of a run have counted.
type results struct {
	mu     sync.Mutex
	rows   map[place]*report.Row
	commit string
	said   []string // figures that are no counts

	deaths, drains, faults int
}

type place struct {
	promise         oracle.Promise
	scenario, house string
}

// add takes a life's last verdict in.
func (r *results) add(scenario string, l *life) {
	r.addFor(scenario, l, oracle.Kept, oracle.Settled, oracle.Once, oracle.InOrder, oracle.Mailed, oracle.Live, oracle.TenantsKept)
}

// addFor takes in what it says about some of the promises, those that the scenario is about.
func (r *results) addFor(scenario string, l *life, promises ...oracle.Promise) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deaths, r.drains, r.faults = r.deaths+l.deaths, r.drains+l.drains, r.faults+l.faults
	v := l.verdict
	all := map[oracle.Promise]int{
		oracle.Kept: v.Events, oracle.Settled: v.Events, oracle.Once: v.Once, oracle.InOrder: v.Events,
		oracle.Mailed: v.Mails, oracle.Live: v.Frames, oracle.TenantsKept: v.Events, oracle.OnesOwn: v.Events,
	}
	for _, promise := range promises {
		counted := all[promise]
		at := place{promise, scenario, l.house.String()}
		row := r.rows[at]
		if row == nil {
			row = &report.Row{Promise: int(promise), House: at.house, Scenario: scenario, Seed: run.seed}
			if r.rows == nil {
				r.rows = map[place]*report.Row{}
			}
			r.rows[at] = row
		}
		row.Runs += max(1, l.deaths+l.drains+l.faults)
		row.Counted += counted
		row.Lost += v.Count(promise, oracle.Lost)
		row.Ghost += v.Count(promise, oracle.Ghost)
		row.Twice += v.Count(promise, oracle.Twice)
		row.Disorder += v.Count(promise, oracle.Disorder)
		row.Crossed += v.Count(promise, oracle.Crossed)
	}
}

// say notes a figure for the end of the report.
func (r *results) say(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, text)
}

// figures are what was said, as a list.
func (r *results) figures() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	for _, text := range r.said {
		fmt.Fprintf(&b, "- %s\n", text)
	}
	return b.String()
}

// table is one row for each promise, scenario and house.
func (r *results) table() string { return report.Table(r.all()) }

// sums is one row for each promise.
func (r *results) sums() string { return report.Sums(r.all()) }

func (r *results) all() []report.Row {
	r.mu.Lock()
	defer r.mu.Unlock()
	var rows []report.Row
	for _, row := range r.rows {
		rows = append(rows, *row)
	}
	return rows
}

// summary is a sentence about the run.
func (r *results) summary(took time.Duration) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Sprintf("%s, commit %s, seed %d: %d processes died, %d were asked to stop, and %d times a server, a network or a disk broke; %v in all.",
		time.Now().UTC().Format(time.DateOnly), r.commit, run.seed, r.deaths, r.drains, r.faults, took.Round(time.Second))
}
