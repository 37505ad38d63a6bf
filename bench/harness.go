package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
	"time"
)

type options struct {
	rounds   int
	scale    float64
	quick    bool
	guard    bool
	profiles string
	log      int    // events in a large log
	state    *state // what rows share
}

// Row is one comparison: the same work done by us and by a peer.
type Row struct {
	ID, Variant string
	Work, Peer  string
	// AtLeast is the goal for our rate in multiples of the peer's; AtMost for our time in multiples of
	// the peer's. One of them is set, or none where there are only limits.
	AtLeast, AtMost float64
	Measure         string  // what AtMost is about; "time" when empty
	Limits          []Limit // of our side
	N               int     // units of work in a run
	Batch           int     // a run does a multiple of it
	Ours, Them      Side    // Them is nil where there is nobody to compare with
	// Guard is what the ratio must reach in the best of some small rounds, for AtMost what it may be at
	// most. 0: half of the goal.
	Guard float64
	Note  string // what limits the figure
}

// Limit is an absolute goal for a value of our side, in milliseconds or what its name says.
type Limit struct {
	Name   string
	Below  float64
	Steady bool // on a busy machine as well
}

// Side does n units of work and says how it went. It sets up what it needs, takes the time of the
// work alone with a meter, and checks that the work was done.
type Side func(ctx context.Context, env *Env, n int) (Figure, error)

// Figure is what one run measured.
type Figure struct {
	Rate   float64            // units a second
	CPU    float64            // microseconds of this process's CPU for each unit
	Values map[string]float64 // what limits are about
}

// Env is what a run may use.
type Env struct {
	Dir     string // empty, removed afterwards
	profile *os.File
	quick   bool
	row     *state // lasts as long as the row's runs
	all     *state // lasts as long as the program
	log     int    // events in a large log
}

// state is what several runs share.
type state struct {
	dir     string
	made    map[string]any
	cleanup []func() error
}

// once makes something for all runs that share the state; close is called after the last.
func (s *state) once(name string, make func() (thing any, close func() error, err error)) (any, error) {
	if thing, ok := s.made[name]; ok {
		return thing, nil
	}
	thing, end, err := make()
	if err != nil {
		return nil, err
	}
	s.made[name] = thing
	s.cleanup = append(s.cleanup, end)
	return thing, nil
}

func newState() (*state, error) {
	dir, err := os.MkdirTemp("", "leatbench")
	return &state{dir: dir, made: map[string]any{}}, err
}

