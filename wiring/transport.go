package wiring

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/leat-dev/leat/adapters/natsbus"
	"github.com/leat-dev/leat/app"
	"github.com/leat-dev/leat/app/deadletter"
	"github.com/leat-dev/leat/app/publish"
	"github.com/leat-dev/leat/configs"
	"github.com/leat-dev/leat/domain"
)

// Transport is what a bus brings besides carrying events.
type Transport struct {
	Parts []app.Part                      // what runs beside the bus
	Check func(ctx context.Context) error // nil while events travel; itself nil: always
	// TakeIn is what a retry means for dead letters of messages that came over the bus and never
	// became events, by the name that stands in place of their set.
	TakeIn map[string]deadletter.TakeIn
}

// provideNoTransport is for buses that are nothing but buses.
func provideNoTransport() Transport { return Transport{} }

func provideNATSBus(ctx context.Context, cfg *configs.Config, store Store, logger *slog.Logger) (*natsbus.Bus, func(), error) {
	b, err := natsbus.Open(ctx, cfg.NATS, natsbus.Hooks{Log: store, Letters: store}, logger)
	if err != nil {
		return nil, nil, err
	}
	return b, closing("bus", b.Close, logger), nil
}

// provideNATSTransport takes in the events of other services where the sequencer runs, so that one
// process does it. Their dead letters can be retried by every process that has the same configuration.
func provideNATSTransport(cfg *configs.Config, b *natsbus.Bus, p *publish.Publisher, store Store, logger *slog.Logger) Transport {
	foreign := natsbus.NewForeign(b, p, store, logger)
	t := Transport{Check: b.Check, TakeIn: map[string]deadletter.TakeIn{
		natsbus.SetForeign: foreign.TakeIn,
		natsbus.SetStream: func(_ context.Context, _ string, m deadletter.Message) error {
			return domain.Errorf(domain.Conflict, "MESSAGE_UNREADABLE",
				"the message on %s could not be read and was in no log; what the log holds is handled all the same", m.Subject)
		},
	}}
	if len(cfg.NATS.Foreign) > 0 && cfg.HasRole(configs.RoleSequencer) {
		t.Parts = []app.Part{{Name: "foreign events", Run: foreign.Run}}
	}
	return t
}

// check says why the process cannot do all of its work now.
func (g *gate) check(ctx context.Context) error {
	if g.app == nil {
		return errors.New("starting")
	}
	if err := g.app.CheckReady(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, checkWait)
	defer cancel()
	if _, _, err := g.log.Bounds(ctx); err != nil {
		return fmt.Errorf("the event log does not answer: %w", err)
	}
	if g.transport.Check == nil {
		return nil
	}
	return g.transport.Check(ctx)
}

// checkWait bounds how long store and bus may take to say that they are there.
const checkWait = 5 * time.Second
