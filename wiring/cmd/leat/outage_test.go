package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/natsbus/natstest"
	"github.com/leat-dev/leat/adapters/postgres/postgrestest"
)

// readiness returns what /readyz says.
func (p *process) readiness() (status int, reason string) {
	p.t.Helper()
	resp, err := http.Get("http://" + p.ops + "/readyz")
	require.NoError(p.t, err)
	defer resp.Body.Close()
	var answer struct{ Reason string }
	require.NoError(p.t, json.NewDecoder(resp.Body).Decode(&answer))
	return resp.StatusCode, answer.Reason
}

// notReady waits until the process says that it is not ready, for a reason that holds the word.
func (p *process) notReady(word string) {
	p.t.Helper()
	p.eventually("not ready because of "+word, func() bool {
		status, reason := p.readiness()
		return status == http.StatusServiceUnavailable && strings.Contains(reason, word)
	})
}

func (p *process) isReady() {
	p.t.Helper()
	p.eventually("ready", func() bool {
		status, _ := p.readiness()
		return status == http.StatusOK
	})
}

// says waits until the log of the process holds the text.
func (p *process) says(text string) {
	p.t.Helper()
	p.eventually("the log says "+text, func() bool { return strings.Contains(p.output(), text) })
}

// accept sends entries from..to, each until it is accepted.
func accept(t *testing.T, p *process, keys, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		require.Eventually(t, func() bool { return publish(p.api, n%keys, n) }, patience, 5*time.Millisecond, "entry %d is accepted", n)
	}
}

// NATS goes away and comes back: what is published in between is accepted and done all the same.
func TestNATSIsGoneForAWhile(t *testing.T) {
	t.Parallel()
	for _, store := range []string{"sqlite", "postgres"} {
		for name, wipe := range map[string]bool{"with its data": false, "without its data": true} {
			t.Run(store+" "+name, func(t *testing.T) {
				t.Parallel()
				house := house{store, "nats"}
				mail, dir, server := startMailServer(t, nil), t.TempDir(), natstest.StartServer(t, natstest.Options{})
				settings := append(append(mail.settings(), "nats.url="+server.URL(), "nats.reconnect_wait=100ms"), house.settings(t)...)
				p := serve(t, "ledger", dir, settings...)
				accept(t, p, 10, 0, 100)
				server.Kill()
				p.notReady("NATS")
				accept(t, p, 10, 100, 200)
				settled(t, p) // from the log
				accept(t, p, 10, 200, 250)
				if wipe {
					server.Wipe()
				}
				server.Start()
				p.isReady()
				accept(t, p, 10, 250, 300)
				settled(t, p)
				p.stop()
				count := recount(t, house, settings, dir, mail, 300)
				count.check(t, 0)
			})
		}
	}
}

// PostgreSQL goes away and comes back under a process that runs on.
func TestPostgreSQLIsGoneForAWhile(t *testing.T) {
	t.Parallel()
	for _, bus := range []string{"sql", "gochannel", "nats"} {
		t.Run(bus, func(t *testing.T) {
			t.Parallel()
			const secret = "a-secret-word"
			house := house{"postgres", bus}
			server := postgrestest.NewServer(t, secret)
			server.Start()
			mail := startMailServer(t, nil)
			settings := append(mail.settings(), "bus.kind="+bus, "store.url="+server.URL())
			p := serve(t, "ledger", t.TempDir(), settings...)
			accept(t, p, 10, 0, 100)
			for from := 100; from < 300; from += 100 {
				server.Kill()
				p.notReady("event log")
				var failure struct{ ErrorCode string }
				require.Equal(t, http.StatusServiceUnavailable, p.call("POST", "/v1/events", map[string]any{
					"eventType": "entry.written", "source": "clients", "subject": "none",
					"data": map[string]any{"key": "none", "number": -1, "email": ""},
				}, &failure))
				require.NotEmpty(t, failure.ErrorCode)
				server.Start()
				p.isReady()
				accept(t, p, 10, from, from+100)
			}
			settled(t, p)
			require.NotContains(t, p.output(), secret)
			p.stop()
			recount(t, house, settings, "", mail, 300).check(t, 2)
		})
	}
}

