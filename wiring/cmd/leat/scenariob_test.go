package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Scenario B with the roles in processes of their own: what invites and builds lead to is audited once,
// mailed once, and comes to each client of each broadcaster once, whichever way it takes. One of the
// broadcasters takes requests too, so that an event can come to its clients in process, over the broker
// and from the log.
func TestScenarioBRolesApart(t *testing.T) {
	t.Parallel()
	for name, shared := range sharedHouses(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const builders, rounds = 6, 4
			mail := startMailServer(t, nil)
			_, where := shared(t)
			settings := append(mail.settings(), where...)
			as := func(roles string) *process {
				return serve(t, "leat", t.TempDir(), append([]string{"roles=" + roles}, settings...)...)
			}
			front := as("api,sequencer")
			live := []*process{as("api,broadcast"), as("broadcast"), as("broadcast")}
			workers := []*process{as("audit"), as("notify"), as("email")}
			var clients []*watch
			for _, p := range live {
				clients = append(clients, p.watch(t))
			}

			var people []string
			var working sync.WaitGroup
			for b := range builders {
				address := fmt.Sprintf("p%d@example.com", b)
				people = append(people, address)
				working.Add(1)
				front := []*process{front, live[0]}[b%2]
				go func() {
					defer working.Done()
					var project, build named
					front.invite(address)
					front.must("POST", "/v1/projects", map[string]any{"name": "Shop"}, &project)
					for range rounds {
						front.must("POST", "/v1/projects/"+project.ID+"/builds", map[string]any{"image": "i"}, &build)
						at := "/v1/builds/" + build.ID
						front.must("POST", at+"/start", nil, nil)
						front.must("POST", at+"/progress", map[string]any{"percent": 30}, nil)
						front.must("POST", at+"/progress", map[string]any{"percent": 60}, nil)
						front.must("POST", at+"/complete", nil, nil)
						_, _ = front.progress("direct-" + build.ID)
						status, f := front.progress("direct-" + build.ID) // again, under the same id
						require.Equal(t, http.StatusAccepted, status, f)
					}
				}()
			}
			working.Wait()
			settled(t, front)
			status, f := front.archive("last")
			require.Equal(t, http.StatusAccepted, status, f)
			front.eventually("the last event has its position", func() bool { return len(front.events("type=project.archived")) == 1 })
			settled(t, front)

			var inLog, audited []string
			for _, e := range front.events("") {
				inLog = append(inLog, e.Event.ID)
				if e.Event.Type[:len("notification")] != "notification" {
					audited = append(audited, e.Event.ID)
				}
			}
			require.Greater(t, len(inLog), builders*(2+rounds*6))
			require.Less(t, len(inLog), 500, "the answer holds all of them")

			// Both clients have every event, once.
			for i, c := range clients {
				c.once("last")
				fast := 0
				for _, positioned := range c.positions {
					if positioned == 0 {
						fast++
					}
				}
				t.Logf("%s, client %d: %d events, %d of them by the fast path", name, i, len(c.times), fast)
				var came []string
				for id := range c.times {
					came = append(came, id)
				}
				require.ElementsMatch(t, inLog, came)
				if name != "nats" && i > 0 {
					require.Zero(t, fast, "without a broker there is no fast path to another process")
				} else {
					require.Positive(t, fast)
				}
			}

			// Every one is audited, once.
			var entries []string
			path := "/v1/audit?limit=100"
			for path != "" {
				var page struct {
					Entries []struct{ EventID string }
					Next    string
				}
				front.must("GET", path, nil, &page)
				for _, e := range page.Entries {
					entries = append(entries, e.EventID)
				}
				if path = ""; page.Next != "" {
					path = "/v1/audit?limit=100&cursor=" + page.Next
				}
			}
			require.ElementsMatch(t, audited, entries)

			// Everybody has one invitation, and its outcome is back.
			var to []string
			for _, m := range mail.received() {
				to = append(to, m.To)
			}
			require.ElementsMatch(t, people, to)
			require.Len(t, front.outcomes("notification.sent"), len(people))
			for _, e := range front.events("type=notification.sent") {
				var data struct {
					Duration *int64 `json:"duration_ms"`
				}
				require.NoError(t, json.Unmarshal(e.Event.Data, &data))
				require.NotNil(t, data.Duration)
			}
			for _, p := range slices.Concat(live, workers, []*process{front}) {
				p.stop()
			}
		})
	}
}
