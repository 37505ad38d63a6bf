package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Inbox shows what the built-in inbox has received. Mails belong to no tenant: the inbox runs in
// development only, where every caller is operator.
type Inbox interface {
	// Mails returns the mails, newest first, without their text.
	Mails(ctx context.Context) ([]Mail, error)
	// Mail returns one; a domain.NotFound error when there is none.
	Mail(ctx context.Context, id string) (Mail, error)
}

// Mail is a mail that the built-in inbox has received.
type Mail struct {
	ID       string
	From     string
	To       []string
	Subject  string
	Received time.Time
	Text     string
	HTML     string // as it came: only to be shown in a sandboxed frame
}

// MailHead is a mail in the list of the inbox.
type MailHead struct {
	ID       string    `json:"id"`
	From     string    `json:"from"`
	To       []string  `json:"to" nullable:"false"`
	Subject  string    `json:"subject"`
	Received time.Time `json:"received"`
}

// FullMail is a mail with its text.
type FullMail struct {
	ID       string    `json:"id"`
	From     string    `json:"from"`
	To       []string  `json:"to" nullable:"false"`
	Subject  string    `json:"subject"`
	Received time.Time `json:"received"`
	Text     string    `json:"text"`
	HTML     string    `json:"html" doc:"As it came: show it in a sandboxed frame only."`
}

// MailList is the inbox.
type MailList struct {
	Mails []MailHead `json:"mails" nullable:"false"`
}

func (s *Server) registerInbox(api huma.API) {
	Register(api, huma.Operation{
		OperationID: "list-inbox", Method: http.MethodGet, Path: "/v1/inbox", Tags: []string{"Inbox"},
		Summary: "Mails in the built-in inbox, newest first", Description: "Only while the built-in inbox runs.",
	}, func(ctx context.Context, _ *struct{}) (*reply[MailList], error) {
		found, err := s.deps.Inbox.Mails(ctx)
		if err != nil {
			return nil, err
		}
		list := MailList{Mails: make([]MailHead, len(found))}
		for i, m := range found {
			list.Mails[i] = MailHead{ID: m.ID, From: m.From, To: append([]string{}, m.To...), Subject: m.Subject, Received: m.Received.UTC()}
		}
		return respond(list), nil
	})
	Register(api, huma.Operation{
		OperationID: "get-mail", Method: http.MethodGet, Path: "/v1/inbox/{id}", Tags: []string{"Inbox"},
		Summary: "One mail of the built-in inbox", Description: "Only while the built-in inbox runs.",
	}, func(ctx context.Context, in *byID) (*reply[FullMail], error) {
		m, err := s.deps.Inbox.Mail(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		return respond(FullMail{
			ID: m.ID, From: m.From, To: append([]string{}, m.To...), Subject: m.Subject, Received: m.Received.UTC(),
			Text: m.Text, HTML: m.HTML,
		}), nil
	})
}