// What cannot be used is refused, with the reason and an exit code that says what kind of fault it is.
func TestStartSaysWhatIsWrongWithItsServers(t *testing.T) {
	t.Parallel()
	const secret, wrong = "a-secret-word", "another-word"
	free := func() string { return fmt.Sprintf("127.0.0.1:%d", natstest.FreePort(t)) }
	withUser := natstest.StartServer(t, natstest.Options{User: "leat", Password: secret})
	withToken := natstest.StartServer(t, natstest.Options{Token: secret})
	ca := natstest.NewAuthority(t)
	cert, key := ca.Issue("server")
	withTLS := natstest.StartServer(t, natstest.Options{TLSCert: cert, TLSKey: key})
	withCreds := natstest.StartServer(t, natstest.Options{Creds: natstest.NewCreds(t)})
	database := postgrestest.NewServer(t, secret)
	database.Start()
	plain := natstest.StartServer(t, natstest.Options{})
	first := serve(t, "leat", t.TempDir(), "bus.kind=nats", "nats.url="+plain.URL(), "nats.max_age=2h")
	first.stop()

	for name, c := range map[string]struct {
		settings []string
		code     int
		says     []string
	}{
		"nats.url is no URL":        {[]string{"bus.kind=nats", "nats.url=nats://leat:" + wrong + "@host:port"}, 2, []string{"nats.url"}},
		"nats.url is of the web":    {[]string{"bus.kind=nats", "nats.url=http://" + free()}, 2, []string{"nats.url", "nats://"}},
		"store.url is no URL":       {[]string{"store.url=postgres://leat:" + wrong + "@host:port/x"}, 2, []string{"store.url"}},
		"store.url is of mysql":     {[]string{"store.url=mysql://leat:" + wrong + "@host/x"}, 2, []string{"store.url"}},
		"a wrong NATS password":     {[]string{"bus.kind=nats", "nats.url=" + withUser.URL(), "nats.user=leat", "nats.password=" + wrong}, 3, []string{"refuses the log-in", "nats.password", "Authorization"}},
		"no NATS password":          {[]string{"bus.kind=nats", "nats.url=" + withUser.URL()}, 3, []string{"refuses the log-in"}},
		"a wrong NATS token":        {[]string{"bus.kind=nats", "nats.url=" + withToken.URL(), "nats.token=" + wrong}, 3, []string{"refuses the log-in", "nats.token"}},
		"another account's creds":   {[]string{"bus.kind=nats", "nats.url=" + withCreds.URL(), "nats.creds_file=" + natstest.NewCreds(t).Path}, 3, []string{"refuses the log-in", "nats.creds_file"}},
		"an unknown authority":      {[]string{"bus.kind=nats", "nats.url=" + withTLS.URL()}, 5, []string{"x509"}},
		"a wrong database user":     {[]string{"store.url=" + database.URLAs("stranger", wrong)}, 3, []string{"refuses the log-in", "authentication", "stranger"}},
		"a wrong database password": {[]string{"store.url=" + database.URLAs("leat", wrong)}, 3, []string{"refuses the log-in", "authentication"}},
		"NATS is not there":         {[]string{"bus.kind=nats", "nats.url=nats://" + free(), "nats.start_wait=1s"}, 6, []string{"does not answer yet", "does not answer", "refused"}},
		"PostgreSQL is not there":   {[]string{"store.url=postgres://leat:" + wrong + "@" + free() + "/x", "store.start_wait=1s"}, 6, []string{"wait for the database", "refused"}},
		"a stream that differs":     {[]string{"bus.kind=nats", "nats.url=" + plain.URL(), "nats.max_bytes=2000000"}, 5, []string{"LEAT_EVENTS"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := launch(t, "leat", t.TempDir(), c.settings...)
			require.Equal(t, c.code, p.wait(), p.output())
			for _, text := range c.says {
				require.Contains(t, p.output(), text)
			}
			require.NotContains(t, p.output(), wrong, "a secret is shown")
		})
	}

	// With the data of the first, what is left is what differs.
	t.Run("field by field", func(t *testing.T) {
		t.Parallel()
		p := launch(t, "leat", first.Dir(), "bus.kind=nats", "nats.url="+plain.URL(), "nats.max_bytes=2000000")
		require.Equal(t, 5, p.wait(), p.output())
		require.Contains(t, p.output(), "max_bytes (nats.max_bytes) is 1073741824, want 2000000; max_age (nats.max_age) is 2h0m0s, want 24h0m0s")
	})
	t.Run("the stream of another log", func(t *testing.T) {
		t.Parallel()
		p := launch(t, "leat", t.TempDir(), "bus.kind=nats", "nats.url="+plain.URL(), "nats.max_age=2h")
		require.Equal(t, 5, p.wait(), p.output())
		require.Contains(t, p.output(), "carries the events of the log")
		require.Contains(t, p.output(), "nats stream rm LEAT_EVENTS")
	})
}

// Servers that come up while the process waits are enough.
func TestStartWaitsForItsServers(t *testing.T) {
	t.Parallel()
	const secret = "a-secret-word"
	database, broker := postgrestest.NewServer(t, secret), natstest.NewServer(t, natstest.Options{})
	p := launch(t, "leat", t.TempDir(), "store.url="+database.URL(), "store.start_wait=1m",
		"bus.kind=nats", "nats.url="+broker.URL(), "nats.start_wait=1m")
	p.says("wait for the database")
	database.Start()
	p.says("the NATS server does not answer yet")
	broker.Start()
	p.Ops, p.API = p.listening("ops.listen"), p.listening("http.listen")
	p.ops, p.api = p.Ops, p.API
	p.isReady()
	p.invite("ada@example.com")
	p.eventually("the outcome", func() bool { return len(p.outcomes("notification.sent")) == 1 })
	p.stop()
}

