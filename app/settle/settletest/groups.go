package settletest

import (
	"bytes"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/leat-dev/leat/app/deadletter"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/settle"
)

// groups lets several processes share the lanes of a set while everything that can go wrong does:
// events fail, wait, die and are given back; the bus loses, repeats and reorders; processes stop,
// are killed with work in hand and cut off from the store; the set pauses; time jumps. At the end every event
// must be settled, with one effect or a dead letter, and every key must have been worked in order.
func groups(t *testing.T, f *fixture) {
	rapid.Check(t, func(rt *rapid.T) {
		w := &mill{
			T: rt, fixture: &fixture{Store: f.open(t, f.clock), clock: f.clock, open: f.open}, t: t,
			lanes: rapid.SampledFrom([]int{1, 2, 5}).Draw(rt, "lanes"),
			dealt: rapid.Bool().Draw(rt, "the bus deals lanes"),
			plans: map[string][]string{}, calls: map[string]int{}, firsts: map[string][]string{},
		}
		w.register(t, "s")
		defer w.end()
		w.start()
		keys := rapid.SampledFrom([]string{"a", "b", "c", "d"})
		plan := rapid.SliceOfN(rapid.SampledFrom([]string{"fail", "fail", "hold", "nothing", "slow", "dead"}), 0, 4)
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(rt *rapid.T) {
				for range rapid.IntRange(1, 8).Draw(rt, "events") {
					w.append(keys.Draw(rt, "key"), plan.Draw(rt, "plan"))
				}
			},
			"bus":     func(rt *rapid.T) { w.feed(rt) },
			"time":    func(rt *rapid.T) { w.pass(rapid.SampledFrom(moments).Draw(rt, "time")) },
			"work":    func(*rapid.T) { w.pass(0) },
			"start":   func(*rapid.T) { w.start() },
			"stop":    func(rt *rapid.T) { w.pick(rt).stop() },
			"kill":    func(rt *rapid.T) { w.pick(rt).kill(rapid.Bool().Draw(rt, "after its next commit")) },
			"cut off": func(rt *rapid.T) { w.pick(rt).cut.Store(true) },
			"rejoin":  func(rt *rapid.T) { w.pick(rt).cut.Store(false) },
			"pause":   func(rt *rapid.T) { require.NoError(rt, w.SetPaused(ctxOf(t), "s", rapid.Bool().Draw(rt, "paused"))) },
			"retry":   func(rt *rapid.T) { w.retry(rt) },
		})
		w.finish()
		w.check()
	})
}

// moments are steps of time: to the next attempts, to the next renewal, beyond every lease.
var moments = []time.Duration{100 * time.Millisecond, time.Second, 4 * time.Second, 25 * time.Second}

type begun struct{}

func (begun) EventType() string { return typ }

// mill is a set that several processes work.
type mill struct {
	*rapid.T
	*fixture
	t     *testing.T
	lanes int
	dealt bool
	log   lines

	appended  []event.Envelope
	effects   atomic.Int64
	processes []*miller
	started   int
	fed       int64               // the bus has had the events up to this position
	prev      int64               // see bus.Entry
	slotPrev  [event.Slots]int64  // see bus.Entry
	plans     map[string][]string // what becomes of an event's attempts, by its id; then it succeeds

	mu     sync.Mutex
	over   bool                // the plans
	calls  map[string]int      // so far, by the event's id
	firsts map[string][]string // the events in the order of their first calls, by key
}

func (w *mill) append(key string, plan []string) {
	e := envelope(fmt.Sprintf("e%03d", len(w.appended)), key)
	w.mu.Lock()
	w.plans[e.ID] = plan
	w.mu.Unlock()
	w.appended = append(w.appended, e)
	_, err := w.Append(ctxOf(w.t), []event.Envelope{e})
	require.NoError(w, err)
}

// pick returns one of the processes that run.
func (w *mill) pick(rt *rapid.T) *miller {
	running := w.running()
	if len(running) == 0 {
		rt.Skip("none runs")
	}
	return running[rapid.IntRange(0, len(running)-1).Draw(rt, "process")]
}

func (w *mill) running() []*miller {
	return slices.DeleteFunc(slices.Clone(w.processes), func(p *miller) bool { return p.ended() })
}

// pass lets time go by, and the processes work for a moment.
func (w *mill) pass(d time.Duration) {
	w.clock.Advance(d)
	for range 20 {
		runtime.Gosched()
	}
	<-time.After(time.Millisecond)
}