func (s *state) close() error {
	var errs []error
	for _, end := range slices.Backward(s.cleanup) {
		errs = append(errs, end())
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}

func (r Row) name() string {
	if r.Variant == "" {
		return r.ID
	}
	return r.ID + "/" + r.Variant
}

func (r Row) goal() string {
	var goals []string
	if r.AtLeast > 0 {
		goals = append(goals, fmt.Sprintf("≥ %g ×", r.AtLeast))
	}
	if r.AtMost > 0 {
		goals = append(goals, fmt.Sprintf("%s ≤ %g ×", cmp.Or(r.Measure, "time"), r.AtMost))
	}
	for _, l := range r.Limits {
		goals = append(goals, fmt.Sprintf("%s < %g", l.Name, l.Below))
	}
	return strings.Join(goals, ", ")
}

// meter takes the time of the work.
type meter struct {
	env   *Env
	start time.Time
	cpu   time.Duration
}

func (e *Env) begin() meter {
	runtime.GC()
	if e.profile != nil {
		_ = pprof.StartCPUProfile(e.profile)
	}
	return meter{env: e, start: time.Now(), cpu: cpuTime()}
}

func (m meter) end(n int) Figure {
	took, cpu := time.Since(m.start), cpuTime()-m.cpu
	if m.env.profile != nil {
		pprof.StopCPUProfile()
	}
	return Figure{
		Rate: float64(n) / took.Seconds(), CPU: float64(cpu.Microseconds()) / float64(n), Values: map[string]float64{},
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// latencies adds the median and the 99th percentile, in milliseconds.
func (f Figure) latencies(prefix string, took []time.Duration) {
	if len(took) == 0 {
		return
	}
	slices.Sort(took)
	at := func(q float64) float64 {
		return float64(took[min(len(took)-1, int(q*float64(len(took))))].Microseconds()) / 1000
	}
	f.Values[prefix+"p50 ms"], f.Values[prefix+"p99 ms"] = at(0.5), at(0.99)
}

type result struct {
	row        Row
	ours, them []Figure
	ratios     []float64 // round by round
	err        error
}

// measure runs both sides in turn. The first run of each warms up and does not count. A guard runs
// until it is content, and three times at most.
func measure(ctx context.Context, r Row, o options) (res result) {
	res.row = r
	own, err := newState()
	if err != nil {
		res.err = err
		return res
	}
	defer func() {
		if err := own.close(); res.err == nil {
			res.err = err
		}
	}()
	n, rounds, first := max(1, int(float64(r.N)*o.scale)), o.rounds, 0
	if o.quick {
		n, rounds, first = max(1, n/10), min(rounds, 1), 1
	}
	if o.guard {
		rounds = 3
	}
	for round := first; round <= rounds; round++ {
		size := n
		if round == 0 {
			size = max(1, n/10)
		}
		size = max(r.Batch, size-size%max(1, r.Batch))
		ours, err := runSide(ctx, own, r.Ours, size, o, fmt.Sprintf("%s-%d.pprof", strings.ReplaceAll(r.name(), "/", "-"), round), round > 0)
		if err != nil {
			res.err = fmt.Errorf("leat: %w", err)
			return res
		}
		var them Figure
		if r.Them != nil {
			if them, err = runSide(ctx, own, r.Them, size, o, "", false); err != nil {
				res.err = fmt.Errorf("%s: %w", r.Peer, err)
				return res
			}
		}
		if round == 0 {
			continue
		}
		res.ours = append(res.ours, ours)
		if r.Them != nil {
			res.them = append(res.them, them)
			res.ratios = append(res.ratios, ours.Rate/them.Rate)
		}
		if o.guard && res.holds() == nil {
			break
		}
	}
	return res
}

func runSide(ctx context.Context, own *state, side Side, n int, o options, profile string, counts bool) (f Figure, err error) {
	env := &Env{quick: o.quick, row: own, all: o.state, log: o.log}
	if env.Dir, err = os.MkdirTemp("", "leatbench"); err != nil {
		return Figure{}, err
	}
	defer func() { _ = os.RemoveAll(env.Dir) }()
	if o.profiles != "" && profile != "" && counts {
		if err := os.MkdirAll(o.profiles, 0o755); err != nil {
			return Figure{}, err
		}
		if env.profile, err = os.Create(filepath.Join(o.profiles, profile)); err != nil {
			return Figure{}, err
		}
		defer func() { _ = env.profile.Close() }()
	}
	// A large log must be filled first.
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute+time.Duration(o.log/10_000)*time.Second)
	defer cancel()
	return side(ctx, env, n)
}

// spread is the median of some values with the smallest and the largest.
type spread struct{ low, median, high float64 }

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{math.NaN(), math.NaN(), math.NaN()}
	}
	sorted := slices.Sorted(slices.Values(values))
	return spread{sorted[0], sorted[len(sorted)/2], sorted[len(sorted)-1]}
}

func of(figures []Figure, value func(Figure) float64) spread {
	var values []float64
	for _, f := range figures {
		values = append(values, value(f))
	}
	return spreadOf(values)
}

// ratio is what the goal is about: of rates, or of times.
func (r result) ratio() string {
	if len(r.ratios) == 0 {
		return "–"
	}
	s := r.spread()
	return fmt.Sprintf("%.3g × (%.3g to %.3g)", s.median, s.low, s.high)
}

func (r result) spread() spread {
	values := slices.Clone(r.ratios)
	if r.row.AtMost > 0 {
		for i := range values {
			values[i] = 1 / values[i]
		}
	}
	return spreadOf(values)
}

// reached tells whether the medians meet every goal of the row.
func (r result) reached() bool {
	if r.err != nil {
		return false
	}
	if r.row.AtLeast > 0 && !(r.spread().median >= r.row.AtLeast) {
		return false
	}
	if r.row.AtMost > 0 && !(r.spread().median <= r.row.AtMost) {
		return false
	}
	for _, l := range r.row.Limits {
		if !(r.value(l.Name).median < l.Below) {
			return false
		}
	}
	return true
}

// holds returns an error when the best of the rounds is beyond what the row is guarded by. Absolute
// limits say little on a machine that is busy with something else: thirty times as much is let pass,
// and a tenth more where nothing else can change the value.
func (r result) holds() error {
	s := r.spread()
	if least := cmp.Or(r.row.Guard, r.row.AtLeast/2); r.row.AtLeast > 0 && !(s.high >= least) {
		return fmt.Errorf("%s, guarded by %.3g ×", r.ratio(), least)
	}
	if most := cmp.Or(r.row.Guard, 1.5*r.row.AtMost); r.row.AtMost > 0 && !(s.low <= most) {
		return fmt.Errorf("%s, guarded by %.3g ×", r.ratio(), most)
	}
	for _, l := range r.row.Limits {
		most := 30 * l.Below
		if l.Steady {
			most = 1.1 * l.Below
		}
		if best := r.value(l.Name).low; !(best < most) {
			return fmt.Errorf("%s is %.3g, guarded by %.3g", l.Name, best, most)
		}
	}
	return nil
}

func (r result) value(name string) spread {
	return of(r.ours, func(f Figure) float64 { return f.Values[name] })
}
