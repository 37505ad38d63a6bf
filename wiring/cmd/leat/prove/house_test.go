//go:build prove

package prove_test

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/natsbus/natstest"
	"github.com/leat-dev/leat/adapters/postgres/postgrestest"
	"github.com/leat-dev/leat/wiring/cmd/leat/prove/load"
	"github.com/leat-dev/leat/wiring/cmd/leat/prove/proxy"
)

// house is a combination of bus and store that the program lives in.
type house struct{ bus, store string }

var houses = []house{{"sql", "sqlite"}, {"gochannel", "sqlite"}, {"sql", "postgres"}, {"nats", "sqlite"}}

func (h house) String() string { return h.bus + "+" + h.store }

// surroundings are what processes live with, and what can break around them.
type surroundings struct {
	settings []string // that let the program live there
	store    string   // where the oracle looks, past every proxy

	patience time.Duration // how long clients wait for an answer; 0: as long as usual
	// What a life has for itself; nil where it does not.
	nats     *natstest.Server
	postgres *postgrestest.Server
	toNATS   *proxy.Proxy // the processes' way to it
	toStore  *proxy.Proxy
	stranger *load.Stranger
}

// strange are surroundings with a service that knows nothing of Leat and sends messages over NATS.
func (h house) strange(t testing.TB, dir string) surroundings {
	s := h.ordinary(t, dir, true)
	var err error
	s.stranger, err = load.NewStranger(t.Context(), s.nats.Connect(t), tenants[0])
	require.NoError(t, err)
	file := filepath.Join(dir, "leat.yaml")
	text := fmt.Sprintf("nats:\n  foreign:\n    - {subject: %q, tenant: %s, from_start: true}\n", load.ForeignSubjects, tenants[0])
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	s.settings = append(s.settings, "--config="+file, "nats.ack_wait=1s", "nats.reconnect_wait=100ms")
	return s
}

// ordinary are surroundings that do not break. The NATS server is inside the process where there is
// one process, so that it dies with it.
func (h house) ordinary(t testing.TB, dir string, shared bool) surroundings {
	s := surroundings{store: "sqlite:" + filepath.Join(dir, "leat.db")}
	if h.store == "postgres" {
		s.store = postgrestest.Start(t)
	}
	s.settings = []string{"bus.kind=" + h.bus, "store.url=" + s.store}
	switch {
	case h.bus == "nats" && shared:
		s.nats = natstest.StartServer(t, natstest.Options{})
		s.settings = append(s.settings, "nats.url="+s.nats.URL())
	case h.bus == "nats":
		s.settings = append(s.settings, "nats.dir="+filepath.Join(dir, "nats"))
	}
	return s
}

// breakable are surroundings of servers that are there for one life, each behind a proxy.
func (h house) breakable(t testing.TB, dir string) surroundings {
	s := surroundings{store: "sqlite:" + filepath.Join(dir, "leat.db"), patience: 3 * time.Second}
	s.settings = []string{"bus.kind=" + h.bus}
	if h.store == "postgres" {
		s.postgres = postgrestest.StartServer(t)
		s.store = s.postgres.URL()
		var way string
		s.toStore, way = before(t, s.store)
		s.settings = append(s.settings, "store.url="+way+"&statement_timeout=2000&idle_in_transaction_session_timeout=2000")
	} else {
		s.settings = append(s.settings, "store.url="+s.store)
	}
	if h.bus == "nats" {
		s.nats = natstest.StartServer(t, natstest.Options{})
		var way string
		s.toNATS, way = before(t, s.nats.URL())
		s.settings = append(s.settings, "nats.url="+way, "nats.reconnect_wait=100ms", "nats.publish_wait=1s", "nats.ack_wait=1s")
	}
	return s
}

// before starts a proxy before the server of a URL, and returns the URL by which it is reached.
func before(t testing.TB, server string) (p *proxy.Proxy, way string) {
	t.Helper()
	u, err := url.Parse(server)
	require.NoError(t, err)
	p, err = proxy.Start(u.Host)
	require.NoError(t, err)
	t.Cleanup(p.Close)
	u.Host = p.Address()
	return p, u.String()
}

// cost is how long a death takes there, compared with others.
func (h house) cost() float64 {
	switch {
	case h.store == "postgres":
		return 3
	case h.bus == "nats":
		return 1.5
	}
	return 1
}

// has tells whether a program in this house can pass a point: it is in a package that it uses.
func (h house) has(point string) bool {
	if planOf(point).when == joined { // several processes share the work
		return h.store == "postgres"
	}
	where, _, _ := strings.Cut(point, ".")
	switch where {
	case "sqlite", "postgres":
		return h.store == where
	case "sqlbus", "gochannelbus", "natsbus":
		return h.bus+"bus" == where
	}
	return true
}

const quickLease = 600 * time.Millisecond

// quick makes what only takes time take less of it: the lanes of a dead process are free at once,
// and what failed is tried again soon.
var quick = []string{
	"lanes.lease=" + quickLease.String(), "lanes.poll=100ms", "retry.initial=20ms", "retry.max=100ms", "ws.position_interval=50ms",
	"email.initial=10ms", "email.max=50ms", "email.timeout=1s", "email.lease=4s", "email.poll=100ms",
	"drain.timeout=10s", "log.level=info",
}
