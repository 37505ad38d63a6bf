package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leat-dev/leat/handlers/email"
)

// Emails shows the email queue; email.Reader says what it promises.
type Emails interface {
	Emails(ctx context.Context, q email.Query) (emails []email.Email, next string, err error)
}

// Email is a mail in the queue.
type Email struct {
	ID        string    `json:"id"`
	Status    string    `json:"status" enum:"queued,sending,sent,failed"`
	To        string    `json:"to"`
	Subject   string    `json:"subject" doc:"Empty until the first attempt."`
	Template  string    `json:"template"`
	Attempts  int       `json:"attempts"`
	Error     string    `json:"error,omitempty" doc:"Why the last attempt failed."`
	Created   time.Time `json:"created"`
	Sent      time.Time `json:"sent,omitzero"`
	MessageID string    `json:"messageId,omitempty" doc:"The mail's Message-ID; empty until the first attempt."`
	EventID   string    `json:"eventId" doc:"Id of the notification.requested that asked for it."`
}

// EmailList is one page of the email queue.
type EmailList struct {
	Emails []Email `json:"emails" nullable:"false"`
	Next   string  `json:"next" doc:"Cursor of the following page; empty at the end."`
}

type emailQuery struct {
	Status string `query:"status" enum:"queued,sending,sent,failed"`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"50"`
	Cursor string `query:"cursor" doc:"The next of the page before."`
}

func (s *Server) registerEmails(api huma.API) {
	Register(api, huma.Operation{
		OperationID: "list-emails", Method: http.MethodGet, Path: "/v1/emails", Tags: []string{"Emails"},
		Summary: "The email queue, newest first",
	}, func(ctx context.Context, in *emailQuery) (*reply[EmailList], error) {
		tenant, _ := caller(ctx)
		found, next, err := s.deps.Emails.Emails(ctx, email.Query{
			Tenant: tenant, Status: email.Status(in.Status), Cursor: in.Cursor, Limit: in.Limit,
		})
		if err != nil {
			return nil, err
		}
		list := EmailList{Emails: make([]Email, len(found)), Next: next}
		for i, m := range found {
			list.Emails[i] = Email{
				ID: m.ID, Status: string(m.Status), To: m.To, Subject: m.Subject, Template: m.Template,
				Attempts: m.Attempts, Error: m.Error, Created: m.Created.UTC(), Sent: m.Sent,
				MessageID: m.MessageID, EventID: m.EventID,
			}
		}
		return respond(list), nil
	})
}
