package natsbus_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/natsbus"
	"github.com/leat-dev/leat/adapters/natsbus/natstest"
)

// BenchmarkPublish compares windows with one message at a time.
func BenchmarkPublish(b *testing.B) {
	for _, where := range []string{"embedded", "external"} {
		for _, window := range []int{1, 100, 256} {
			b.Run(fmt.Sprintf("%s/window=%d", where, window), func(b *testing.B) {
				cfg := natsbus.Config{Window: window}
				if where == "external" {
					cfg.URL = natstest.StartServer(b, natstest.Options{}).URL()
				}
				transport, _ := open(b, cfg)
				entries := (&chain{}).next(512, keys(64))
				b.ResetTimer()
				for sent := 0; sent < b.N; {
					n := min(len(entries), b.N-sent)
					require.NoError(b, transport.Publish(b.Context(), entries[:n]))
					sent += n
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			})
		}
	}
}

// BenchmarkDeliver sends events through the stream to one lane, with acks.
func BenchmarkDeliver(b *testing.B) {
	transport, _ := open(b, natsbus.Config{})
	r := read(b, transport, seat{Set: "audit", Lanes: 1})
	c := &chain{}
	b.ResetTimer()
	for sent := 0; sent < b.N; {
		entries := c.next(min(512, b.N-sent), keys(64))
		require.NoError(b, transport.Publish(b.Context(), entries))
		r.take(len(entries))
		sent += len(entries)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
