//go:build prove

package prove_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/wiring/cmd/leat/leattest"
	"github.com/leat-dev/leat/wiring/cmd/leat/prove/ledger"
	"github.com/leat-dev/leat/wiring/cmd/leat/prove/load"
	"github.com/leat-dev/leat/wiring/cmd/leat/prove/oracle"
)

// life is a store with its clients over many processes that come and go.
type life struct {
	t      *testing.T
	house  house
	seed   uint64
	random *rand.Rand

	surroundings
	dir      string
	mail     *leattest.MailServer
	database *oracle.Database
	load     *load.Load
	feeds    []*load.Feed
	prune    atomic.Bool // the operator prunes
	rules    oracle.Rules

	api       atomic.Value // string: where clients find the program, "" while it is nowhere
	current   *leattest.Process
	processes []*leattest.Process
	crew      int // processes at a time, at most
	deaths    int
	drains    int
	faults    int             // of what is around the processes
	excused   int             // second copies of mails, beside those that deaths excuse
	story     []string        // what happened, for a person
	verdict   *oracle.Verdict // the last

	clients   sync.WaitGroup // feeds and the operator
	endClient context.CancelFunc
	dismiss   func() // the operator, who gives no more dead letters back
}

// senders is how many mails a process sends side by side; twice as many can be in its hands.
const senders = 4

var tenants = []string{"acme", "bolt", "cargo"}

// begin makes a new life. shared says that several processes will live it.
func begin(t *testing.T, h house, seed uint64, shared bool) *life {
	t.Helper()
	return beginIn(t, h, seed, func(dir string) surroundings { return h.ordinary(t, dir, shared) })
}

// beginIn makes a new life in surroundings that are made for it.
func beginIn(t *testing.T, h house, seed uint64, around func(dir string) surroundings) *life {
	t.Helper()
	dir, err := os.MkdirTemp("", "leatlife")
	require.NoError(t, err)
	l := &life{t: t, house: h, seed: seed, random: rand.New(rand.NewPCG(seed, 1)), dir: dir, crew: 1}
	t.Cleanup(func() { l.end() })
	l.api.Store("")
	l.mail = leattest.StartMailServer(t, nil)
	l.surroundings = around(dir)
	l.settings = slices.Concat(l.mail.Settings(), quick, []string{fmt.Sprintf("email.senders=%d", senders)}, l.settings)
	l.database, err = oracle.Open(l.store)
	require.NoError(t, err)
	target := func() string { return l.api.Load().(string) }
	l.load, err = load.New(load.Config{
		Seed: seed, Clients: 8, Tenants: tenants, Keys: 12, Journals: dir,
		Batches: 0.15, Commands: 0.25, Mails: 0.2, Fails: 0.06, Flags: 0.1, GiveUp: 0.3, Patience: l.patience,
		Stranger: l.stranger, Strange: 0.15,
	}, target)
	require.NoError(t, err)
	l.rules = oracle.Rules{
		Sets: map[string][]string{
			"entry.written": {"ledger", "side", "audit"}, "entry.flagged": {"audit"}, "project.created": {"audit"},
			"project.updated": {"audit"}, "build.queued": {"audit"},
		},
		Once: []string{"ledger", "audit"}, Ordered: []string{"ledger", "side"}, Notify: "notify",
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.endClient = cancel
	for i, tenant := range tenants[:2] {
		feed := load.NewFeed(fmt.Sprintf("feed %d", i), tenant, target)
		l.feeds = append(l.feeds, feed)
		l.clients.Go(func() { feed.Run(ctx) })
	}
	retrying, dismiss := context.WithCancel(ctx)
	dismissed := make(chan struct{})
	l.dismiss = func() {
		dismiss()
		<-dismissed
	}
	l.clients.Go(func() {
		defer close(dismissed)
		l.load.Operator(retrying, l.prune.Load)
	})
	return l
}

// end lets go of everything; evidence of breaches is kept where that is wanted.
func (l *life) end() {
	l.endClient()
	l.clients.Wait()
	if l.current != nil && !l.current.HasEnded() {
		l.current.Kill()
	}
	_ = l.load.Close()
	_ = l.database.Close()
	if keep := os.Getenv(keepVariable); keep != "" && l.t.Failed() {
		for i, p := range l.processes {
			_ = os.WriteFile(filepath.Join(l.dir, fmt.Sprintf("process-%d.log", i)), []byte(p.Output()), 0o600)
		}
		to := filepath.Join(keep, fmt.Sprintf("%s-%d", l.house, l.seed))
		if err := os.Rename(l.dir, to); err == nil {
			l.t.Logf("the evidence is in %s", to)
			return
		}
	}
	_ = os.RemoveAll(l.dir)
}

func (l *life) tell(format string, args ...any) {
	l.story = append(l.story, fmt.Sprintf(format, args...))
}

func (l *life) effects() string { return filepath.Join(l.dir, "side.effects") }

// launch starts a process; point, when there is one, is armed.
func (l *life) launch(point string, pass int, settings ...string) *leattest.Process {
	l.t.Helper()
	env := []string{ledger.EffectsVariable + "=" + l.effects()}
	if point != "" {
		env = append(env, fmt.Sprintf("LEAT_TEST_FAULT=%s:%d", point, pass))
	}
	p := leattest.Program{Path: run.binary, Env: env, Quiet: true}.Launch(l.t, l.dir, slices.Concat(l.settings, settings)...)
	l.processes = append(l.processes, p)
	return p
}

// enter makes a ready process the one that clients talk to.
func (l *life) enter(p *leattest.Process) {
	l.current = p
	l.api.Store(p.API)
}

// leave says that there is none.
func (l *life) leave() {
	l.api.Store("")
	l.current = nil
}

// died tells whether a process died at the point, and nowhere else.
func died(p *leattest.Process, point string) bool {
	return strings.Contains(p.Output(), "fault: died at "+point+"\n")
}

// look gathers the evidence. What may still grow is read before the database, so that nothing is
// seen of which the log read here knows nothing.
func (l *life) look() (*oracle.Verdict, error) {
	var feeds []oracle.Feed
	for _, f := range l.feeds {
		feeds = append(feeds, f.Told())
	}
	var mails []oracle.Mail
	for _, m := range l.mail.Received() {
		mails = append(mails, oracle.Mail{To: m.To, MessageID: m.MessageID})
	}
	side, err := oracle.ReadSide(l.effects())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), leattest.Patience)
	defer cancel()
	evidence, err := l.database.Look(ctx)
	if err != nil {
		return nil, err
	}
	told, err := oracle.ReadJournals(l.dir)
	if err != nil {
		return nil, err
	}
	evidence.Feeds, evidence.Mails = feeds, mails
	evidence.Effects = append(evidence.Effects, side...)
	rules := l.rules
	rules.Copies = 2*senders*l.deaths + l.excused
	return oracle.Check(told, evidence, rules), nil
}

