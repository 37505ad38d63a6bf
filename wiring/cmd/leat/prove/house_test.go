//go:build prove

package prove_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/leat-dev/leat/adapters/natsbus/natstest"
	"github.com/leat-dev/leat/adapters/postgres/postgrestest"
)

// house is a combination of bus and store that the program lives in.
type house struct{ bus, store string }

var houses = []house{{"sql", "sqlite"}, {"gochannel", "sqlite"}, {"sql", "postgres"}, {"nats", "sqlite"}}

func (h house) String() string { return h.bus + "+" + h.store }

// settings lets the program live there, and says where its store is. The NATS server is inside the
// process where there is one process, so that it dies with it.
func (h house) settings(t testing.TB, dir string, shared bool) (settings []string, store string) {
	settings = []string{"bus.kind=" + h.bus}
	store = "sqlite:" + filepath.Join(dir, "leat.db")
	if h.store == "postgres" {
		store = postgrestest.Start(t)
	}
	switch {
	case h.bus == "nats" && shared:
		settings = append(settings, "nats.url="+natstest.StartServer(t, natstest.Options{}).URL())
	case h.bus == "nats":
		settings = append(settings, "nats.dir="+filepath.Join(dir, "nats"))
	}
	return append(settings, "store.url="+store), store
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
	where, _, _ := strings.Cut(point, ".")
	switch where {
	case "sqlite", "postgres":
		return h.store == where
	case "sqlbus", "gochannelbus", "natsbus":
		return h.bus+"bus" == where
	}
	return true
}

// quick makes what only takes time take less of it: the lanes of a dead process are free at once,
// and what failed is tried again soon.
var quick = []string{
	"lanes.lease=600ms", "lanes.poll=100ms", "retry.initial=20ms", "retry.max=100ms", "ws.position_interval=50ms",
	"email.initial=10ms", "email.max=50ms", "email.timeout=1s", "email.lease=2s", "email.poll=100ms",
	"drain.timeout=10s", "log.level=info",
}
