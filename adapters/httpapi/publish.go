package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/app/fault"
)

// Publisher accepts events that come as JSON; *publish.Publisher is one.
type Publisher interface {
	PublishRaw(ctx context.Context, raws ...event.Raw) ([]eventlog.Receipt, error)
}

// Accepted is the answer to a published event.
type Accepted struct {
	Status    string    `json:"status" enum:"accepted"`
	EventID   string    `json:"eventId" doc:"The caller's id, or the one given by the server."`
	Timestamp time.Time `json:"timestamp" doc:"When the log accepted the event."`
	Receipt   string    `json:"receipt" doc:"The same for every call with the same tenant, source and id."`
}

// EventRequest documents the body of a publish call; parseEvent reads it.
type EventRequest struct {
	EventType     string          `json:"eventType" maxLength:"128" example:"build.started" doc:"A defined event type."`
	Source        string          `json:"source" minLength:"1" maxLength:"128" example:"image-factory" doc:"The service that publishes."`
	ID            string          `json:"id,omitempty" maxLength:"128" doc:"Unique per tenant and source; the server makes one when there is none. The same id again gets the first receipt."`
	Timestamp     *time.Time      `json:"timestamp,omitempty" doc:"When it happened; now when left out."`
	Subject       string          `json:"subject,omitempty" maxLength:"256" doc:"What it is about, usually an aggregate's id."`
	PartitionKey  string          `json:"partitionKey,omitempty" maxLength:"256" doc:"Events of one key are handled in order; the subject when left out."`
	SchemaVersion int             `json:"schemaVersion,omitempty" minimum:"1" doc:"Of the data; the current one when left out."`
	Data          map[string]any  `json:"data" doc:"What happened, as the type's schema says."`
	Metadata      *EventReference `json:"metadata,omitempty"`
}

// EventReference says what an event belongs to.
type EventReference struct {
	CorrelationID string `json:"correlationId,omitempty" maxLength:"128" doc:"Shared by everything that one request caused; else that of the header X-Correlation-Id, else the event's id."`
}

const pathEvents = "/v1/events"

// publish is the hot path: the body is read as it is, without going through huma.
func (s *Server) publish(w http.ResponseWriter, r *http.Request) {
	if fault := wrongMediaType(r); fault != "" {
		s.writeStatus(w, r, http.StatusUnsupportedMediaType, fault)
		return
	}
	body, err := s.readBody(w, r)
	if err != nil {
		s.unreadable(w, r, err)
		return
	}
	raw, err := parseEvent(body)
	if err != nil {
		s.writeError(w, r, err)
		return
	}
	raw.TraceParent = traceParent(r.Context())
	receipts, err := s.deps.Publisher.PublishRaw(r.Context(), raw)
	if err == nil && len(receipts) != 1 {
		err = fmt.Errorf("publish %s: got %d receipts, want 1", raw.Type, len(receipts))
	}
	if err != nil {
		s.writeError(w, r, err)
		return
	}
	fault.Point("httpapi.answering")
	writeJSON(w, http.StatusAccepted, Accepted{
		Status: "accepted", EventID: receipts[0].EventID,
		Timestamp: receipts[0].Recorded.UTC(), Receipt: receipts[0].Receipt,
	})
}

// roomForBody is up to what length a body gets its room before it comes, in bytes: who says how long it
// will be has not sent anything yet.
const roomForBody = 16 << 10

func (s *Server) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if n := r.ContentLength; n >= 0 && n <= min(roomForBody, s.cfg.MaxBody) {
		body := make([]byte, n)
		_, err := io.ReadFull(r.Body, body)
		return body, err
	}
	return io.ReadAll(http.MaxBytesReader(w, r.Body, s.cfg.MaxBody))
}

func wrongMediaType(r *http.Request) string {
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return fmt.Sprintf("content encoding %q is not accepted; send the body as it is", encoding)
	}
	given := r.Header.Get("Content-Type")
	if given == "application/json" {
		return ""
	}
	kind, params, err := mime.ParseMediaType(given)
	charset := params["charset"]
	if err != nil || kind != "application/json" || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return fmt.Sprintf("content type %q is not accepted; want application/json", given)
	}
	return ""
}

// unreadable answers when the body did not come through.
func (s *Server) unreadable(w http.ResponseWriter, r *http.Request, err error) {
	var tooLarge *http.MaxBytesError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &tooLarge):
		s.writeStatus(w, r, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", tooLarge.Limit))
	case errors.As(err, &timeout) && timeout.Timeout():
		s.writeStatus(w, r, http.StatusRequestTimeout, "the body did not come in time")
	default:
		s.writeStatus(w, r, http.StatusBadRequest, "the body ended too early")
	}
}

// documentPublish adds to the document what huma does not see.
func documentPublish(api huma.API) {
	doc := api.OpenAPI()
	schema := func(t reflect.Type) map[string]*huma.MediaType {
		return map[string]*huma.MediaType{"application/json": {Schema: doc.Components.Schemas.Schema(t, true, t.Name())}}
	}
	doc.AddOperation(&huma.Operation{
		OperationID: "publish-event", Method: http.MethodPost, Path: pathEvents, Tags: []string{"Events"},
		Summary:     "Publish an event",
		Description: "When the answer is 202 the event is on disk. The same tenant, source and id again: the first receipt, and no second event.",
		Parameters:  callerHeaders(),
		RequestBody: &huma.RequestBody{Required: true, Content: schema(reflect.TypeFor[EventRequest]())},
		Responses: map[string]*huma.Response{
			"202": {Description: "Accepted", Content: schema(reflect.TypeFor[Accepted]())},
		},
	})
}

func callerHeaders() []*huma.Param {
	return []*huma.Param{{
		Name: headerCorrelation, In: "header", Schema: &huma.Schema{Type: huma.TypeString},
		Description: "Correlation id of what this request causes; at most 128 printable bytes.",
	}}
}
