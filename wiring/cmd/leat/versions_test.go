package main

import (
	"database/sql"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// handlerStatus is a handler set as GET /v1/handlers shows it.
type handlerStatus struct {
	Name             string
	UnknownTypes     []string
	Lanes, IdleLanes int
	Owners           []struct{ Name string }
}

// handlers returns the handler sets that the process shows, by name.
func (p *process) handlers() map[string]handlerStatus {
	p.t.Helper()
	var list struct{ Handlers []handlerStatus }
	p.must("GET", "/v1/handlers", nil, &list)
	sets := map[string]handlerStatus{}
	for _, h := range list.Handlers {
		sets[h.Name] = h
	}
	return sets
}

// Two versions of a service work side by side: the older one knows fewer event types and has another
// number of lanes. The newer one is killed (kill -9) and restarted while events of the type that only
// it knows come in. Each of them is handled exactly once, none is stepped over, keys stay in order; and
// when the newer version is given up, its type can be let go of and the older one works on.
func TestTwoVersionsSideBySide(t *testing.T) {
	t.Parallel()
	const events, keys, clients, kills = 600, 32, 8, 2
	const noMail = `,"email":""`
	start := time.Now()
	where := house{"postgres", "sql"}.settings(t)
	old := serve(t, "ledger", t.TempDir(), append([]string{"handlers.ledger.lanes=8"}, where...)...)
	next := func() *process {
		return serve(t, "ledger-next", t.TempDir(), append([]string{"handlers.ledger.lanes=4"}, where...)...)
	}
	var young atomic.Pointer[process]

	// The first events are all the old version has; then each third is of the new type. Who sends to the
	// process that was killed tries again.
	var accepted atomic.Int64
	var sending sync.WaitGroup
	both := make(chan struct{})
	for c := range clients {
		sending.Add(1)
		go func() {
			defer sending.Done()
			for n := c; n < events && !t.Failed(); n += clients {
				if n >= events/4 {
					<-both
				}
				send := func() bool { return publishAs(old.api, "entry.written", n%keys, n, noMail) }
				if n >= events/4 && n%3 == 0 {
					send = func() bool { return publishAs(young.Load().api, "entry.corrected", n%keys, n, "") }
				}
				for !send() && !t.Failed() {
					time.Sleep(5 * time.Millisecond) // the next process is on its way
				}
				accepted.Add(1)
			}
		}()
	}
	require.Eventually(t, func() bool { return accepted.Load() >= events/8 }, time.Minute, time.Millisecond)
	young.Store(next())
	close(both)
	for i := range kills {
		due := int64(events/4 + (i+1)*events/4)
		require.Eventually(t, func() bool { return accepted.Load() >= due }, 2*time.Minute, time.Millisecond)
		young.Load().kill()
		young.Store(next())
	}
	sending.Wait()
	settled(t, young.Load())

	for _, set := range []string{"ledger", "audit"} {
		h := old.handlers()[set]
		require.Equal(t, []string{"entry.corrected"}, h.UnknownTypes, set)
		require.Len(t, h.Owners, 1, set)
	}
	require.Equal(t, 4, old.handlers()["ledger"].Lanes)
	require.Contains(t, old.output(), "leat handlers forget ledger --type entry.corrected")
	require.NotContains(t, young.Load().output(), "stands by", "it knows all types, and its lanes were free")

	db, err := sql.Open("pgx", strings.TrimPrefix(where[len(where)-1], "store.url="))
	require.NoError(t, err)
	defer db.Close()
	done, audited, disorder := map[int]int{}, map[string]int{}, 0
	last := map[string]int{}
	each(t, db, "SELECT key, number FROM leat_ledger ORDER BY seq", func(scan func(...any) error) {
		var key string
		var number int
		require.NoError(t, scan(&key, &number))
		done[number]++
		if before, seen := last[key]; seen && number <= before {
			disorder++
		}
		last[key] = number
	})
	each(t, db, "SELECT l.type FROM leat_audit a JOIN leat_positions p ON p.position = a.position JOIN leat_log l ON l.seq = p.seq", func(scan func(...any) error) {
		var typ string
		require.NoError(t, scan(&typ))
		audited[typ]++
	})
	lost, twice, ofNewType := 0, 0, 0
	for n := range events {
		lost, twice = lost+max(0, 1-done[n]), twice+max(0, done[n]-1)
		if n >= events/4 && n%3 == 0 {
			ofNewType++
		}
	}
	t.Logf("%d events, %d of the new type, %d kills: lost %d, twice %d, out of order %d, audited %v; %v",
		events, ofNewType, kills, lost, twice, disorder, audited, time.Since(start).Round(time.Millisecond))
	require.Zero(t, lost, "lost")
	require.Zero(t, twice, "done twice")
	require.Zero(t, disorder, "out of order")
	require.Equal(t, map[string]int{"entry.written": events - ofNewType, "entry.corrected": ofNewType}, audited)

	// The new version is given up. As long as it works nothing can be let go of.
	const forget = "?type=entry.corrected"
	require.Equal(t, 409, old.call("DELETE", "/v1/handlers/ledger"+forget, nil, nil))
	young.Load().stop()
	require.True(t, publishAs(old.api, "entry.written", 0, events, noMail))
	require.Equal(t, old.handlers()["ledger"].Lanes, old.handlers()["ledger"].IdleLanes, "the old version stands by")
	old.must("DELETE", "/v1/handlers/ledger"+forget, nil, nil)
	old.must("DELETE", "/v1/handlers/audit"+forget, nil, nil)
	settled(t, old)
	require.Equal(t, 8, old.handlers()["ledger"].Lanes)
	var rows int
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM leat_ledger").Scan(&rows))
	require.Equal(t, events+1, rows)
	old.stop()
}
