//go:build prove

package prove_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/wiring/cmd/leat/leattest"
	"github.com/leat-dev/leat/wiring/cmd/leat/prove/ledger"
	"github.com/leat-dev/leat/wiring/cmd/leat/prove/proxy"
)

// scenario is faults of one kind, and the houses in which they can happen.
type scenario struct {
	name   string
	houses []house
	rounds int // in the long run, in each house
	short  []house
	faults map[string]func(b *breaking)
}

// scenarios are what breaks around processes that live on.
var scenarios = []scenario{
	{
		"NATS is lost",
		[]house{{"nats", "sqlite"}, {"nats", "postgres"}},
		9,
		[]house{{"nats", "sqlite"}},
		map[string]func(b *breaking){
			"killed": func(b *breaking) {
				b.nats.Kill()
				b.hold(1500)
				b.nats.Start()
			},
			"stopped": func(b *breaking) {
				b.nats.Stop()
				b.hold(1500)
				b.nats.Start()
			},
			"killed and its store deleted": func(b *breaking) {
				b.nats.Kill()
				b.nats.Wipe()
				b.hold(1500)
				b.nats.Start()
			},
		},
	},
	{
		"PostgreSQL is lost",
		[]house{{"sql", "postgres"}, {"nats", "postgres"}},
		8,
		[]house{{"sql", "postgres"}},
		map[string]func(b *breaking){
			"shut down at once": func(b *breaking) {
				b.postgres.Kill()
				b.hold(1500)
				b.postgres.Start()
			},
			"restarted at once": func(b *breaking) {
				b.postgres.Kill()
				b.postgres.Start()
			},
		},
	},
	{
		"connections break",
		[]house{{"nats", "sqlite"}, {"sql", "postgres"}, {"nats", "postgres"}},
		11,
		[]house{{"nats", "postgres"}},
		map[string]func(b *breaking){
			"cut": func(b *breaking) { b.way().Cut() },
			"cut for a while": func(b *breaking) {
				way := b.way()
				way.Set(proxy.Condition{Refuse: true})
				way.Cut()
				b.hold(1500)
			},
			"silent for a while": func(b *breaking) {
				b.way().Set(proxy.Condition{Silent: true})
				b.hold(4000)
			},
			"silent, and then cut": func(b *breaking) {
				way := b.way()
				way.Set(proxy.Condition{Silent: true})
				b.hold(4000)
				way.Cut()
			},
			"half open": func(b *breaking) { b.way().Orphan() },
			"delayed": func(b *breaking) {
				b.way().Set(proxy.Condition{Delay: time.Duration(10+b.random.IntN(100)) * time.Millisecond})
				b.hold(2000)
			},
			"a byte a second": func(b *breaking) {
				b.way().Set(proxy.Condition{Trickle: true})
				b.hold(4000)
			},
		},
	},
	{
		"answers get lost",
		[]house{{"nats", "sqlite"}, {"sql", "postgres"}, {"nats", "postgres"}},
		8,
		[]house{{"sql", "postgres"}},
		map[string]func(b *breaking){
			"PostgreSQL's, to a commit":  func(b *breaking) { b.trap(b.toStore, proxy.Trap{Answer: "COMMIT\x00"}) },
			"PostgreSQL's, to an append": func(b *breaking) { b.trap(b.toStore, proxy.Trap{Request: ledger.Source}) },
			"NATS's, to a publish":       func(b *breaking) { b.trap(b.toNATS, proxy.Trap{Answer: `"stream":"LEAT_EVENTS"`}) },
		},
	},
}

// shortRounds is how many faults of a scenario the short run chooses, at most.
const shortRounds = 4

// TestFaults breaks what is around the processes while clients work, mends it, and counts when
// everything has settled. The processes live on.
func TestFaults(t *testing.T) {
	t.Parallel()
	for i, s := range scenarios {
		among, rounds := s.houses, s.rounds
		if !run.long {
			among, rounds = s.short, min(len(s.faults), shortRounds)
		}
		for j, h := range among {
			t.Run(s.name+"/"+h.String(), func(t *testing.T) {
				t.Parallel()
				b := &breaking{random: rand.New(rand.NewPCG(run.seed, uint64(200+10*i+j)))}
				b.life = beginIn(t, h, b.random.Uint64(), func(dir string) surroundings { return h.breakable(t, dir) })
				defer b.end()
				t.Logf("%s: seed %d", h, b.seed)
				b.rules.Sound = true
				b.start()
				b.all(s, rounds)
				b.stop()
				if b.toStore != nil && b.toStore.Sprung() > 0 {
					require.Positive(t, b.verdict.Resolved, "clients that were left in doubt asked again")
				}
				run.results.add(s.name, b.life)
			})
		}
	}
}