// patience is how long it may take until something more of what was accepted settles, when nothing breaks
// any more. A machine that has much else to do is slow, and that is no breach.
const patience = 30 * time.Second

// breakage counts a fault. Where the store was concerned it may have kept the acceptance of mails from
// being recorded.
func (l *life) breakage(ofTheStore bool) {
	l.faults++
	if ofTheStore {
		l.excused += 2 * senders * l.crew
	}
}

// settle waits until nothing is lost, and returns what the oracle says then.
func (l *life) settle() *oracle.Verdict {
	l.t.Helper()
	deadline, before := time.Now().Add(patience), math.MaxInt
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		v, err := l.look()
		require.NoError(l.t, err)
		if !v.Has(oracle.Lost) || time.Now().After(deadline) {
			return v
		}
		if n := len(v.Findings); n < before {
			before, deadline = n, time.Now().Add(patience)
		}
		time.Sleep(pause)
	}
}

// rest lets no more dead letters be given back, and everything settle: what is given back later would find
// nobody to handle it.
func (l *life) rest() {
	l.t.Helper()
	l.dismiss()
	l.settleAndCheck()
}

// settleAndCheck waits until everything has settled, and fails the test when the oracle has found a
// breach.
func (l *life) settleAndCheck() {
	l.t.Helper()
	l.verdict = l.settle()
	if len(l.verdict.Findings) == 0 {
		return
	}
	const shown = 20
	var text strings.Builder
	for i, f := range l.verdict.Findings {
		if i == shown {
			fmt.Fprintf(&text, "and %d more\n", len(l.verdict.Findings)-shown)
			break
		}
		fmt.Fprintln(&text, f)
	}
	l.t.Errorf("%s, seed %d, after\n%s\n%s", l.house, l.seed, strings.Join(l.story, "\n"), text.String())
}
