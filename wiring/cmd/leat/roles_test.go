package main

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Roles move between processes while events flow: each process that comes takes over what another
// one did, which then stops as it should. Nothing is lost, done twice or out of order, and no mail
// goes out a second time, as nobody dies.
func TestRolesMoveWhileEventsFlow(t *testing.T) {
	t.Parallel()
	for name, shared := range sharedHouses(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const events, keys, clients = 600, 48, 8
			mail := startMailServer(t, nil)
			house, where := shared(t)
			settings := append(mail.settings(), where...)
			start := func(roles string) *process {
				return serve(t, "ledger", t.TempDir(), append([]string{"roles=" + roles}, settings...)...)
			}
			front := start("api,sequencer,audit,notify,email,ledger")

			var api atomic.Pointer[string]
			api.Store(&front.api)
			var accepted atomic.Int64
			var sending sync.WaitGroup
			for c := range clients {
				sending.Add(1)
				go func() {
					defer sending.Done()
					for n := c; n < events && !t.Failed(); n += clients {
						for !publish(*api.Load(), n%keys, n) {
							time.Sleep(5 * time.Millisecond)
						}
						accepted.Add(1)
					}
				}()
			}
			after := func(part int) {
				require.Eventually(t, func() bool { return accepted.Load() >= int64(events*part/6) }, 2*time.Minute, time.Millisecond)
			}

			after(1) // the sequencer and the mails move
			second := start("sequencer,email")
			after(2) // the front keeps the requests alone, in another process
			third := start("audit,notify,ledger")
			fourth := start("api")
			api.Store(&fourth.api)
			front.stop()
			after(3) // the sets move back to one process, beside the old one for a while
			fifth := start("api,sequencer,audit,notify,email,ledger")
			third.stop()
			after(4)
			second.stop()
			after(5)
			api.Store(&fifth.api)
			fourth.stop()

			sending.Wait()
			settled(t, fifth)
			fifth.stop()
			count := recount(t, house, where, "", mail, events)
			count.check(t, 0)
		})
	}
}
