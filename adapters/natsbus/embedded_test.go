package natsbus_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/natsbus"
	"github.com/leat-dev/leat/adapters/natsbus/natstest"
	"github.com/leat-dev/leat/domain"
)

func TestAnEmbeddedServersFolderHasOneOwner(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new", "nats")
	_, logger := newLogs(t)
	b, err := natsbus.Open(t.Context(), natsbus.Config{Dir: dir, AckWait: time.Second}, natsbus.Hooks{}, logger)
	require.NoError(t, err)
	err = refused(t, natsbus.Config{Dir: dir})
	require.Equal(t, domain.Conflict, domain.KindOf(err))
	require.ErrorContains(t, err, "nats.dir: "+dir+" is in use by another process")
	require.Empty(t, b.URL())

	who := seat{Set: "audit", Lanes: 1}
	r := read(t, b, who)
	require.NoError(t, b.Publish(t.Context(), (&chain{}).next(3, keys(1))))
	require.Equal(t, []int64{1}, r.take(1))
	require.NoError(t, b.Close())
	r.stop()

	// The folder is free, and the stream is in it. A server that starts again has forgotten what was
	// given back, and waits for AckWait. The ack of the first may have come too late for it: a bus
	// may repeat.
	again, _ := open(t, natsbus.Config{Dir: dir, AckWait: time.Second})
	require.ElementsMatch(t, numbers(2, 3), read(t, again, who).from(2, 2))
}

func TestAnEmbeddedServerServesOthers(t *testing.T) {
	t.Parallel()
	cfg := natsbus.Config{Listen: "127.0.0.1:0", User: "leat", Password: "word"}
	b, _ := open(t, cfg)
	require.NotEmpty(t, b.URL())
	other, _ := open(t, natsbus.Config{URL: b.URL(), User: "leat", Password: "word"})
	r := read(t, other, seat{Set: "audit", Lanes: 1})
	require.NoError(t, b.Publish(t.Context(), (&chain{}).next(3, keys(1))))
	require.Equal(t, numbers(1, 3), r.take(3))
	_, err := nats.Connect(b.URL())
	require.ErrorIs(t, err, nats.ErrAuthorization)
}

func TestAnEmbeddedServerThatCannotListen(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	err = refused(t, natsbus.Config{Dir: t.TempDir(), Listen: l.Addr().String()})
	require.Equal(t, domain.Conflict, domain.KindOf(err))
	require.ErrorContains(t, err, "nats.listen")
}

func TestAnEmbeddedServersFolderThatIsNone(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.ErrorContains(t, refused(t, natsbus.Config{Dir: file}), "make the folder of the embedded NATS server")
}

func TestValidate(t *testing.T) {
	t.Parallel()
	tests := []struct {
		cfg  natsbus.Config
		want []string
	}{
		{natsbus.Config{}, nil},
		{natsbus.Config{URL: "nats://a:4222, tls://b", User: "u", Password: "p", Replicas: 3}, nil},
		{natsbus.Config{Listen: "127.0.0.1:4222"}, nil},
		{natsbus.Config{Listen: "0.0.0.0:4222", Token: "t"}, nil},
		{natsbus.Config{Listen: ":4222"}, []string{"nats.listen: :4222 can be reached from other machines; nats.user and nats.password, or nats.token, must guard it"}},
		{natsbus.Config{Listen: "here"}, []string{`nats.listen: "here" is no host:port: address here: missing port in address`}},
		{natsbus.Config{URL: "http://a"}, []string{"nats.url: http://a does not begin with nats://, tls://, ws:// or wss://"}},
		{natsbus.Config{URL: "nats://u:word@a"}, []string{"nats.url: nats://a holds a log-in, which belongs into nats.user and nats.password, or nats.token"}},
		{natsbus.Config{URL: "nats://a", Listen: "127.0.0.1:1"}, []string{"nats.listen: is for the embedded server; nats.url names another"}},
		{natsbus.Config{Replicas: 3}, []string{"nats.replicas: 3 replicas need a cluster; the embedded server is one"}},
		{natsbus.Config{Replicas: 2}, []string{"nats.replicas: 2 is not 1, 3 or 5"}},
		{natsbus.Config{Password: "p"}, []string{"nats.user: is missing beside nats.password"}},
		{natsbus.Config{User: "u", Token: "t"}, []string{"nats.user: only one of nats.user, nats.token and nats.creds_file can log in"}},
		{natsbus.Config{URL: "nats://a", CredsFile: "/nowhere"}, []string{"nats.creds_file: stat /nowhere: no such file or directory"}},
		{natsbus.Config{Discard: "some"}, []string{`nats.discard: "some" is not "old" or "new"`}},
		{
			natsbus.Config{MaxBytes: 1, MaxAge: 1, AckWait: 1, Forget: 1, MaxMemory: 1}, []string{
				"nats.max_bytes: 1 is less than 1 MiB", "nats.max_memory: 1 is less than 1 MiB", "nats.max_age: 1ns is less than 1m",
				"nats.ack_wait: 1ns is less than 1s", "nats.forget: 1ns is less than 1m",
			},
		},
		{natsbus.Config{Window: -1}, []string{"nats.window: -1 is not from 1 to 10000"}},
		{natsbus.Config{StartWait: -time.Second}, []string{"nats.start_wait: -1s is not a positive duration"}},
		{natsbus.Config{Foreign: []natsbus.ForeignConfig{{Subject: "orders.*.>", Tenant: "acme"}}}, nil},
		{natsbus.Config{Foreign: []natsbus.ForeignConfig{{Tenant: "acme"}}}, []string{"nats.foreign[0].subject: is missing"}},
		{natsbus.Config{Foreign: []natsbus.ForeignConfig{{Subject: "a. b", Tenant: "acme"}}}, []string{`nats.foreign[0].subject: "a. b" is no subject to listen to`}},
		{natsbus.Config{Foreign: []natsbus.ForeignConfig{{Subject: "$JS.>", Tenant: "acme"}}}, []string{`nats.foreign[0].subject: "$JS.>" is no subject to listen to`}},
		{natsbus.Config{Foreign: []natsbus.ForeignConfig{{Subject: "*.events.x", Tenant: "acme"}, {Subject: "*", Tenant: "no tenant", Type: "x", Types: map[string]string{"a": "B"}}}}, []string{
			"nats.foreign[0].subject: *.events.x covers subjects of Leat's own, and would bring its events back to it",
			"nats.foreign[1].tenant: tenant: tenant \"no tenant\" may hold letters, digits, '-' and '_' only",
			`nats.foreign[1].type: event type "x" needs at least two segments, such as "build.started"`,
			`nats.foreign[1].types.a: event type "B" needs at least two segments, such as "build.started"`,
		}},
	}
	for i, test := range tests {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, err := range test.cfg.Validate() {
				got = append(got, err.Error())
			}
			require.Equal(t, test.want, got)
		})
	}
}