// feed brings what the log holds over the bus, not all of it, not once, and not in order.
func (w *mill) feed(rt *rapid.T) {
	events, through, err := w.Read(ctxOf(w.t), w.fed, 0, 100)
	require.NoError(rt, err)
	var entries []entry
	for _, e := range events {
		n := entry{e, w.prev, w.slotPrev[e.Slot]}
		w.prev, w.slotPrev[e.Slot] = e.Position, e.Position
		for range rapid.SampledFrom([]int{1, 1, 1, 0, 2}).Draw(rt, "copies") {
			entries = append(entries, n)
		}
	}
	w.fed = through
	if len(entries) > 1 && rapid.Bool().Draw(rt, "out of order") {
		entries = rapid.Permutation(entries).Draw(rt, "order")
	}
	for _, p := range w.processes {
		for _, n := range entries {
			p.bus.send(n)
		}
	}
}

func (w *mill) retry(rt *rapid.T) {
	letters, _, err := w.DeadLetters(ctxOf(w.t), deadletter.Filter{Tenant: "acme", Set: "s", State: deadletter.Open, Limit: 100})
	require.NoError(rt, err)
	if len(letters) == 0 {
		rt.Skip("nothing is dead")
	}
	l := rapid.SampledFrom(letters).Draw(rt, "letter")
	require.NoError(rt, w.RetryDeadLetter(ctxOf(w.t), "acme", l.ID(), "ann"))
}

// finish lets everything come to its end.
func (w *mill) finish() {
	w.mu.Lock()
	w.over = true
	w.mu.Unlock()
	require.NoError(w, w.SetPaused(ctxOf(w.t), "s", false))
	for _, p := range w.processes {
		p.cut.Store(false)
	}
	deadline := time.Now().Add(5 * patience) // the machine may be another's as well
	for !w.settled() {
		if len(w.running()) == 0 { // those that were left have died of their last commits
			w.start()
		}
		if time.Now().After(deadline) {
			w.Fatalf("not everything is settled: %+v\nparked: %+v\nlog of the processes:\n%s", w.status(w.t, "s"), w.parked(w.t, "s"), &w.log)
		}
		w.pass(2 * time.Second)
	}
}

func (w *mill) settled() bool {
	events, _, err := w.Read(ctxOf(w.t), 0, 0, 100_000)
	require.NoError(w, err)
	status, seen := w.status(w.t, "s"), 0
	for _, e := range events {
		if e.Type != typ {
			continue
		}
		if seen++; status.Cursors[e.Slot] < e.Position {
			return false
		}
	}
	return seen == len(w.appended) && status.Parked == 0 && status.Redrive == 0
}

// check compares what there is with what was promised.
func (w *mill) check() {
	w.end()
	events, _, err := w.Read(ctxOf(w.t), 0, 0, 100_000)
	require.NoError(w, err)
	made, order := map[string]int{}, map[string][]string{}
	late := map[string]bool{}
	for _, e := range events {
		if e.Type == typ {
			continue
		}
		of, how, _ := strings.Cut(e.ID, "/")
		made[of]++
		if late[of] = strings.HasPrefix(how, "redriven"); !late[of] {
			order[e.Subject] = append(order[e.Subject], of)
		}
	}
	letters, _, err := w.DeadLetters(ctxOf(w.t), deadletter.Filter{Tenant: "acme", Set: "s", Limit: 1000})
	require.NoError(w, err)
	dead := map[string]deadletter.State{}
	for _, l := range letters {
		dead[l.Event.ID] = l.State
	}
	for _, e := range w.appended {
		if state, isDead := dead[e.ID]; isDead {
			require.Equal(w, deadletter.Open, state, "the dead letter of %s", e.ID)
			require.Zero(w, made[e.ID], "effects of %s, which is dead", e.ID)
		} else {
			require.Equal(w, 1, made[e.ID], "effects of %s\n%s", e.ID, &w.log)
		}
	}
	for key, ids := range order {
		require.True(w, slices.IsSorted(ids), "effects for %s are out of order: %v\n%s", key, ids, &w.log)
	}
	for key, ids := range w.firsts {
		require.True(w, slices.IsSorted(ids), "first deliveries for %s are out of order: %v\n%s", key, ids, &w.log)
	}
	require.Equal(w, len(w.appended), len(slices.Collect(maps.Keys(made)))+len(dead))
}

// end stops every process.
func (w *mill) end() {
	for _, p := range w.processes {
		p.cut.Store(false)
		p.stop()
	}
}

// next says what becomes of a call, and notes the first for each event.
func (w *mill) next(a *settle.Attempt) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	id := a.Event.ID
	n := w.calls[id]
	if w.calls[id]++; n == 0 {
		w.firsts[a.Event.Subject] = append(w.firsts[a.Event.Subject], id)
	}
	if plan := w.plans[id]; n < len(plan) && !w.over {
		return plan[n]
	}
	return "handled"
}

// lines keeps what the processes log, for a check that fails.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
