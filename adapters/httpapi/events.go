package httpapi

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/domain"
)

// Deliveries tells what each handler set did with an event of the tenant; a domain.NotFound error
// when the tenant has no event of that id.
type Deliveries interface {
	Deliveries(ctx context.Context, tenant, eventID string) ([]Delivery, error)
}

// Delivery is what one handler set did with an event.
type Delivery struct {
	Set      string    `json:"set"`
	State    string    `json:"state" enum:"handled,pending,retrying,waiting,held,dead,discarded"`
	Attempts int       `json:"attempts" doc:"How often the set has tried; not counted any more once it is handled."`
	Due      time.Time `json:"due,omitzero" doc:"When it tries again."`
	Reason   string    `json:"reason,omitempty" doc:"The last error."`
}

// LoggedEvent is an event with its place in the log.
type LoggedEvent struct {
	Position int64      `json:"position"`
	Recorded time.Time  `json:"recorded" doc:"When the log accepted it."`
	Event    CloudEvent `json:"event"`
}

// EventList is one page of events.
type EventList struct {
	Events []LoggedEvent `json:"events" nullable:"false"`
	Next   string        `json:"next" doc:"Cursor of the following page; empty at the end."`
}

// DeliveryList is what all handler sets did with an event.
type DeliveryList struct {
	Deliveries []Delivery `json:"deliveries" nullable:"false"`
}

type eventQuery struct {
	Type        []string  `query:"type" nullable:"false" doc:"Event types or patterns such as build.*, separated by commas."`
	Subject     string    `query:"subject"`
	Correlation string    `query:"correlation" doc:"Correlation id."`
	From        time.Time `query:"from" doc:"Recorded at this time or later."`
	To          time.Time `query:"to" doc:"Recorded before this time."`
	Limit       int       `query:"limit" minimum:"1" maximum:"500" default:"50"`
	Cursor      string    `query:"cursor" doc:"The next of the page before."`
}

type byID struct {
	ID string `path:"id"`
}

// reply is an answer with a body.
type reply[T any] struct{ Body T }

func respond[T any](body T) *reply[T] { return &reply[T]{Body: body} }

func (s *Server) registerEvents(api huma.API) {
	Register(api, huma.Operation{
		OperationID: "list-events", Method: http.MethodGet, Path: pathEvents, Tags: []string{"Events"},
		Summary: "Search events, newest first",
	}, s.listEvents)
	Register(api, huma.Operation{
		OperationID: "get-event", Method: http.MethodGet, Path: pathEvents + "/{id}", Tags: []string{"Events"},
		Summary: "One event", Description: "When several sources used the id: the newest.",
	}, func(ctx context.Context, in *byID) (*reply[LoggedEvent], error) {
		tenant, _ := caller(ctx)
		e, err := s.deps.Events.Find(ctx, tenant, in.ID)
		if err != nil {
			return nil, err
		}
		return respond(logged(e)), nil
	})
	Register(api, huma.Operation{
		OperationID: "list-deliveries", Method: http.MethodGet, Path: pathEvents + "/{id}/deliveries", Tags: []string{"Events"},
		Summary: "What each handler set did with an event",
	}, func(ctx context.Context, in *byID) (*reply[DeliveryList], error) {
		tenant, _ := caller(ctx)
		found, err := s.deps.Deliveries.Deliveries(ctx, tenant, in.ID)
		if err != nil {
			return nil, err
		}
		return respond(DeliveryList{Deliveries: append([]Delivery{}, found...)}), nil
	})
}

func (s *Server) listEvents(ctx context.Context, in *eventQuery) (*reply[EventList], error) {
	tenant, _ := caller(ctx)
	types, err := patterns(in.Type)
	if err != nil {
		return nil, err
	}
	before, err := positionCursor(in.Cursor)
	if err != nil {
		return nil, err
	}
	found, err := s.deps.Events.Search(ctx, eventlog.Query{
		Tenant: tenant, Types: types, Subject: in.Subject, CorrelationID: in.Correlation,
		From: in.From, To: in.To, Before: before, Limit: in.Limit,
	})
	if err != nil {
		return nil, err
	}
	list := EventList{Events: make([]LoggedEvent, len(found))}
	for i, e := range found {
		list.Events[i] = logged(e)
	}
	if len(found) >= in.Limit {
		list.Next = strconv.FormatInt(found[len(found)-1].Position, 10)
	}
	return respond(list), nil
}

func logged(e event.Envelope) LoggedEvent {
	return LoggedEvent{Position: e.Position, Recorded: e.Recorded.UTC(), Event: CloudEvent{e}}
}

// patterns checks the type patterns of a query, its parameter "type".
func patterns(given []string) ([]event.Pattern, error) {
	var out []event.Pattern
	for _, p := range given {
		if p == "" {
			continue
		}
		if err := event.CheckPattern(p); err != nil {
			return nil, refused("INVALID_TYPE_PATTERN", "type", err.Error())
		}
		out = append(out, event.Pattern(p))
	}
	return out, nil
}

// positionCursor reads a cursor that is a position; 0 for none.
func positionCursor(cursor string) (int64, error) {
	if cursor == "" {
		return 0, nil
	}
	before, err := strconv.ParseInt(cursor, 10, 64)
	if err != nil || before < 1 {
		return 0, &domain.Error{Kind: domain.Invalid, Code: "INVALID_CURSOR", Field: "cursor", Message: "is not the next of a page"}
	}
	return before, nil
}

// caller returns the tenant and the actor of a request.
func caller(ctx context.Context) (tenant, actor string) {
	o := event.OriginFrom(ctx)
	return o.Tenant, o.Actor
}
