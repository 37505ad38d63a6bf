package wiring

import (
	"context"
	"errors"
	"log/slog"

	"github.com/leat-dev/leat/adapters/natsbus"
	"github.com/leat-dev/leat/app"
	"github.com/leat-dev/leat/app/publish"
	"github.com/leat-dev/leat/configs"
)

// Transport is what a bus brings besides carrying events.
type Transport struct {
	Parts []app.Part                      // what runs beside the bus
	Check func(ctx context.Context) error // nil while events travel; itself nil: always
}

// provideNoTransport is for buses that are nothing but buses.
func provideNoTransport() Transport { return Transport{} }

func provideNATSBus(ctx context.Context, cfg *configs.Config, logger *slog.Logger) (*natsbus.Bus, func(), error) {
	b, err := natsbus.Open(ctx, cfg.NATS, natsbus.Hooks{}, logger)
	if err != nil {
		return nil, nil, err
	}
	return b, closing("bus", b.Close, logger), nil
}

// provideNATSTransport takes in the events of other services where the sequencer runs, so that one
// process does it.
func provideNATSTransport(cfg *configs.Config, b *natsbus.Bus, p *publish.Publisher, logger *slog.Logger) Transport {
	t := Transport{Check: b.Check}
	if len(cfg.NATS.Foreign) > 0 && cfg.HasRole(configs.RoleSequencer) {
		t.Parts = []app.Part{{Name: "foreign events", Run: natsbus.NewForeign(b, p, nil, logger).Run}}
	}
	return t
}

// check says why the process cannot do all of its work now.
func (g *gate) check(ctx context.Context) error {
	if g.app == nil {
		return errors.New("starting")
	}
	if err := g.app.CheckReady(ctx); err != nil || g.transport.Check == nil {
		return err
	}
	return g.transport.Check(ctx)
}
