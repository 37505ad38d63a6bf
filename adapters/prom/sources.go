package prom

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Sources are asked at each scrape. A nil one is left out. They must be safe for concurrent use and
// should be cheap: scrapes come every few seconds, from several places.
type Sources struct {
	// QueueDepth returns how many events each handler set has still to settle, by set.
	QueueDepth func(ctx context.Context) (map[string]int, error)
	// DeadLetters returns the number of open dead letters, by set;
	// deadletter.Store.CountDeadLetters is one.
	DeadLetters func(ctx context.Context) (map[string]int, error)
	// OldestUnsettled returns how long the oldest event that a set has not settled has been in the
	// log, by set.
	OldestUnsettled func(ctx context.Context) (map[string]time.Duration, error)
	// Unsequenced returns how many accepted events have no position yet.
	Unsequenced func(ctx context.Context) (int, error)
}

// scrapeTimeout bounds one round of questions.
const scrapeTimeout = 5 * time.Second

// Watch adds the gauges that are read from the sources. It may be called once. logger is told when
// a source fails: once, until it works again.
func (m *Metrics) Watch(s Sources, logger *slog.Logger) error {
	if err := m.registry.Register(newGauges(s, logger)); err != nil {
		return fmt.Errorf("add the gauges of queues: %w", err)
	}
	return nil
}

// gauges asks the sources.
type gauges struct {
	sources Sources
	logger  *slog.Logger

	depth, dead, oldest, unsequenced *prometheus.Desc

	mu      sync.Mutex
	failing map[string]bool
}

var _ prometheus.Collector = (*gauges)(nil)

func newGauges(s Sources, logger *slog.Logger) *gauges {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &gauges{
		sources: s, logger: logger, failing: map[string]bool{},
		depth:       desc("queue_depth", "Events that a handler set has still to settle, parked ones included. Exact up to 2000 events behind its slowest cursor; of what lies beyond, events that are not the set's are counted too.", "handler"),
		dead:        desc("dead_letter_queue_size", "Open dead letters of a handler set.", "handler"),
		oldest:      desc("leat_oldest_unsettled_seconds", "How long the oldest event that a handler set has not settled has been in the log; 0 when there is none. A dead letter is settled.", "handler"),
		unsequenced: desc("leat_log_unsequenced", "Accepted events that have no position yet (PostgreSQL; no more than 100000 are counted), or were not handed to the bus yet (SQLite)."),
	}
}

// Describe names the gauges that have a source.
func (g *gauges) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []struct {
		there bool
		desc  *prometheus.Desc
	}{
		{g.sources.QueueDepth != nil, g.depth},
		{g.sources.DeadLetters != nil, g.dead},
		{g.sources.OldestUnsettled != nil, g.oldest},
		{g.sources.Unsequenced != nil, g.unsequenced},
	} {
		if d.there {
			out <- d.desc
		}
	}
}

// Collect asks every source. One that fails has no value in this scrape: an old one would look
// like a fresh one.
func (g *gauges) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	bySet(ctx, g, out, "queue_depth", g.depth, g.sources.QueueDepth, func(n int) float64 { return float64(n) })
	bySet(ctx, g, out, "dead_letter_queue_size", g.dead, g.sources.DeadLetters, func(n int) float64 { return float64(n) })
	bySet(ctx, g, out, "leat_oldest_unsettled_seconds", g.oldest, g.sources.OldestUnsettled, time.Duration.Seconds)
	if ask := g.sources.Unsequenced; ask != nil {
		n, err := ask(ctx)
		if g.report("leat_log_unsequenced", err) {
			out <- prometheus.MustNewConstMetric(g.unsequenced, prometheus.GaugeValue, float64(n))
		}
	}
}

func bySet[T any](ctx context.Context, g *gauges, out chan<- prometheus.Metric, name string, desc *prometheus.Desc,
	ask func(context.Context) (map[string]T, error), value func(T) float64,
) {
	if ask == nil {
		return
	}
	found, err := ask(ctx)
	if !g.report(name, err) {
		return
	}
	for set, v := range found {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value(v), set)
	}
}

// report tells whether a source has answered, and logs when that changes.
func (g *gauges) report(name string, err error) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if failed := err != nil; failed != g.failing[name] {
		g.failing[name] = failed
		switch {
		case !failed:
			g.logger.Info("metric can be read again", "metric", name)
		case !errors.Is(err, context.Canceled):
			g.logger.Warn("metric cannot be read", "metric", name, "error", err)
		}
	}
	return err == nil
}
