package prom_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leat-dev/leat/adapters/prom"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write the golden files")

// what the live feed's hub tells; it lives beside this adapter and is not imported
type hubObserver interface {
	Clients(n int)
	Dropped()
	Broadcast(took time.Duration)
}

var _ hubObserver = (*prom.Metrics)(nil)

func scrape(t *testing.T, m *prom.Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	require.Equal(t, http.StatusOK, w.Code)
	body, err := io.ReadAll(w.Result().Body)
	require.NoError(t, err)
	return string(body)
}

func everySource() prom.Sources {
	return prom.Sources{
		QueueDepth:  func(context.Context) (map[string]int, error) { return map[string]int{"audit": 3, "notify": 0}, nil },
		DeadLetters: func(context.Context) (map[string]int, error) { return map[string]int{"audit": 1}, nil },
		OldestUnsettled: func(context.Context) (map[string]time.Duration, error) {
			return map[string]time.Duration{"audit": 1500 * time.Millisecond}, nil
		},
		Unsequenced: func(context.Context) (int, error) { return 7, nil },
	}
}

func TestNamesHelpAndLabels(t *testing.T) {
	t.Parallel()
	m := prom.New([]string{"build.started"})
	require.NoError(t, m.Watch(everySource(), slog.New(slog.DiscardHandler)))
	m.Handled("audit", "build.started", "retried", 1, time.Millisecond)

	families, err := m.Registry().Gather()
	require.NoError(t, err)
	var got bytes.Buffer
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "go_") || strings.HasPrefix(f.GetName(), "process_") {
			continue // the library's, and they differ between systems
		}
		labels := map[string]bool{}
		for _, series := range f.GetMetric() {
			for _, l := range series.GetLabel() {
				labels[l.GetName()] = true
			}
		}
		var names []string
		for name := range labels {
			names = append(names, name)
		}
		slices.Sort(names)
		fmt.Fprintf(&got, "%s{%s} %s\n    %s\n", f.GetName(), strings.Join(names, ","), strings.ToLower(f.GetType().String()), f.GetHelp())
	}
	golden := filepath.Join("testdata", "metrics.txt")
	if *update {
		require.NoError(t, os.WriteFile(golden, got.Bytes(), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), got.String(), "the metrics have changed; if that is meant, run the test with -update")
}

func TestRuntimeMetricsAreServed(t *testing.T) {
	t.Parallel()
	require.Contains(t, scrape(t, prom.New(nil)), "go_goroutines ")
}

func TestPublished(t *testing.T) {
	t.Parallel()
	m := prom.New([]string{"build.started", "build.failed"})
	require.Contains(t, scrape(t, m), `messaging_events_published_total{type="build.failed"} 0`, "a known type begins at 0")

	m.Published([]string{"build.started", "build.started", "no.such"}, 2*time.Millisecond, nil)
	m.Published([]string{"build.failed", "made.up.by-a-caller", ""}, time.Millisecond, errors.New("the log is down"))

	got := scrape(t, m)
	for _, want := range []string{
		`messaging_events_published_total{type="build.started"} 2`,
		`messaging_events_published_total{type="unknown"} 1`,
		`messaging_events_failed_total{type="build.failed"} 1`,
		`messaging_events_failed_total{type="unknown"} 2`,
		`messaging_publish_duration_seconds_count 2`,
		`messaging_publish_duration_seconds_sum 0.003`,
		`messaging_reliable_publish_duration_seconds_count 1`,
	} {
		require.Contains(t, got, want)
	}
	require.NotContains(t, got, "made.up")
	require.NotContains(t, got, "no.such")
}

func TestFastPath(t *testing.T) {
	t.Parallel()
	m := prom.New([]string{"build.progressed"})
	require.Contains(t, scrape(t, m), `leat_events_unrecorded_total{type="build.progressed"} 0`)
	m.Unrecorded([]string{"build.progressed", "no.such"})
	m.Missed("nats", 3)
	got := scrape(t, m)
	for _, want := range []string{
		`leat_events_unrecorded_total{type="build.progressed"} 1`, `leat_events_unrecorded_total{type="unknown"} 1`, `leat_live_missed_total{way="nats"} 3`,
	} {
		require.Contains(t, got, want)
	}
}

