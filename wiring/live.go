package wiring

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/jonboulle/clockwork"

	"github.com/leat-dev/leat/adapters/prom"
	"github.com/leat-dev/leat/adapters/wshub"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/live"
	"github.com/leat-dev/leat/configs"
)

// remote is how the fast path reaches other processes, and hears of theirs.
type remote interface {
	Broadcast(ctx context.Context, e event.Envelope) error
	OnBroadcast(f func(event.Envelope)) (stop func(), err error)
}

// provideNoRemote is for buses by which no other process is reached but through the log.
func provideNoRemote() remote { return nil }

// provideLive returns the fast path: to the clients of this process, where it has any, and to the other
// processes. nil where it would lead nowhere.
func provideLive(cfg *configs.Config, hub *wshub.Hub, r remote, clock clockwork.Clock, logger *slog.Logger, m *prom.Metrics) *live.Path {
	var ways []live.Way
	if cfg.HasRole(configs.RoleBroadcast) {
		ways = append(ways, live.Way{Name: "local", To: hub})
	}
	if r != nil {
		ways = append(ways, live.Way{Name: "nats", To: live.PusherFunc(r.Broadcast)})
	}
	if len(ways) == 0 {
		return nil
	}
	return live.New(ways, clock, logger, m)
}

// hear takes what other processes broadcast to the clients of this one, until ctx ends.
func hear(r remote, hub *wshub.Hub, logger *slog.Logger) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		stop, err := r.OnBroadcast(func(e event.Envelope) {
			if err := hub.Push(ctx, e); err != nil {
				logger.Warn("a broadcast of another process cannot be shown", "type", e.Type, "tenant", e.Tenant, "error", err)
			}
		})
		if err != nil {
			return fmt.Errorf("the fast path of other processes: %w", err)
		}
		<-ctx.Done()
		stop()
		return nil
	}
}
