package wiring

import (
	"context"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/leat-dev/leat/adapters/prom"
	"github.com/leat-dev/leat/app/deadletter"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/app/sequence"
	"github.com/leat-dev/leat/app/settle"
	"github.com/leat-dev/leat/configs"
)

// gauges says where the figures come from that are read at each scrape.
func gauges(cfg *configs.Config, store settle.Store, backlogs settle.Backlogs, letters deadletter.Store, log eventlog.Reader, seq *sequence.Sequencer, clock clockwork.Clock) prom.Sources {
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
		OldestUnsettled: func(ctx context.Context) (map[string]time.Duration, error) {
			since, err := backlogs.Oldest(ctx)
			ages := make(map[string]time.Duration, len(since))
			for set, at := range since {
				ages[set] = 0
				if !at.IsZero() {
					ages[set] = max(0, clock.Since(at))
				}
			}
			return ages, err
		},
		DeadLetters: letters.CountDeadLetters,
	}
	if !cfg.HasRole(configs.RoleSequencer) {
		return s
	}
	s.Unsequenced = func(ctx context.Context) (int, error) {
		_, last, err := log.Bounds(ctx)
		return int(max(0, last-seq.Position())), err
	}
	if counter, ok := log.(sequence.Counter); ok {
		s.Unsequenced = counter.CountUnsequenced
	}
	return s
}
