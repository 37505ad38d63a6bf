package main

import (
	"context"
	"io/fs"

	"github.com/danielgtaylor/huma/v2"

	reference "github.com/leat-dev/leat/adapters/reference"
	"github.com/leat-dev/leat/app/event"
	reactions "github.com/leat-dev/leat/handlers/reference"
	"github.com/leat-dev/leat/wiring"
)

// referenceService is the service that this program runs: projects, builds, members and tenants,
// with what becomes of their events.
func referenceService() wiring.Service {
	return wiring.Service{
		Name:        "leat",
		Definitions: []event.Definitions{reactions.Definitions()},
		Build: func(ctx context.Context, kit wiring.Kit) (wiring.Parts, error) {
			service := reference.New(kit.Store, kit.Publisher, kit.Clock)
			if err := service.Migrate(ctx); err != nil {
				return wiring.Parts{}, err
			}
			return wiring.Parts{
				Audit:      reactions.AuditPatterns(),
				Rules:      reactions.Rules(),
				Recipients: service.Recipients,
				Templates:  []fs.FS{reactions.Templates()},
				Routes:     []func(huma.API){service.Routes},
			}, nil
		},
	}
}
