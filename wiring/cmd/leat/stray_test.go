package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/natsbus/natstest"
)

// command runs the program as a client of the process and returns what it prints.
func (p *process) command(args ...string) (stdout string, code int) {
	p.t.Helper()
	cmd := program(p.t, "leat").Command(append(args, "--server", "http://"+p.api)...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		require.IsType(p.t, &exec.ExitError{}, err)
	}
	return out.String() + said.String(), cmd.ProcessState.ExitCode()
}

// What comes over NATS and never becomes an event is seen by the operator, with its reason, and what
// can be helped is helped by a retry.
func TestMessagesThatNeverBecameEvents(t *testing.T) {
	t.Parallel()
	for _, store := range []string{"sqlite", "postgres"} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			server := natstest.StartServer(t, natstest.Options{})
			conn := server.Connect(t)
			js, err := conn.JetStream()
			require.NoError(t, err)
			_, err = js.AddStream(&nats.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.>"}})
			require.NoError(t, err)
			dir := t.TempDir()
			file := filepath.Join(dir, "leat.yaml")
			write := func(types string) {
				text := "nats:\n  foreign:\n    - {subject: orders.>, tenant: dev, from_start: true" + types + "}\n"
				require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
			}
			write("")
			settings := append([]string{"--config=" + file, "nats.url=" + server.URL()}, house{store, "nats"}.settings(t)...)
			p := serve(t, "ledger", dir, settings...)
			send := func(subject, data string, header ...string) {
				m := nats.NewMsg(subject)
				m.Data = []byte(data)
				for i := 0; i < len(header); i += 2 {
					m.Header.Set(header[i], header[i+1])
				}
				_, err := js.PublishMsg(m)
				require.NoError(t, err)
			}
			event := func(id, typ string) []string {
				return []string{"ce-specversion", "1.0", "ce-id", id, "ce-type", typ, "ce-source", "shop"}
			}
			const good = `{"key":"k","number":1,"email":""}`
			send("orders.a", good, event("unknown", "shop.paid")...)
			send("orders.a", `{"key":1}`, event("invalid", "entry.written")...)
			send("orders.a", `{"key":"`+strings.Repeat("x", 300_000)+`"}`, event("large", "entry.written")...)
			send("orders.a", "rubbish")
			send("leat.events.dev.00.business.entry.written", "rubbish")
			send("orders.a", good, event("good", "entry.written")...)

			type letter struct {
				ID, Set, Reason, State string
				Position               int64
				Attempts               int
				Event                  struct {
					ID, Type, Subject string
					Data              struct{ Data, Subject string }
				}
			}
			letters := func(tenant, query string, n int) []letter {
				var list struct{ DeadLetters []letter }
				p.eventually("dead letters", func() bool {
					req, err := http.NewRequest("GET", "http://"+p.api+"/v1/dead-letters?"+query, nil)
					require.NoError(t, err)
					req.Header.Set("Leat-Tenant", tenant)
					resp, err := http.DefaultClient.Do(req)
					require.NoError(t, err)
					defer resp.Body.Close()
					require.Equal(t, http.StatusOK, resp.StatusCode)
					require.NoError(t, json.NewDecoder(resp.Body).Decode(&list))
					return len(list.DeadLetters) == n
				})
				return list.DeadLetters
			}
			p.eventually("the good one", func() bool { return len(p.events("type=entry.written")) == 1 })
			found := letters("dev", "set=foreign", 4)
			for i, want := range []string{"no type is configured", "262144", "data.key", "shop.paid"} { // newest first
				require.Contains(t, found[i].Reason, want)
				require.Equal(t, "open", found[i].State)
				require.Zero(t, found[i].Position)
				require.Equal(t, "message.refused", found[i].Event.Type)
				require.Equal(t, "orders.a", found[i].Event.Subject)
			}
			require.Equal(t, good, found[3].Event.Data.Data)
			unread := letters("_system", "", 1)
			require.Equal(t, "nats", unread[0].Set)
			require.Equal(t, "rubbish", unread[0].Event.Data.Data)
			require.Equal(t, "leat.events.dev.00.business.entry.written", unread[0].Event.Data.Subject)
			require.Contains(t, p.metrics(), `dead_letter_queue_size{handler="foreign"} 4`)
			require.Contains(t, p.metrics(), `dead_letter_queue_size{handler="nats"} 1`)

			out, code := p.command("dead-letters", "list")
			require.Zero(t, code, out)
			require.Contains(t, out, found[0].ID)
			require.Contains(t, out, "message.refused")
			out, code = p.command("dead-letters", "show", found[3].ID)
			require.Zero(t, code, out)
			require.Contains(t, out, "shop.paid")
			require.Contains(t, out, "orders.a")
			out, code = p.command("dead-letters", "retry", found[3].ID)
			require.Equal(t, 5, code, out)
			require.Contains(t, out, "refused again")
			out, code = p.command("dead-letters", "retry", unread[0].ID, "--tenant", "_system")
			require.Equal(t, 5, code, out)
			require.Contains(t, out, "could not be read")
			out, code = p.command("dead-letters", "discard", unread[0].ID, "--tenant", "_system")
			require.Zero(t, code, out)
			letters("_system", "", 0)

			// The type is made known, and nothing comes by itself: somebody says retry.
			p.stop()
			write(", types: {shop.paid: entry.written}")
			p = serve(t, "ledger", dir, settings...)
			letters("dev", "set=foreign", 4)
			out, code = p.command("dead-letters", "retry", found[3].ID)
			require.Zero(t, code, out)
			letters("dev", "set=foreign", 3)
			p.eventually("its event", func() bool { return len(p.events("type=entry.written")) == 2 })
			require.Equal(t, "unknown", p.events("type=entry.written")[1].Event.ID)
			var count struct{ Count int }
			p.must("POST", "/v1/dead-letters/retry", map[string]any{"set": "foreign"}, &count)
			require.Zero(t, count.Count, "those are refused again")
			p.must("POST", "/v1/dead-letters/discard", map[string]any{"set": "foreign"}, &count)
			require.Equal(t, 3, count.Count)
			p.eventually("all quiet", func() bool {
				text := p.metrics()
				return strings.Contains(text, `leat_oldest_unsettled_seconds{handler="ledger"} 0`) && strings.Contains(text, "leat_log_unsequenced 0")
			})
			p.stop()
		})
	}
}
