package natstest

import (
	"fmt"
	"strings"
	"testing"
)

// Cluster is several servers that are one.
type Cluster struct {
	Servers []*Server
}

// StartCluster starts a cluster of n servers and waits until it serves JetStream.
func StartCluster(tb testing.TB, n int) *Cluster {
	tb.Helper()
	peers := make([]int, n)
	for i := range peers {
		peers[i] = FreePort(tb)
	}
	c := &Cluster{}
	for i := range n {
		c.Servers = append(c.Servers, NewServer(tb, Options{
			cluster: "leat-test", name: fmt.Sprintf("node-%d", i+1), routes: peers[i], peers: peers,
		}))
	}
	for _, s := range c.Servers {
		s.launch()
	}
	for _, s := range c.Servers {
		s.wait("the cluster serves JetStream", s.serves)
	}
	return c
}

// URL lists the servers.
func (c *Cluster) URL() string {
	urls := make([]string, len(c.Servers))
	for i, s := range c.Servers {
		urls[i] = s.URL()
	}
	return strings.Join(urls, ",")
}
