package httpapi

import (
	"github.com/danielgtaylor/huma/v2"

	"github.com/leat-dev/leat/app/event"
)

// CloudEvent is an event as the API shows it: CloudEvents 1.0 in JSON format.
type CloudEvent struct{ event.Envelope }

var _ huma.SchemaProvider = CloudEvent{}

// Schema documents what event.Envelope writes.
func (CloudEvent) Schema(r huma.Registry) *huma.Schema {
	const name = "CloudEvent"
	if r.Map()[name] == nil {
		r.Map()[name] = cloudEventSchema()
	}
	return &huma.Schema{Ref: "#/components/schemas/" + name}
}

func cloudEventSchema() *huma.Schema {
	text := func(description string) *huma.Schema {
		return &huma.Schema{Type: huma.TypeString, Description: description}
	}
	return &huma.Schema{
		Type:        huma.TypeObject,
		Description: "A CloudEvent 1.0 in JSON format with the extensions of Leat.",
		Required:    []string{"specversion", "id", "type", "source", "time", "datacontenttype", "tenantid", "kind", "data"},
		Properties: map[string]*huma.Schema{
			"specversion":     {Type: huma.TypeString, Enum: []any{"1.0"}},
			"id":              text("Unique per tenant and source."),
			"type":            text("The event type, such as build.started."),
			"source":          text("The service that published it."),
			"subject":         text("What it is about."),
			"time":            {Type: huma.TypeString, Format: "date-time", Description: "When it happened."},
			"datacontenttype": {Type: huma.TypeString, Enum: []any{"application/json"}},
			"tenantid":        text("Whose event it is."),
			"actor":           text("Who caused it."),
			"correlationid":   text("Shared by everything that one request caused."),
			"causationid":     text("Id of the event whose handling published this one."),
			"causationdepth":  {Type: huma.TypeInteger, Description: "How many causes stand before it."},
			"partitionkey":    text("Events of one key are handled in order."),
			"schemaversion":   {Type: huma.TypeInteger, Description: "Of the data."},
			"kind": {Type: huma.TypeString, Enum: []any{
				string(event.Business), string(event.Alert), string(event.Notification), string(event.Recommendation),
			}},
			"severity":    {Type: huma.TypeString, Enum: []any{"urgent", "high", "medium", "low"}, Description: "Of alerts."},
			"traceparent": text("W3C trace context."),
			"data":        {Type: huma.TypeObject, Description: "What happened, as the type's schema says.", AdditionalProperties: true},
		},
	}
}
