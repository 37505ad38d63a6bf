package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"
)

// TestKilledAndRestarted sends events through audit, notify, email and a transactional set while
// the process is killed (kill -9) five times and restarted, and counts from outside: nothing lost,
// nothing done twice where once is promised, nothing out of order for its key.
// LEAT_TEST_EVENTS sets the number of events.
func TestKilledAndRestarted(t *testing.T) {
	t.Parallel()
	events := numberOfEvents(t)
	for _, house := range houses {
		t.Run(house.name(), func(t *testing.T) {
			t.Parallel()
			killAndCount(t, house, events, 5)
		})
	}
}

func numberOfEvents(t testing.TB) int {
	t.Helper()
	n := os.Getenv("LEAT_TEST_EVENTS")
	if n == "" {
		return 1000
	}
	events, err := strconv.Atoi(n)
	require.NoError(t, err)
	return events
}

func killAndCount(t *testing.T, house house, events, kills int) {
	const keys, clients = 100, 16
	start := time.Now()
	mail := startMailServer(t, nil)
	dir := t.TempDir()
	settings := append(mail.settings(), house.settings(t)...)

	var current atomic.Pointer[process]
	current.Store(serve(t, "ledger", dir, settings...))

	// Each client owns some keys and sends their numbers in order, each until it is accepted: what
	// was not answered is sent again under the same id.
	var accepted, repeats atomic.Int64
	var sending sync.WaitGroup
	for c := range clients {
		sending.Add(1)
		go func() {
			defer sending.Done()
			for n := c; n < events; n += clients {
				key, number := n%(keys-keys%clients), n
				for !publish(current.Load().api, key, number) {
					repeats.Add(1)
					if t.Failed() {
						return
					}
					time.Sleep(5 * time.Millisecond) // the next process is on its way
				}
				accepted.Add(1)
			}
		}()
	}
	for i := range kills {
		due := int64((i+1)*events/(kills+1)) + rand.Int64N(int64(events/20))
		require.Eventually(t, func() bool { return accepted.Load() >= due }, 2*time.Minute, time.Millisecond)
		current.Load().kill()
		current.Store(serve(t, "ledger", dir, settings...))
	}
	sending.Wait()
	p := current.Load()
	settled(t, p)
	p.stop()

	count := recount(t, house, settings, dir, mail, events)
	t.Logf("%s: %d events, %d kills, %d requests repeated: lost %d, audit twice %d, ledger twice %d, out of order %d, mails lost %d, second copies %d; %v",
		house.name(), events, kills, repeats.Load(), count.lost, count.auditTwice, count.twice, count.disorder, count.mailsLost, count.copies, time.Since(start).Round(time.Millisecond))
	count.check(t, kills)
}

// settled waits until no set has anything before it and no mail waits.
func settled(t testing.TB, p *process) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		var handlers struct {
			Handlers []struct{ Backlog, DeadLetters int }
		}
		p.must("GET", "/v1/handlers", nil, &handlers)
		for _, h := range handlers.Handlers {
			require.Zero(t, h.DeadLetters)
			require.Zero(c, h.Backlog)
		}
		var queue struct{ Emails []json.RawMessage }
		for _, status := range []string{"queued", "sending"} {
			p.must("GET", "/v1/emails?limit=1&status="+status, nil, &queue)
			require.Empty(c, queue.Emails)
		}
	}, 20*time.Minute, 200*time.Millisecond, "everything settles")
}

// check wants nothing lost, nothing twice that is promised once, and every key in order.
func (c tally) check(t *testing.T, kills int) {
	t.Helper()
	require.Zero(t, c.lost, "lost")
	require.Zero(t, c.auditTwice, "audit entries twice")
	require.Zero(t, c.twice, "ledger effects twice")
	require.Zero(t, c.disorder, "out of order")
	require.Zero(t, c.mailsLost, "mails lost")
	// A second copy is allowed only for mails that were in the hands of a process when it died.
	require.LessOrEqual(t, c.copies, kills*4, "second copies of mails")
	require.Zero(t, c.otherIDs, "second copies with another Message-ID")
}

func publish(api string, key, number int) bool {
	return publishAs(api, "entry.written", key, number, fmt.Sprintf(`,"email":"n%d@example.com"`, number))
}

func publishAs(api, typ string, key, number int, more string) bool {
	body := fmt.Sprintf(`{"eventType":"%s","source":"clients","id":"e-%d","subject":"key-%d","data":{"key":"key-%d","number":%d%s}}`,
		typ, number, key, key, number, more)
	resp, err := poster.Post("http://"+api+"/v1/events", "application/json", strings.NewReader(body))
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body) // or the connection is not used again
	return err == nil && resp.StatusCode == http.StatusAccepted
}

// poster keeps a connection for each client that publishes side by side.
var poster = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}

type tally struct {
	lost, auditTwice, twice, disorder, mailsLost, copies, otherIDs int
}

// recount looks at what is there, without asking the program.
func recount(t *testing.T, house house, settings []string, dir string, mail *mailServer, events int) tally {
	t.Helper()
	driver, url := "sqlite", "file:"+filepath.Join(dir, "leat.db")+"?mode=ro"
	logged := "leat_log l ON l.position = a.position"
	if house.store == "postgres" {
		driver, url = "pgx", strings.TrimPrefix(settings[len(settings)-1], "store.url=")
		logged = "leat_positions p ON p.position = a.position JOIN leat_log l ON l.seq = p.seq"
	}
	db, err := sql.Open(driver, url)
	require.NoError(t, err)
	defer db.Close()
	var c tally

	audited := map[int]int{}
	each(t, db, "SELECT l.data FROM leat_audit a JOIN "+logged+" WHERE l.type = 'entry.written'", func(scan func(...any) error) {
		var data []byte
		var w written
		require.NoError(t, scan(&data))
		require.NoError(t, json.Unmarshal(data, &w))
		audited[w.Number]++
	})
	done, last := map[int]int{}, map[string]int{}
	each(t, db, "SELECT key, number FROM leat_ledger ORDER BY seq", func(scan func(...any) error) {
		var key string
		var number int
		require.NoError(t, scan(&key, &number))
		done[number]++
		if before, seen := last[key]; seen && number <= before {
			c.disorder++
		}
		last[key] = number
	})
	sent, ids := map[string]int{}, map[string]string{}
	for _, m := range mail.received() {
		sent[m.To]++
		if first, again := ids[m.To]; again && first != m.MessageID {
			c.otherIDs++
		}
		ids[m.To] = m.MessageID
	}
	for n := range events {
		if audited[n] == 0 || done[n] == 0 {
			c.lost++
		}
		c.auditTwice += max(0, audited[n]-1)
		c.twice += max(0, done[n]-1)
		copies := sent["n"+strconv.Itoa(n)+"@example.com"]
		if copies == 0 {
			c.mailsLost++
		}
		c.copies += max(0, copies-1)
	}
	return c
}

func each(t *testing.T, db *sql.DB, query string, row func(scan func(...any) error)) {
	t.Helper()
	rows, err := db.QueryContext(context.Background(), query)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		row(rows.Scan)
	}
	require.NoError(t, rows.Err())
}
