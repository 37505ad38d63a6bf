package prom

import (
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/leat-dev/leat/app/live"
	"github.com/leat-dev/leat/app/publish"
	"github.com/leat-dev/leat/app/router/middleware"
	"github.com/leat-dev/leat/handlers/email"
)

// unknown stands in a label for what is none of the known values.
const unknown = "unknown"

// Metrics holds all metrics of a process on a registry of its own. Its methods are safe for
// concurrent use.
type Metrics struct {
	registry *prometheus.Registry
	types    map[string]bool

	published       *prometheus.CounterVec
	publishFailed   *prometheus.CounterVec
	unrecorded      *prometheus.CounterVec
	liveMissed      *prometheus.CounterVec
	publishTook     prometheus.Histogram
	reliableTook    prometheus.Histogram
	broadcastTook   prometheus.Histogram
	deliveries      *prometheus.CounterVec
	processTook     *prometheus.HistogramVec
	retries         *prometheus.CounterVec
	webSockets      prometheus.Gauge
	webSocketsSlow  prometheus.Counter
	emails          *prometheus.CounterVec
	knownDeliveries []string
	knownEmails     []string
}

var (
	_ publish.Observer    = (*Metrics)(nil)
	_ live.Observer       = (*Metrics)(nil)
	_ middleware.Observer = (*Metrics)(nil)
	_ email.Observer      = (*Metrics)(nil)
)

// New returns metrics for a process that knows the given event types (event.Catalogue.Types). Any
// other type is counted as "unknown".
func New(types []string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		types:    map[string]bool{},
		published: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "messaging_events_published_total", Help: "Events that were accepted, by event type.",
		}, []string{"type"}),
		publishFailed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "messaging_events_failed_total", Help: "Events that were not accepted, by event type.",
		}, []string{"type"}),
		unrecorded: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "leat_events_unrecorded_total", Help: "Events that went out to the live feed although the log did not take them, by event type.",
		}, []string{"type"}),
		liveMissed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "leat_live_missed_total", Help: "Real-time events that a way of the fast path did not take, by way: local or nats.",
		}, []string{"way"}),
		publishTook: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "messaging_publish_duration_seconds", Help: "How long publish calls took, accepted or not.", Buckets: fast(),
		}),
		reliableTook: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "messaging_reliable_publish_duration_seconds", Help: "How long publish calls took whose events are in the log.", Buckets: fast(),
		}),
		broadcastTook: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "messaging_broadcast_duration_seconds", Help: "How long it took to hand an event to all clients of the live feed.", Buckets: fast(),
		}),
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "leat_event_deliveries_total", Help: "Attempts to handle an event, by handler set and result: handled, retried, dead, unavailable or unsettled.",
		}, []string{"handler", "result"}),
		processTook: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "messaging_process_duration_seconds", Help: "How long an attempt to handle an event took, its settling included.", Buckets: fast(),
		}, []string{"handler"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "leat_handler_retries_total", Help: "Attempts that failed and will be made again.",
		}, []string{"handler"}),
		webSockets: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "leat_ws_clients", Help: "Clients of the live feed that are connected to this process.",
		}),
		webSocketsSlow: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "leat_ws_dropped_total", Help: "Clients of the live feed that were closed because they were too slow.",
		}),
		emails: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "leat_emails_total", Help: "Attempts to send a mail, by result: sent, retried or failed.",
		}, []string{"result"}),
		knownDeliveries: []string{"handled", "retried", "dead", "unavailable", "unsettled"},
		knownEmails:     []string{"sent", "retried", "failed"},
	}
	m.registry.MustRegister(
		m.published, m.publishFailed, m.unrecorded, m.liveMissed, m.publishTook, m.reliableTook, m.broadcastTook,
		m.deliveries, m.processTook, m.retries, m.webSockets, m.webSocketsSlow, m.emails,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	// A series that begins at 0 lets a rate see the first event.
	for _, typ := range types {
		m.types[typ] = true
		m.published.WithLabelValues(typ)
		m.publishFailed.WithLabelValues(typ)
		m.unrecorded.WithLabelValues(typ)
	}
	for _, result := range m.knownEmails {
		m.emails.WithLabelValues(result)
	}
	return m
}

// fast are the buckets of things that should take milliseconds: 0.1 ms to 30 s, in seconds.
func fast() []float64 {
	return []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
}

// Handler serves the metrics. When a source of Watch fails, the other metrics are served all the
// same.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, Registry: m.registry, MaxRequestsInFlight: 4,
	})
}

// Registry is where a service adds metrics of its own.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

// Published counts a publish call: types holds the type of each of its events, err is nil when
// they are in the log.
func (m *Metrics) Published(types []string, took time.Duration, err error) {
	m.publishTook.Observe(took.Seconds())
	counter := m.publishFailed
	if err == nil {
		counter = m.published
		m.reliableTook.Observe(took.Seconds())
	}
	for _, typ := range types {
		if !m.types[typ] {
			typ = unknown
		}
		counter.WithLabelValues(typ).Inc()
	}
}

// Unrecorded counts events that went out although the log did not take them.
func (m *Metrics) Unrecorded(types []string) {
	for _, typ := range types {
		if !m.types[typ] {
			typ = unknown
		}
		m.unrecorded.WithLabelValues(typ).Inc()
	}
}

// Missed counts events that a way of the fast path did not take.
func (m *Metrics) Missed(way string, events int) {
	m.liveMissed.WithLabelValues(way).Add(float64(events))
}

// Began counts nothing: what counts is how an attempt ends.
func (m *Metrics) Began(_, _ string) {}

// Handled counts an attempt of a handler set. result is handled, retried, dead, unavailable or
// unsettled.
func (m *Metrics) Handled(set, _, result string, _ int, took time.Duration) {
	m.deliveries.WithLabelValues(set, oneOf(m.knownDeliveries, result)).Inc()
	m.processTook.WithLabelValues(set).Observe(took.Seconds())
	if result == "retried" {
		m.retries.WithLabelValues(set).Inc()
	}
}

// Clients notes how many clients of the live feed are connected.
func (m *Metrics) Clients(n int) { m.webSockets.Set(float64(n)) }

// Dropped counts a client that was closed because it was too slow.
func (m *Metrics) Dropped() { m.webSocketsSlow.Inc() }

// Broadcast notes how long one event took to reach all clients.
func (m *Metrics) Broadcast(took time.Duration) { m.broadcastTook.Observe(took.Seconds()) }

// MailDone counts an attempt to send a mail. result is sent, retried or failed.
func (m *Metrics) MailDone(result string, _ time.Duration) {
	m.emails.WithLabelValues(oneOf(m.knownEmails, result)).Inc()
}

func oneOf(known []string, value string) string {
	if slices.Contains(known, value) {
		return value
	}
	return unknown
}