// TestAnEmbeddedServerIsWiped loses everything between two runs.
func TestAnEmbeddedServerIsWiped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, logger := newLogs(t)
	b, err := natsbus.Open(t.Context(), natsbus.Config{Dir: dir}, natsbus.Hooks{}, logger)
	require.NoError(t, err)
	require.NoError(t, b.Publish(t.Context(), (&chain{}).next(3, keys(1))))
	require.NoError(t, b.Close())
	require.NoError(t, os.RemoveAll(dir))
	b, _ = open(t, natsbus.Config{Dir: dir})
	r := read(t, b, seat{Set: "audit", Lanes: 1})
	require.NoError(t, b.Publish(t.Context(), (&chain{last: 3}).next(3, keys(1))))
	require.Equal(t, numbers(4, 6), r.take(3))
}

func TestACluster(t *testing.T) {
	t.Parallel()
	cluster := natstest.StartCluster(t, 3)
	b, _ := open(t, natsbus.Config{URL: cluster.URL(), Replicas: 3, StartWait: patience})
	r := read(t, b, seat{Set: "audit", Lanes: 1})
	c := &chain{}
	require.NoError(t, b.Publish(t.Context(), c.next(100, keys(7))))
	require.Equal(t, numbers(1, 100), r.take(100))
	// The node dies that matters most.
	leader := leaderOf(t, cluster)
	leader.Kill()
	entries := c.next(1, keys(1))
	delivered(t, b, r, entries[0])
	leader.Start()
	until(t, "the stream has its replicas", func() bool { return b.Check(t.Context()) == nil && current(t, cluster) })
	require.NoError(t, b.Publish(t.Context(), c.next(100, keys(7))))
	require.Equal(t, numbers(c.last-99, c.last), r.from(c.last-99, 100))
}

// clusterInfo is what the cluster says of the stream; nil while it cannot.
func clusterInfo(t *testing.T, cluster *natstest.Cluster) *jetstream.ClusterInfo {
	conn, err := nats.Connect(cluster.URL())
	if err != nil {
		return nil
	}
	defer conn.Close()
	s, err := jetStream(t, conn).Stream(t.Context(), natsbus.Stream)
	if err != nil {
		return nil
	}
	return s.CachedInfo().Cluster
}

// leaderOf is the node that leads the stream.
func leaderOf(t *testing.T, cluster *natstest.Cluster) *natstest.Server {
	t.Helper()
	info := clusterInfo(t, cluster)
	require.NotNil(t, info)
	var number int
	_, err := fmt.Sscanf(info.Leader, "node-%d", &number)
	require.NoError(t, err)
	return cluster.Servers[number-1]
}

// current tells whether all replicas of the stream are up to date.
func current(t *testing.T, cluster *natstest.Cluster) bool {
	info := clusterInfo(t, cluster)
	if info == nil || info.Leader == "" || len(info.Replicas) != 2 {
		return false
	}
	for _, peer := range info.Replicas {
		if !peer.Current || peer.Offline {
			return false
		}
	}
	return true
}
