package wiring

import (
	"context"

	"github.com/leat-dev/leat/adapters/prom"
	"github.com/leat-dev/leat/app/deadletter"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/app/sequence"
	"github.com/leat-dev/leat/app/settle"
	"github.com/leat-dev/leat/configs"
)

// gauges says where the figures come from that are read at each scrape.
func gauges(cfg *configs.Config, store settle.Store, backlogs settle.Backlogs, letters deadletter.Store, log eventlog.Reader, seq *sequence.Sequencer) prom.Sources {
	s := prom.Sources{
		QueueDepth: func(ctx context.Context) (map[string]int, error) {
			depth, err := backlogs.Backlog(ctx)
			if err != nil {
				return nil, err
			}
			statuses, err := store.Statuses(ctx)
			if err != nil {
				return nil, err
			}
			for set, status := range statuses {
				depth[set] += status.Parked + status.Redrive
			}
			return depth, nil
		},
		DeadLetters: letters.CountDeadLetters,
	}
	if cfg.HasRole(configs.RoleSequencer) && !cfg.Store.IsPostgres() {
		s.Unsequenced = func(ctx context.Context) (int, error) {
			_, last, err := log.Bounds(ctx)
			return int(max(0, last-seq.Position())), err
		}
	}
	return s
}