// The program speaks to a NATS server with each kind of log-in, and over TLS.
func TestNATSLogIns(t *testing.T) {
	t.Parallel()
	const secret = "a-secret-word"
	ca := natstest.NewAuthority(t)
	cert, key := ca.Issue("server")
	mine, mineKey := ca.Issue("client")
	creds := natstest.NewCreds(t)
	for name, c := range map[string]struct {
		server   natstest.Options
		settings []string
	}{
		"user":  {natstest.Options{User: "leat", Password: secret}, []string{"nats.user=leat", "nats.password=" + secret}},
		"token": {natstest.Options{Token: secret}, []string{"nats.token=" + secret}},
		"creds": {natstest.Options{Creds: creds}, []string{"nats.creds_file=" + creds.Path}},
		"TLS":   {natstest.Options{TLSCert: cert, TLSKey: key}, []string{"nats.tls.ca=" + ca.Path}},
		"TLS, certificate and user": {
			natstest.Options{TLSCert: cert, TLSKey: key, TLSCA: ca.Path, User: "leat", Password: secret},
			[]string{"nats.tls.ca=" + ca.Path, "nats.tls.cert=" + mine, "nats.tls.key=" + mineKey, "nats.user=leat", "nats.password=" + secret},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := natstest.StartServer(t, c.server)
			p := serve(t, "leat", t.TempDir(), append([]string{"bus.kind=nats", "nats.url=" + server.URL()}, c.settings...)...)
			p.invite("ada@example.com")
			p.eventually("the outcome", func() bool { return len(p.outcomes("notification.sent")) == 1 })
			p.stop()
			require.NotContains(t, p.output(), secret)
			require.NotContains(t, p.output(), `"level":"WARN"`)
		})
	}
}

// Events that are larger than the server takes go another way, and hold up nobody.
func TestNATSTakesSmallMessagesOnly(t *testing.T) {
	t.Parallel()
	server := natstest.StartServer(t, natstest.Options{MaxPayload: 4096})
	mail := startMailServer(t, nil)
	house, dir := house{"sqlite", "nats"}, t.TempDir()
	settings := append(mail.settings(), "bus.kind=nats", "nats.url="+server.URL())
	p := serve(t, "ledger", dir, settings...)
	p.says("accepts smaller messages than events may be")
	for n := range 30 {
		key, subject := "key-"+fmt.Sprint(n%3), "key-"+fmt.Sprint(n%3)
		if n%3 == 2 {
			key = strings.Repeat("x", 100_000)
		}
		// What headers cannot hold as it is travels as well.
		p.must("POST", "/v1/events", map[string]any{
			"eventType": "entry.written", "source": "clients: ä \"%\"", "id": fmt.Sprintf("e %d ß", n), "subject": subject + " ü",
			"data": map[string]any{"key": key, "number": n, "email": fmt.Sprintf("n%d@example.com", n)},
		}, nil)
	}
	settled(t, p)
	require.Contains(t, p.output(), "cannot travel over NATS")
	p.stop()
	recount(t, house, settings, dir, mail, 30).check(t, 0)
}

// One node of three dies while events flow; it comes back, and another one dies.
func TestANodeOfTheClusterDies(t *testing.T) {
	t.Parallel()
	for _, store := range []string{"sqlite", "postgres"} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			const events, keys, clients = 900, 48, 8
			start := time.Now()
			cluster := natstest.StartCluster(t, 3)
			mail, dir := startMailServer(t, nil), t.TempDir()
			house := house{store, "nats"}
			settings := append(append(mail.settings(), "nats.url="+cluster.URL(), "nats.replicas=3", "nats.reconnect_wait=100ms", "nats.start_wait=30s"), house.settings(t)...)
			p := serve(t, "ledger", dir, settings...)
			var accepted atomic.Int64
			var sending sync.WaitGroup
			for c := range clients {
				sending.Go(func() {
					for n := c; n < events && !t.Failed(); n += clients {
						for !publish(p.api, n%keys, n) {
							time.Sleep(5 * time.Millisecond)
						}
						accepted.Add(1)
					}
				})
			}
			reached := func(n int64) {
				require.Eventually(t, func() bool { return accepted.Load() >= n }, 2*time.Minute, time.Millisecond)
			}
			reached(events / 3)
			cluster.Servers[0].Kill()
			reached(2 * events / 3)
			cluster.Servers[0].Start()
			p.isReady()
			cluster.Servers[1].Kill()
			sending.Wait()
			settled(t, p)
			p.isReady() // two of three are enough
			p.stop()
			count := recount(t, house, settings, dir, mail, events)
			t.Logf("%s, R3: %d events, a node killed twice: lost %d, audit twice %d, ledger twice %d, out of order %d, mails lost %d, second copies %d; %v",
				store, events, count.lost, count.auditTwice, count.twice, count.disorder, count.mailsLost, count.copies, time.Since(start).Round(time.Millisecond))
			count.check(t, 0)
		})
	}
}

// metrics returns what /metrics says.
func (p *process) metrics() string {
	p.t.Helper()
	resp, err := http.Get("http://" + p.ops + "/metrics")
	require.NoError(p.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(p.t, err)
	return string(text)
}