func TestHandled(t *testing.T) {
	t.Parallel()
	m := prom.New(nil)
	for _, result := range []string{"handled", "handled", "retried", "dead", "unavailable", "unsettled", "something else"} {
		m.Handled("audit", "build.started", result, 1, 3*time.Millisecond)
	}
	got := scrape(t, m)
	for _, want := range []string{
		`leat_event_deliveries_total{handler="audit",result="handled"} 2`,
		`leat_event_deliveries_total{handler="audit",result="retried"} 1`,
		`leat_event_deliveries_total{handler="audit",result="dead"} 1`,
		`leat_event_deliveries_total{handler="audit",result="unavailable"} 1`,
		`leat_event_deliveries_total{handler="audit",result="unsettled"} 1`,
		`leat_event_deliveries_total{handler="audit",result="unknown"} 1`,
		`leat_handler_retries_total{handler="audit"} 1`,
		`messaging_process_duration_seconds_count{handler="audit"} 7`,
	} {
		require.Contains(t, got, want)
	}
}

func TestLiveFeedAndMails(t *testing.T) {
	t.Parallel()
	m := prom.New(nil)
	m.Clients(5)
	m.Clients(4)
	m.Dropped()
	m.Broadcast(time.Millisecond)
	m.MailDone("sent", time.Second)
	m.MailDone("sent", time.Second)
	m.MailDone("bounced@example.com", 0)

	got := scrape(t, m)
	for _, want := range []string{
		"leat_ws_clients 4",
		"leat_ws_dropped_total 1",
		"messaging_broadcast_duration_seconds_count 1",
		`leat_emails_total{result="sent"} 2`,
		`leat_emails_total{result="failed"} 0`,
		`leat_emails_total{result="unknown"} 1`,
	} {
		require.Contains(t, got, want)
	}
	require.NotContains(t, got, "example.com")
}

func TestGaugesAreReadAtTheScrape(t *testing.T) {
	t.Parallel()
	m := prom.New(nil)
	sources := everySource()
	depth := 3
	sources.QueueDepth = func(context.Context) (map[string]int, error) { return map[string]int{"audit": depth}, nil }
	require.NoError(t, m.Watch(sources, slog.New(slog.DiscardHandler)))

	got := scrape(t, m)
	for _, want := range []string{
		`queue_depth{handler="audit"} 3`,
		`dead_letter_queue_size{handler="audit"} 1`,
		`leat_oldest_unsettled_seconds{handler="audit"} 1.5`,
		`leat_log_unsequenced 7`,
	} {
		require.Contains(t, got, want)
	}
	depth = 9
	require.Contains(t, scrape(t, m), `queue_depth{handler="audit"} 9`)
	require.Error(t, m.Watch(sources, slog.New(slog.DiscardHandler)), "a second Watch would double the gauges")
}

func TestSourcesAreOptional(t *testing.T) {
	t.Parallel()
	m := prom.New(nil)
	require.NoError(t, m.Watch(prom.Sources{
		DeadLetters: func(context.Context) (map[string]int, error) { return map[string]int{}, nil },
	}, slog.New(slog.DiscardHandler)))
	require.NotContains(t, scrape(t, m), "queue_depth")
}

func TestASourceThatFailsHidesNothingElse(t *testing.T) {
	t.Parallel()
	var logged bytes.Buffer
	m := prom.New(nil)
	sources := everySource()
	down := errors.New("the store is down")
	sources.DeadLetters = func(context.Context) (map[string]int, error) { return map[string]int{"audit": 1}, down }
	require.NoError(t, m.Watch(sources, slog.New(slog.NewTextHandler(&logged, nil))))

	for range 3 {
		got := scrape(t, m)
		require.Contains(t, got, "queue_depth")
		require.NotContains(t, got, "dead_letter_queue_size")
	}
	require.Equal(t, 1, strings.Count(logged.String(), "the store is down"), "log: %s", logged.String())

	down = nil
	require.Contains(t, scrape(t, m), `dead_letter_queue_size{handler="audit"} 1`)
	require.Contains(t, logged.String(), "can be read again")
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	m := prom.New([]string{"build.started"})
	require.NoError(t, m.Watch(everySource(), slog.New(slog.DiscardHandler)))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				m.Published([]string{"build.started"}, time.Millisecond, nil)
				m.Handled("audit", "build.started", "handled", 1, time.Millisecond)
			}
		})
	}
	_ = scrape(t, m)
	wg.Wait()
	require.Contains(t, scrape(t, m), `messaging_events_published_total{type="build.started"} 400`)
}
