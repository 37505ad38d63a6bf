//go:build prove

package prove_test

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/fault/faulttest"
	"github.com/leat-dev/leat/wiring/cmd/leat/leattest"
)

// TestCrashPoints lets processes die at every point that package fault names, in each house that has
// it, and counts after every second death.
func TestCrashPoints(t *testing.T) {
	t.Parallel()
	found, err := faulttest.Points("../../../..")
	require.NoError(t, err)
	found = slices.DeleteFunc(found, func(p faulttest.Point) bool { return !run.points.MatchString(p.Name) })
	rand.New(rand.NewPCG(run.seed, 0)).Shuffle(len(found), func(i, j int) { found[i], found[j] = found[j], found[i] })
	// Points that few houses have come first, so that the others can go where there is time.
	slices.SortStableFunc(found, func(a, b faulttest.Point) int { return cmp.Compare(having(a.Name), having(b.Name)) })
	rounds, cost := map[house][]string{}, map[house]float64{}
	for _, p := range found {
		var able []house
		for _, h := range houses {
			if h.has(p.Name) {
				able = append(able, h)
			}
		}
		require.NotEmpty(t, able, "no house has %s", p.Name)
		if !run.long { // each point once, where it takes least
			slices.SortFunc(able, func(a, b house) int { return cmp.Compare(cost[a], cost[b]) })
			able = able[:1]
		}
		for _, h := range able {
			rounds[h] = append(rounds[h], p.Name)
			cost[h] += h.cost()
		}
	}
	wanted := 0 // deaths in each house
	if run.long {
		wanted = (run.deaths + len(houses) - 1) / len(houses)
	}
	for i, h := range houses {
		if len(rounds[h]) == 0 {
			continue
		}
		t.Run(h.String(), func(t *testing.T) {
			t.Parallel()
			s := &crashes{t: t, house: h, random: rand.New(rand.NewPCG(run.seed, uint64(i+1))), most: map[string]int{}}
			s.all(rounds[h], wanted)
		})
	}
}

// having counts the houses that have a point.
func having(point string) int {
	n := 0
	for _, h := range houses {
		if h.has(point) {
			n++
		}
	}
	return n
}

// crashes lets processes of one house die.
type crashes struct {
	t      *testing.T
	house  house
	random *rand.Rand

	most    map[string]int // the highest pass to try, for points that are not passed so often
	reached map[string]int
	deaths  int
}

// livesDeaths is how many deaths a store sees.
const livesDeaths = 12

// all goes through the points until there were as many deaths as wanted, and every point had its own.
func (s *crashes) all(points []string, wanted int) {
	s.reached = map[string]int{}
	for turn := 0; ; turn++ {
		left := slices.DeleteFunc(slices.Clone(points), func(p string) bool { return turn > 0 && s.reached[p] > 0 && s.deaths >= wanted })
		if len(left) == 0 || s.t.Failed() {
			break
		}
		if turn > 0 && s.deaths >= wanted && turn > 4+wanted/len(points) {
			s.t.Fatalf("nothing leads to %v", left)
		}
		s.random.Shuffle(len(left), func(i, j int) { left[i], left[j] = left[j], left[i] })
		s.lives(left)
	}
	s.t.Logf("%s: %d deaths at %d points", s.house, s.deaths, len(s.reached))
}

// lives takes the points in lives of a few deaths each. A fresh store is there once in a life, so
// points that need one begin it.
func (s *crashes) lives(points []string) {
	var first, later []string
	for _, p := range points {
		if planOf(p).when == fresh {
			first = append(first, p)
		} else {
			later = append(later, p)
		}
	}
	// What the log has forgotten can be looked at less closely.
	slices.SortStableFunc(later, func(a, b string) int { return cmp.Compare(planOf(a).when/pruning, planOf(b).when/pruning) })
	for (len(first) > 0 || len(later) > 0) && !s.t.Failed() {
		var now []string
		if len(first) > 0 {
			now, first = first[:1], first[1:]
		}
		n := min(len(later), livesDeaths-len(now))
		now, later = append(slices.Clone(now), later[:n]...), later[n:]
		s.live(now)
	}
}

