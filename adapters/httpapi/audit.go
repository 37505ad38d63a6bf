package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leat-dev/leat/handlers/audit"
)

// Audit finds audit entries; audit.Reader says what it promises.
type Audit interface {
	Entries(ctx context.Context, q audit.Query) (entries []audit.Entry, next string, err error)
}

// AuditEntry is one line of the audit log.
type AuditEntry struct {
	ID            string    `json:"id"`
	Position      int64     `json:"position"`
	Time          time.Time `json:"time" doc:"When it happened."`
	Actor         string    `json:"actor" doc:"Who caused it."`
	Type          string    `json:"type"`
	Subject       string    `json:"subject"`
	EventID       string    `json:"eventId"`
	CorrelationID string    `json:"correlationId"`
	Changes       changes   `json:"changes" doc:"What an update changed; null when the event says nothing of it."`
}

// AuditList is one page of the audit log.
type AuditList struct {
	Entries []AuditEntry `json:"entries" nullable:"false"`
	Next    string       `json:"next" doc:"Cursor of the following page; empty at the end."`
}

type auditQuery struct {
	Type    []string  `query:"type" nullable:"false" doc:"Event types or patterns such as build.*, separated by commas."`
	Subject string    `query:"subject"`
	From    time.Time `query:"from" doc:"Happened at this time or later."`
	To      time.Time `query:"to" doc:"Happened before this time."`
	Limit   int       `query:"limit" minimum:"1" maximum:"500" default:"50"`
	Cursor  string    `query:"cursor" doc:"The next of the page before."`
}

// changes is the event's own JSON, shown as it is.
type changes json.RawMessage

// MarshalJSON writes null for none.
func (c changes) MarshalJSON() ([]byte, error) {
	if len(c) == 0 {
		return []byte("null"), nil
	}
	return c, nil
}

// Schema says that it may be anything.
func (changes) Schema(huma.Registry) *huma.Schema { return &huma.Schema{} }

func (s *Server) registerAudit(api huma.API) {
	Register(api, huma.Operation{
		OperationID: "list-audit", Method: http.MethodGet, Path: "/v1/audit", Tags: []string{"Audit"},
		Summary: "Audit entries, newest first",
	}, func(ctx context.Context, in *auditQuery) (*reply[AuditList], error) {
		tenant, _ := caller(ctx)
		types, err := patterns(in.Type)
		if err != nil {
			return nil, err
		}
		found, next, err := s.deps.Audit.Entries(ctx, audit.Query{
			Tenant: tenant, Types: types, Subject: in.Subject, From: in.From, To: in.To,
			Cursor: in.Cursor, Limit: in.Limit,
		})
		if err != nil {
			return nil, err
		}
		list := AuditList{Entries: make([]AuditEntry, len(found)), Next: next}
		for i, e := range found {
			list.Entries[i] = AuditEntry{
				ID: e.ID, Position: e.Position, Time: e.Time.UTC(), Actor: e.Actor, Type: e.Type, Subject: e.Subject,
				EventID: e.EventID, CorrelationID: e.CorrelationID, Changes: changes(e.Changes),
			}
		}
		return respond(list), nil
	})
}
