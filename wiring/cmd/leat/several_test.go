package main

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/natsbus/natstest"
)

// sharedHouses are the combinations in which several processes share the work.
func sharedHouses(t testing.TB) map[string]func(t testing.TB) (house, []string) {
	t.Helper()
	return map[string]func(t testing.TB) (house, []string){
		"sql": func(t testing.TB) (house, []string) {
			h := house{"postgres", "sql"}
			return h, h.settings(t)
		},
		"gochannel": func(t testing.TB) (house, []string) {
			h := house{"postgres", "gochannel"}
			return h, h.settings(t)
		},
		"embedded nats": func(t testing.TB) (house, []string) { // one in each process
			h := house{"postgres", "nats"}
			return h, h.settings(t)
		},
		"nats": func(t testing.TB) (house, []string) {
			h := house{"postgres", "nats"}
			server := natstest.StartServer(t, natstest.Options{})
			return h, append([]string{"nats.url=" + server.URL()}, h.settings(t)...)
		},
	}
}

// Three processes share the work of one log: one takes the requests, two others work beside it and
// are killed and replaced in turn. Nothing is lost, done twice or out of order.
// LEAT_TEST_EVENTS sets the number of events.
func TestSeveralProcessesShareTheWork(t *testing.T) {
	t.Parallel()
	for name, shared := range sharedHouses(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const keys, clients, kills = 96, 16, 4
			events := numberOfEvents(t)
			start := time.Now()
			mail := startMailServer(t, nil)
			house, where := shared(t)
			settings := append(mail.settings(), where...)
			front := serve(t, "ledger", t.TempDir(), append([]string{"roles=api,sequencer,broadcast,ledger"}, settings...)...)
			worker := func() *process {
				return serve(t, "ledger", t.TempDir(), append([]string{"roles=sequencer,audit,notify,email,ledger"}, settings...)...)
			}
			workers := []*process{worker(), worker()}

			var accepted atomic.Int64
			var sending sync.WaitGroup
			for c := range clients {
				sending.Add(1)
				go func() {
					defer sending.Done()
					for n := c; n < events && !t.Failed(); n += clients {
						for !publish(front.api, n%keys, n) {
							time.Sleep(5 * time.Millisecond)
						}
						accepted.Add(1)
					}
				}()
			}
			for i := range kills {
				due := int64((i + 1) * events / (kills + 1))
				require.Eventually(t, func() bool { return accepted.Load() >= due }, 2*time.Minute, time.Millisecond)
				workers[i%2].kill()
				workers[i%2] = worker()
			}
			sending.Wait()
			settled(t, front)
			for _, p := range append(workers, front) {
				p.stop()
			}
			count := recount(t, house, where, "", mail, events)
			t.Logf("%s, three processes: %d events, %d kills: lost %d, audit twice %d, ledger twice %d, out of order %d, mails lost %d, second copies %d; %v",
				name, events, kills, count.lost, count.auditTwice, count.twice, count.disorder, count.mailsLost, count.copies, time.Since(start).Round(time.Millisecond))
			count.check(t, kills)
		})
	}
}
