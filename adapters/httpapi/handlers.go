package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leat-dev/leat/domain"
)

// Handlers shows and steers the handler sets. They work for all tenants.
type Handlers interface {
	// Handlers returns how all sets are, in any order.
	Handlers(ctx context.Context) ([]HandlerStatus, error)
	// Pause lets a set rest until it is resumed, on every process and over restarts. A
	// domain.NotFound error when there is no such set, a domain.Conflict when it cannot rest;
	// pausing a paused one changes nothing.
	Pause(ctx context.Context, name string) error
	// Resume lets a set go on where it rested.
	Resume(ctx context.Context, name string) error
	// Forget lets go of event types of a set, or of all that is stored of it when none are named. A
	// domain.NotFound error when there is no such set or type, a domain.Conflict while it is at work.
	Forget(ctx context.Context, name string, types []string) (ForgottenHandler, error)
}

// HandlerStatus is how a handler set is.
type HandlerStatus struct {
	Name          string   `json:"name"`
	Types         []string `json:"types" nullable:"false" doc:"The event types that it reacts to."`
	UnknownTypes  []string `json:"unknownTypes" nullable:"false" doc:"Of these, the ones that the process which answers does not handle. A process that does not handle all of them leaves the set to others."`
	EveryInstance bool     `json:"everyInstance" doc:"Every process works all events, without a record."`
	Paused        bool     `json:"paused"`
	Lanes         int      `json:"lanes" doc:"With how many lanes it is worked; 0 before it ever was."`
	IdleLanes     int      `json:"idleLanes" doc:"Of these, lanes that nobody holds: their events wait."`
	Owners        []Owner  `json:"owners" nullable:"false" doc:"The processes that hold its lanes, by name."`
	Backlog       int      `json:"backlog" doc:"Events that it has still to settle."`
	Parked        int      `json:"parked" doc:"Of these, events that wait for another attempt, or behind one that does."`
	DeadLetters   int      `json:"deadLetters" doc:"Open dead letters, over all tenants."`
}

// Owner is a process that holds lanes of a handler set.
type Owner struct {
	Name  string `json:"name"`
	Lanes int    `json:"lanes"`
}

// ForgottenHandler is what was let go of.
type ForgottenHandler struct {
	Name    string   `json:"name"`
	Types   []string `json:"types" nullable:"false" doc:"The event types that were let go of."`
	Cursors int      `json:"cursors" doc:"How many cursors were; 0 when only types were."`
	Parked  int      `json:"parked" doc:"How many events that waited for another attempt, or behind one, were."`
}

// HandlerList is all handler sets.
type HandlerList struct {
	Handlers []HandlerStatus `json:"handlers" nullable:"false"`
}

type byName struct {
	Name string `path:"name"`
}

func (s *Server) registerHandlers(api huma.API) {
	tags := []string{"Handlers"}
	Register(api, huma.Operation{
		OperationID: "list-handlers", Method: http.MethodGet, Path: "/v1/handlers", Tags: tags,
		Summary: "All handler sets, by name",
	}, func(ctx context.Context, _ *struct{}) (*reply[HandlerList], error) {
		found, err := s.handlers(ctx)
		if err != nil {
			return nil, err
		}
		return respond(HandlerList{Handlers: found}), nil
	})
	for _, op := range []struct {
		verb, summary string
		do            func(ctx context.Context, name string) error
	}{
		{"pause", "Let a handler set rest; its events wait", s.deps.Handlers.Pause},
		{"resume", "Let a handler set go on", s.deps.Handlers.Resume},
	} {
		Register(api, huma.Operation{
			OperationID: op.verb + "-handler", Method: http.MethodPost, Path: "/v1/handlers/{name}/" + op.verb,
			Tags: tags, Summary: op.summary,
		}, func(ctx context.Context, in *byName) (*reply[HandlerStatus], error) {
			if err := op.do(ctx, in.Name); err != nil {
				return nil, err
			}
			h, err := s.handler(ctx, in.Name)
			if err != nil {
				return nil, err
			}
			return respond(h), nil
		})
	}
	s.registerForget(api)
}

type forgetQuery struct {
	Name  string   `path:"name"`
	Types []string `query:"type,explode" doc:"Let go of these event types only."`
}

// Resolve refuses an empty type, which would be left out, and no type means all of the set.
func (*forgetQuery) Resolve(ctx huma.Context) []error {
	u := ctx.URL()
	if slices.Contains(u.Query()["type"], "") {
		return []error{&huma.ErrorDetail{Location: "query.type", Message: "an event type must not be empty"}}
	}
	return nil
}

func (s *Server) registerForget(api huma.API) {
	Register(api, huma.Operation{
		OperationID: "forget-handler", Method: http.MethodDelete, Path: "/v1/handlers/{name}", Tags: []string{"Handlers"},
		Summary: "Let go of what is stored of a handler set, or of event types that nobody handles any more",
	}, func(ctx context.Context, in *forgetQuery) (*reply[ForgottenHandler], error) {
		gone, err := s.deps.Handlers.Forget(ctx, in.Name, in.Types)
		if err != nil {
			return nil, err
		}
		gone.Types = append([]string{}, gone.Types...)
		return respond(gone), nil
	})
}

// handlers returns all sets, sorted by name.
func (s *Server) handlers(ctx context.Context) ([]HandlerStatus, error) {
	found, err := s.deps.Handlers.Handlers(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]HandlerStatus, len(found))
	for i, h := range found {
		h.Types, h.UnknownTypes = append([]string{}, h.Types...), append([]string{}, h.UnknownTypes...)
		h.Owners = append([]Owner{}, h.Owners...)
		list[i] = h
	}
	slices.SortFunc(list, func(a, b HandlerStatus) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

func (s *Server) handler(ctx context.Context, name string) (HandlerStatus, error) {
	all, err := s.handlers(ctx)
	if err != nil {
		return HandlerStatus{}, err
	}
	for _, h := range all {
		if h.Name == name {
			return h, nil
		}
	}
	return HandlerStatus{}, &domain.Error{
		Kind: domain.NotFound, Code: "HANDLER_NOT_FOUND", Field: "name", Message: fmt.Sprintf("there is no handler set %q", name),
	}
}