// breaking is a life in surroundings that break.
type breaking struct {
	*life
	random  *rand.Rand
	members []*leattest.Process
	what    string // happens now
}

// start lets two processes share the work where they can. Where the store is not what breaks, and nobody
// dies, no mail's outcome can be late but by a machine that has much else to do; mails stay with their senders then.
func (b *breaking) start() {
	if b.house.store == "postgres" {
		b.crew = 2
	} else {
		b.settings = append(b.settings, "email.lease=30s")
	}
	for range b.crew {
		p := b.launch("", 0)
		if !p.Ready() {
			b.t.Fatalf("the process ended before it was ready:\n%s", p.Output())
		}
		b.members = append(b.members, p)
	}
}

func (b *breaking) stop() {
	b.rest()
	b.leave()
	for _, p := range b.members {
		p.Stop()
	}
	if b.settleAndCheck(); b.verdict.Repeats > 0 || b.verdict.Resolved > 0 {
		b.t.Logf("%s: %d faults, %d events; %d calls repeated, %d answers that were in doubt resolved by the event's id, refused: %v",
			b.house, b.faults, b.verdict.Events, b.verdict.Repeats, b.verdict.Resolved, b.load.Refused())
	}
}

// all lets the faults happen, one after the other, each at least once.
func (b *breaking) all(s scenario, rounds int) {
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(s.faults)), func(name string) bool {
		return !run.faults.MatchString(name) || strings.HasPrefix(name, "NATS") && b.toNATS == nil || strings.HasPrefix(name, "PostgreSQL") && b.toStore == nil
	})
	if len(names) == 0 {
		return
	}
	for left := []string(nil); b.faults < rounds && !b.t.Failed(); {
		if len(left) == 0 {
			left = shuffled(b.random, names)
		}
		b.one(left[0], s.faults[left[0]])
		left = left[1:]
	}
}

// one lets a fault happen while clients work, and counts.
func (b *breaking) one(name string, happen func(*breaking)) {
	b.enter(b.members[b.random.IntN(len(b.members))])
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	loaded := make(chan error, 1)
	go func() { loaded <- b.load.Run(ctx, 2000) }()
	b.hold(300)
	b.what = name
	b.tell("%s", name)
	began := time.Now()
	happen(b)
	b.mend()
	b.breakage(b.postgres != nil)
	b.hold(300)
	cancel()
	require.NoError(b.t, <-loaded)
	b.settleAndCheck()
	b.t.Logf("%s: %s: mended and settled after %v", b.house, b.story[len(b.story)-1], time.Since(began).Round(time.Millisecond))
	b.sound()
}

// mend lets everything pass again.
func (b *breaking) mend() {
	for _, way := range []*proxy.Proxy{b.toNATS, b.toStore} {
		if way != nil {
			way.Set(proxy.Condition{})
			way.Arm(0, proxy.Trap{})
		}
	}
}

// soundness wants the processes to live, and to have refused what they could not do by saying so.
func (l *life) soundness(members ...*leattest.Process) {
	l.t.Helper()
	for i, p := range members {
		if p.HasEnded() {
			l.t.Errorf("process %d ended after\n%v:\n%s", i, l.story, tail(p.Output()))
		}
	}
	for _, answer := range l.load.Odd() {
		l.t.Errorf("an answer that neither says yes nor why not: %s", answer)
	}
}

func (b *breaking) sound() { b.t.Helper(); b.soundness(b.members...) }

// way is one of the ways to servers.
func (b *breaking) way() *proxy.Proxy {
	switch {
	case b.toStore == nil || b.toNATS != nil && b.random.IntN(2) == 0:
		b.tell("%s, on the way to NATS", b.what)
		return b.toNATS
	default:
		b.tell("%s, on the way to PostgreSQL", b.what)
		return b.toStore
	}
}

// hold waits for a random time of at most so many milliseconds, and a fifth of it at least.
func (b *breaking) hold(milliseconds int) {
	time.Sleep(time.Duration(milliseconds/5+b.random.IntN(milliseconds*4/5)) * time.Millisecond)
}

// trap takes some answers away that the trap is for.
func (b *breaking) trap(way *proxy.Proxy, trap proxy.Trap) {
	before, answers := way.Sprung(), 1+b.random.IntN(4)
	way.Arm(answers, trap)
	require.Eventually(b.t, func() bool { return way.Sprung()-before == answers }, leattest.Patience, time.Millisecond,
		"%d answers are lost: %s", answers, fmt.Sprintf("%+v", trap))
}

func shuffled(random *rand.Rand, names []string) []string {
	out := append([]string(nil), names...)
	random.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// tail is the end of a long text.
func tail(text string) string {
	const most = 4000
	if len(text) > most {
		text = "…" + text[len(text)-most:]
	}
	return text
}
