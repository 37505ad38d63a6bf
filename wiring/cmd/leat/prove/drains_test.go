//go:build prove

package prove_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/wiring/cmd/leat/leattest"
)

// What is asked of a drain, at least.
const (
	longDrains  = 200 // in the long run, over all houses
	shortDrains = 10
	drainsCheck = 5 // drains between two counts
)

// TestDrains asks processes to stop in the middle of work. Nothing dies here and every handler gets
// the time that it needs, so nothing may be repeated: not a call of a handler outside of a transaction,
// not a mail.
func TestDrains(t *testing.T) {
	t.Parallel()
	wanted := shortDrains
	if run.long {
		wanted = longDrains
	}
	wanted = (wanted + len(houses) - 1) / len(houses)
	for i, h := range houses {
		t.Run(h.String(), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(run.seed, uint64(300+i)))
			l := begin(t, h, random.Uint64(), false)
			defer l.end()
			t.Logf("%s: seed %d", h, l.seed)
			l.rules.Calls, l.rules.Sound = []string{"side"}, true
			if h.store == "postgres" {
				l.crew = 2
			}
			d := &drained{life: l, random: random}
			for range l.crew {
				d.crew = append(d.crew, d.next())
			}
			for l.drains < wanted && !t.Failed() {
				d.some(min(drainsCheck, wanted-l.drains))
			}
			l.rest()
			l.leave()
			for _, p := range d.crew {
				p.Stop()
			}
			l.settleAndCheck() // once more, when nobody works any more
			run.results.add("asked to stop", l)
		})
	}
}

// drained is a life of processes that are asked to stop.
type drained struct {
	*life
	random *rand.Rand
	crew   []*leattest.Process

	longest time.Duration // that a process took to stop
}

// next starts a process. Its leases last, so that a machine that has much else to do is not taken for
// a process that died.
func (d *drained) next() *leattest.Process {
	p := d.launch("", 0, "lanes.lease=10s", "email.lease=30s")
	if !p.Ready() {
		d.t.Fatalf("the process ended before it was ready:\n%s", p.Output())
	}
	d.enter(p)
	return p
}

// some asks processes to stop while clients work, one after the other, and counts.
func (d *drained) some(drains int) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	loaded := make(chan error, 1)
	go func() { loaded <- d.load.Run(ctx, 100_000) }()
	for range drains {
		time.Sleep(time.Duration(d.random.IntN(400)) * time.Millisecond)
		i := d.random.IntN(len(d.crew))
		p := d.crew[i]
		began := time.Now()
		p.Terminate()
		if code := p.Wait(); code != 0 {
			d.t.Errorf("it was asked to stop and ended with code %d:\n%s", code, tail(p.Output()))
		}
		d.longest = max(d.longest, time.Since(began))
		d.drains++
		d.tell("process %d was asked to stop", i)
		d.crew[i] = d.next()
	}
	cancel()
	require.NoError(d.t, <-loaded)
	began := time.Now()
	d.settleAndCheck()
	d.t.Logf("%s: %d drains so far, of at most %v; settled after %v", d.house, d.drains,
		d.longest.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	d.soundness(d.crew...)
}
