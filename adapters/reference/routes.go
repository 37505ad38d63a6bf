package reference

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leat-dev/leat/adapters/httpapi"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/domain"
)

// Routes adds the service's operations to the API. The caller's tenant comes from the context
// (event.OriginFrom) and from nowhere else; what belongs to another tenant is not found.
func (s *Service) Routes(api huma.API) {
	s.tenantRoutes(api)
	s.projectRoutes(api)
	s.buildRoutes(api)
	s.memberRoutes(api)
}

// callerTenant returns the tenant on whose behalf the request is made.
func callerTenant(ctx context.Context) (string, error) {
	tenant := event.OriginFrom(ctx).Tenant
	if tenant == "" {
		return "", domain.Errorf(domain.Forbidden, "TENANT_REQUIRED", "the request is made on behalf of no tenant")
	}
	return tenant, nil
}

// query adds an operation that reads.
func query[I, O any](api huma.API, op huma.Operation, do func(ctx context.Context, tenant string, in *I) (O, error)) {
	httpapi.Register(api, op, func(ctx context.Context, in *I) (*bodyOf[O], error) {
		tenant, err := callerTenant(ctx)
		if err != nil {
			return nil, err
		}
		out, err := do(ctx, tenant, in)
		if err != nil {
			return nil, err
		}
		return &bodyOf[O]{out}, nil
	})
}

// command adds an operation that changes something. All of it, from the first read to the last
// write, is one transaction. On SQLite those run one after the other, so that none is refused because
// of another one at the same time; on a server they run side by side, and of two that change the
// same item one is told CONCURRENT_UPDATE.
func command[I, O any](s *Service, api huma.API, op huma.Operation, do func(ctx context.Context, tenant string, in *I) (O, error)) {
	query(api, op, func(ctx context.Context, tenant string, in *I) (out O, err error) {
		err = s.db.InTx(ctx, func(ctx context.Context) error {
			out, err = do(ctx, tenant, in)
			return err
		})
		return out, err
	})
}

type bodyOf[T any] struct{ Body T }

// operation describes a route. id names it in the OpenAPI document; status is what it answers when
// all is well.
func operation(id, method, path string, status int, summary string) huma.Operation {
	return huma.Operation{
		OperationID: id, Method: method, Path: path, DefaultStatus: status, Summary: summary,
		Tags: []string{"reference"},
	}
}

// Page is what every list takes.
type Page struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"At most so many."`
	Cursor string `query:"cursor" maxLength:"256" doc:"The next of the answer before."`
}

// cut splits what was read, one more than the page holds, into the page and the cursor of the next.
func cut[T any](found []T, limit int, id func(T) string) ([]T, string) {
	if len(found) <= limit {
		return found, ""
	}
	return found[:limit], id(found[limit-1])
}

// shown turns what was read into what is answered; never nil, so that an empty list is [].
func shown[T, O any](found []T, show func(T) O) []O {
	out := make([]O, len(found))
	for i, v := range found {
		out[i] = show(v)
	}
	return out
}
