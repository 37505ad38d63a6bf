//go:build !race

// The race detector allocates as well.

package wiring_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/configs"
	"github.com/leat-dev/leat/wiring"
)

type shipped struct {
	OrderID string `json:"order_id"`
	Number  int    `json:"number"`
}

func (shipped) EventType() string { return "order.shipped" }

const (
	allocsGolden = "testdata/allocs.golden"
	// allocsTolerance is by how much a count may exceed what is on record: how events share commits
	// is a matter of chance.
	allocsTolerance = 1.2
)

// TestAllocations counts what an event costs in allocations from Publish to the disk, and from there
// through bus, router and chain to the record of its outcome. LEAT_TEST_UPDATE=true puts new counts on
// record.
func TestAllocations(t *testing.T) {
	// Not parallel: it counts those of the process.
	const n = 2000
	counted := handledCounter{goal: n, reached: make(chan struct{})}
	cfg := configs.Default()
	cfg.Store.URL = "sqlite:" + filepath.Join(t.TempDir(), "leat.db")
	cfg.Roles = []string{configs.RoleSequencer, "billing"}
	ctx := event.WithOrigin(context.Background(), event.Origin{Tenant: "t", Actor: "a"})
	leat, closeAll, err := wiring.Open(ctx, cfg, wiring.Service{
		Name: "test", Definitions: []event.Definitions{{event.Define[shipped](event.Business)}},
		Build: func(context.Context, wiring.Kit) (wiring.Parts, error) {
			return wiring.Parts{Sets: []handler.Set{handler.NewSet("billing", handler.FromStart(),
				handler.OnTx(func(context.Context, shipped) error { return nil }))}}, nil
		},
	}, wiring.Overrides{NoListeners: true, Sender: noMails{}, Observer: &counted}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer closeAll()

	publish := allocations(func() {
		for i := range n {
			_, err := leat.Publisher.Publish(ctx, event.Draft{Event: shipped{"o-17", i}, Subject: fmt.Sprint("o-", i%100)})
			require.NoError(t, err)
		}
	}) / n
	running, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	handle := allocations(func() {
		go func() { ended <- leat.App.Run(running) }()
		select {
		case <-counted.reached:
		case <-time.After(time.Minute):
			t.Errorf("%d of %d events were handled", counted.n.Load(), n)
		}
	}) / n
	stop()
	require.NoError(t, <-ended)

	got := map[string]int64{"publish": publish, "handle": handle}
	t.Logf("allocations for each event: %v", got)
	if os.Getenv("LEAT_TEST_UPDATE") == "true" {
		require.NoError(t, os.WriteFile(allocsGolden, fmt.Appendf(nil, "publish %d\nhandle %d\n", publish, handle), 0o644))
		return
	}
	text, err := os.ReadFile(allocsGolden)
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		var what string
		var want int64
		_, err := fmt.Sscan(line, &what, &want)
		require.NoError(t, err, line)
		require.LessOrEqual(t, float64(got[what]), allocsTolerance*float64(want), "allocations for each event, %s", what)
	}
}

func allocations(fn func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return int64(after.Mallocs - before.Mallocs)
}

type handledCounter struct {
	n       atomic.Int64
	goal    int64
	reached chan struct{}
}

func (c *handledCounter) Began(string, string) {}
func (c *handledCounter) Handled(string, string, string, int, time.Duration) {
	if c.n.Add(1) == c.goal {
		close(c.reached)
	}
}
