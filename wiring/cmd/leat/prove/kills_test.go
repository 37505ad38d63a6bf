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

// TestRandomKills lets several equal processes share the work, kills one after the other at any
// moment, and counts now and then.
func TestRandomKills(t *testing.T) {
	t.Parallel()
	kills, stretch := 6, 3
	if run.long {
		kills, stretch = 100, 10
	}
	for i, h := range []house{{"sql", "postgres"}, {"nats", "postgres"}} {
		t.Run(h.String(), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(run.seed, uint64(100+i)))
			l := begin(t, h, random.Uint64(), true)
			defer l.end()
			t.Logf("%s: seed %d", h, l.seed)
			crew := make([]*leattest.Process, 3)
			start := func(i int) {
				crew[i] = l.launch("", 0)
				if !crew[i].Ready() {
					t.Fatalf("the process ended before it was ready:\n%s", crew[i].Output())
				}
			}
			for i := range crew {
				start(i)
			}
			for l.deaths < kills && !t.Failed() {
				l.enter(crew[random.IntN(len(crew))])
				ctx, cancel := context.WithCancel(context.Background())
				loaded := make(chan error, 1)
				go func() { loaded <- l.load.Run(ctx, 80*stretch) }()
				for range stretch {
					time.Sleep(time.Duration(50+random.IntN(300)) * time.Millisecond)
					i := random.IntN(len(crew))
					crew[i].Kill()
					l.deaths++
					l.tell("killed process %d", i)
					l.enter(crew[(i+1)%len(crew)])
					start(i)
				}
				cancel()
				require.NoError(t, <-loaded)
				l.settleAndCheck()
			}
			l.rest()
			for _, p := range crew {
				p.Stop()
			}
			l.settleAndCheck() // once more, when nobody works any more
			run.results.add("kill -9, 3 processes", l)
		})
	}
}
