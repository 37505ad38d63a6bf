package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"
)

// OpsDeps is what the operators' server asks.
type OpsDeps struct {
	// Ready tells why the process cannot do its work now; nil when it can.
	Ready func(ctx context.Context) error
	// Metrics serves /metrics.
	Metrics http.Handler
}

// Ops serves /healthz, /readyz and /metrics. It is a server of its own, so that it can be reached by
// others than the API and answers while the API drains.
type Ops struct {
	listener
}

// NewOps returns a server that is not started. Its error joins every fault of the configuration.
func NewOps(cfg OpsConfig, deps OpsDeps, logger *slog.Logger) (*Ops, error) {
	faults := cfg.Validate()
	if deps.Ready == nil || deps.Metrics == nil {
		faults = append(faults, errors.New("the operators' server needs Ready and Metrics"))
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, opsState{Status: "ok"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := deps.Ready(r.Context()); err != nil {
			writeJSON(w, http.StatusServiceUnavailable, opsState{Status: "not ready", Reason: err.Error()})
			return
		}
		writeJSON(w, http.StatusOK, opsState{Status: "ready"})
	})
	mux.Handle("GET /metrics", deps.Metrics)
	return &Ops{listener{
		key: "ops.listen", address: cfg.withDefaults().Listen, shutdown: 5 * time.Second, logger: logger,
		server: &http.Server{
			Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
			WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: maxHeader,
			ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
		},
	}}, nil
}

type opsState struct {
	Status string `json:"status"`
	Reason string `json:"reason,omitempty"`
}

// Handler returns what the server serves.
func (o *Ops) Handler() http.Handler { return o.server.Handler }
