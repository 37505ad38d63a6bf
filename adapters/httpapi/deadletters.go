package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leat-dev/leat/app/deadletter"
	"github.com/leat-dev/leat/domain"
)

// DeadLetter is an event that one handler set gave up on.
type DeadLetter struct {
	ID       string     `json:"id" example:"audit.1042"`
	Set      string     `json:"set"`
	Position int64      `json:"position"`
	Event    CloudEvent `json:"event"`
	Attempts int        `json:"attempts" doc:"How often the set tried."`
	Reason   string     `json:"reason" doc:"The last error."`
	Failed   time.Time  `json:"failed" doc:"When the set gave up."`
	State    string     `json:"state" enum:"open,retrying,discarded"`
	Decided  time.Time  `json:"decided,omitzero" doc:"When it was retried or discarded."`
	Actor    string     `json:"actor,omitempty" doc:"Who decided."`
}

// DeadLetterList is one page of dead letters.
type DeadLetterList struct {
	DeadLetters []DeadLetter `json:"deadLetters" nullable:"false"`
	Next        string       `json:"next" doc:"Cursor of the following page; empty at the end."`
}

// Decision says what becomes of a dead letter.
type Decision struct {
	Status string `json:"status" enum:"retrying,discarded"`
}

// DeadLetterFilter selects open dead letters; what is empty selects all.
type DeadLetterFilter struct {
	Set  string `json:"set,omitempty" doc:"Of this handler set."`
	Type string `json:"type,omitempty" doc:"Of this event type or pattern such as build.*."`
}

// Count says for how many dead letters something was decided.
type Count struct {
	Count int `json:"count"`
}

type deadLetterQuery struct {
	Set    string   `query:"set"`
	Type   []string `query:"type" nullable:"false" doc:"Event types or patterns such as build.*, separated by commas."`
	State  string   `query:"state" enum:"open,retrying,discarded" doc:"Open and retrying when left out."`
	Limit  int      `query:"limit" minimum:"1" maximum:"500" default:"50"`
	Cursor string   `query:"cursor" doc:"The next of the page before."`
}

const pathDeadLetters = "/v1/dead-letters"

// decision is what may be decided for a dead letter.
type decision struct {
	verb   string
	state  deadletter.State
	decide func(ctx context.Context, tenant, id, actor string) error
	one    string
	many   string
}

func (s *Server) registerDeadLetters(api huma.API) {
	tags := []string{"Dead letters"}
	Register(api, huma.Operation{
		OperationID: "list-dead-letters", Method: http.MethodGet, Path: pathDeadLetters, Tags: tags,
		Summary: "Dead letters, newest first",
	}, s.listDeadLetters)
	Register(api, huma.Operation{
		OperationID: "get-dead-letter", Method: http.MethodGet, Path: pathDeadLetters + "/{id}", Tags: tags,
		Summary: "One dead letter",
	}, func(ctx context.Context, in *byID) (*reply[DeadLetter], error) {
		tenant, _ := caller(ctx)
		if err := checkLetterID(in.ID); err != nil {
			return nil, err
		}
		l, err := s.deps.DeadLetters.DeadLetter(ctx, tenant, in.ID)
		if err != nil {
			return nil, err
		}
		return respond(deadLetter(l)), nil
	})
	for _, d := range []decision{
		{
			verb: "retry", state: deadletter.Retrying, decide: s.deps.DeadLetters.RetryDeadLetter,
			one: "Give the event back to its set, and to that set only", many: "Retry all open dead letters that the filter selects",
		},
		{
			verb: "discard", state: deadletter.Discarded, decide: s.deps.DeadLetters.DiscardDeadLetter,
			one: "Mark the dead letter as not needed", many: "Discard all open dead letters that the filter selects",
		},
	} {
		Register(api, huma.Operation{
			OperationID: d.verb + "-dead-letter", Method: http.MethodPost, Path: pathDeadLetters + "/{id}/" + d.verb,
			Tags: tags, Summary: d.one, DefaultStatus: http.StatusAccepted,
		}, func(ctx context.Context, in *byID) (*reply[Decision], error) {
			tenant, actor := caller(ctx)
			if err := checkLetterID(in.ID); err != nil {
				return nil, err
			}
			if err := d.decide(ctx, tenant, in.ID, actor); err != nil {
				return nil, err
			}
			return respond(Decision{Status: string(d.state)}), nil
		})
		Register(api, huma.Operation{
			OperationID: d.verb + "-dead-letters", Method: http.MethodPost, Path: pathDeadLetters + "/" + d.verb,
			Tags: tags, Summary: d.many,
			Description: "One after the other: when the answer is an error, those before it are decided. The call can be repeated.",
		}, func(ctx context.Context, in *struct{ Body DeadLetterFilter }) (*reply[Count], error) {
			n, err := s.decideAll(ctx, in.Body, d)
			if err != nil {
				return nil, err
			}
			return respond(Count{Count: n}), nil
		})
	}
}

func (s *Server) listDeadLetters(ctx context.Context, in *deadLetterQuery) (*reply[DeadLetterList], error) {
	tenant, _ := caller(ctx)
	types, err := patterns(in.Type)
	if err != nil {
		return nil, err
	}
	found, next, err := s.deps.DeadLetters.DeadLetters(ctx, deadletter.Filter{
		Tenant: tenant, Set: in.Set, Types: types, State: deadletter.State(in.State), Cursor: in.Cursor, Limit: in.Limit,
	})
	if err != nil {
		return nil, err
	}
	list := DeadLetterList{DeadLetters: make([]DeadLetter, len(found)), Next: next}
	for i, l := range found {
		list.DeadLetters[i] = deadLetter(l)
	}
	return respond(list), nil
}

// decideAll goes through the open letters page by page. One that somebody else has decided in the
// meantime is not counted and no error.
func (s *Server) decideAll(ctx context.Context, in DeadLetterFilter, d decision) (int, error) {
	tenant, actor := caller(ctx)
	types, err := patterns([]string{in.Type})
	if err != nil {
		return 0, err
	}
	count := 0
	filter := deadletter.Filter{Tenant: tenant, Set: in.Set, Types: types, State: deadletter.Open, Limit: 200}
	for {
		letters, next, err := s.deps.DeadLetters.DeadLetters(ctx, filter)
		if err != nil {
			return count, fmt.Errorf("list dead letters: %w", err)
		}
		for _, l := range letters {
			err := d.decide(ctx, tenant, l.ID(), actor)
			switch kind := domain.KindOf(err); {
			case err == nil:
				count++
			case kind == domain.Conflict || kind == domain.NotFound:
			default:
				return count, fmt.Errorf("%s dead letter %s: %w", d.verb, l.ID(), err)
			}
		}
		if next == "" {
			return count, nil
		}
		filter.Cursor = next
	}
}

func checkLetterID(id string) error {
	if _, _, err := deadletter.ParseID(id); err != nil {
		return refused("INVALID_ID", "id", err.Error())
	}
	return nil
}

func deadLetter(l deadletter.Letter) DeadLetter {
	return DeadLetter{
		ID: l.ID(), Set: l.Set, Position: l.Event.Position, Event: CloudEvent{l.Event}, Attempts: l.Attempts,
		Reason: l.Reason, Failed: l.Failed.UTC(), State: string(l.State), Decided: l.Decided, Actor: l.Actor,
	}
}