// live lets the processes of one store die at the points, one after the other, and counts after every
// second one.
func (s *crashes) live(points []string) {
	seed := s.random.Uint64()
	s.t.Logf("%s: seed %d: %v", s.house, seed, points)
	l := beginIn(s.t, s.house, seed, func(dir string) surroundings {
		if slices.ContainsFunc(points, func(p string) bool { return planOf(p).when == strange }) {
			return s.house.strange(s.t, dir)
		}
		return s.house.ordinary(s.t, dir, false)
	})
	defer l.end()
	if l.stranger != nil {
		s.introduce(l)
	}
	for i, point := range points {
		switch planOf(point).when {
		case haunted:
			s.haunt(l)
		case inherited:
			s.die(l, "settle.outcome-stored")
		}
		s.die(l, point)
		if i%2 == 1 || i == len(points)-1 {
			s.recover(l)
			if s.t.Failed() {
				break
			}
		}
	}
	run.results.add("crash points", l)
}

// pass chooses at which pass of a point a process dies.
func (s *crashes) pass(point string) int {
	most, known := s.most[point]
	if !known {
		most = planOf(point).most
	}
	return 1 + s.random.IntN(most)
}

// calls is how many calls the clients make while a process is to die.
const calls = 200

// die starts a process with the point armed and works it until it is dead.
func (s *crashes) die(l *life, point string) {
	pass := s.pass(point)
	p := l.launch(point, pass)
	l.prune.Store(planOf(point).when == pruning)
	defer l.prune.Store(false)
	alive := p.Ready()
	if alive {
		l.enter(p)
		if planOf(point).when == joined {
			time.Sleep(300 * time.Millisecond) // it has all lanes by now
			another := l.launch("", 0)
			defer func() {
				another.Kill()
				l.deaths++
			}()
		}
		s.work(l, p, point)
		l.leave()
	}
	l.deaths++
	s.deaths++
	if died(p, point) {
		s.reached[point]++
		l.tell("died at pass %d of %s", pass, point)
		return
	}
	if !alive {
		s.t.Fatalf("the process ended before it was ready, and not at %s:\n%s", point, p.Output())
	}
	l.tell("killed, it did not come to pass %d of %s", pass, point)
	s.most[point] = max(1, pass-1)
}

// work lets the clients work with a process that is about to die, asks it to stop where the point
// wants that, and kills it in the end when it has not died.
func (s *crashes) work(l *life, p *leattest.Process, point string) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-p.Ended()
		cancel()
	}()
	n := calls
	if planOf(point).when == draining {
		n = calls / 4
	}
	loaded := make(chan error, 1)
	go func() { loaded <- l.load.Run(ctx, n) }()
	if planOf(point).when == draining {
		time.Sleep(time.Duration(50+s.random.IntN(150)) * time.Millisecond) // in the middle of something
		p.Terminate()
		p.Wait()
		require.NoError(s.t, <-loaded)
		return
	}
	require.NoError(s.t, <-loaded)
	select {
	case <-p.Ended():
	case <-time.After(time.Second): // what was accepted may still lead there
		p.Kill()
	}
}

// recover starts a process that may live, lets the clients repeat what had no answer, and counts when
// everything has settled. The process is killed, or asked to stop.
func (s *crashes) recover(l *life) {
	p := l.launch("", 0)
	if !p.Ready() {
		s.t.Fatalf("the process ended before it was ready:\n%s", p.Output())
	}
	l.enter(p)
	defer l.leave()
	require.NoError(s.t, l.load.Run(context.Background(), 16))
	l.settleAndCheck()
	if s.random.IntN(2) == 0 {
		p.Kill()
		l.deaths++ // idle, but mails may have been on their way
	} else {
		p.Stop()
	}
}

// introduce lets a process make its consumers, so that somebody listens to the stranger.
func (s *crashes) introduce(l *life) {
	p := l.launch("", 0)
	if !p.Ready() {
		s.t.Fatalf("the process ended before it was ready:\n%s", p.Output())
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	require.NoError(s.t, l.stranger.Introduce(ctx, consumers))
	p.Stop()
}

// consumers is how many the sets ledger, side, audit and notify have: one for each lane.
const consumers = 4 * 8

// haunt lets one event kill processes until it is given up. Where several may share a store, each waits until
// the lanes of the one before are free: else it would begin with another lane, and another event.
func (s *crashes) haunt(l *life) {
	wait := time.Duration(0)
	if s.house.store == "postgres" {
		wait = quickLease
	}
	for range 4 {
		time.Sleep(wait)
		p := l.launch("ledger.in-handler", 1)
		if p.Ready() {
			l.enter(p)
			s.work(l, p, "ledger.in-handler")
			l.leave()
		}
		l.deaths++
		s.deaths++
		l.tell("died again in the handler")
	}
	time.Sleep(wait)
}
