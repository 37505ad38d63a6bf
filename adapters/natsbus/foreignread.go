package natsbus

import (
	"encoding/json"
	"fmt"
	"mime"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/domain"
)

// read makes an event of a message. The tenant is the configured one, whatever the message says; id
// is for a message that has none of its own.
func (c ForeignConfig) read(subject string, header nats.Header, data []byte, id string) (event.Raw, error) {
	attributes, contentType := map[string]string{}, ""
	for name, values := range header {
		if len(values) == 0 {
			continue
		}
		lower := strings.ToLower(name)
		if strings.HasPrefix(lower, cePrefix) {
			attributes[lower[len(cePrefix):]] = decode(values[0])
		} else if lower == "content-type" {
			contentType = values[0]
		} else if lower == event.MetaTraceParent {
			attributes[lower] = values[0]
		}
	}
	kind, _, _ := mime.ParseMediaType(contentType)
	var (
		raw event.Raw
		err error
	)
	switch {
	case kind == "application/cloudevents" || kind == "application/cloudevents+json":
		raw, err = c.structured(data)
	case strings.HasPrefix(kind, "application/cloudevents"):
		return raw, unreadable("the content type %s is not understood", contentType)
	case attributes["specversion"] != "":
		raw, err = c.cloudEvent(attributes, data)
	case looksStructured(data):
		raw, err = c.structured(data)
	case c.Type == "":
		return raw, unreadable("it is no CloudEvent, and no type is configured for plain JSON")
	default:
		raw = event.Raw{Type: c.Type, Data: data, TraceParent: attributes[event.MetaTraceParent]}
	}
	if err != nil {
		return raw, err
	}
	raw.Tenant = c.Tenant
	if raw.ID == "" {
		raw.ID = id
	}
	if c.Source != "" {
		raw.Source = c.Source
	}
	if raw.Source == "" {
		raw.Source = "nats:" + subject
	}
	return raw, nil
}

// ours is our type for a CloudEvent's.
func (c ForeignConfig) ours(theirs string) string {
	if t, ok := c.Types[theirs]; ok {
		return t
	}
	return c.TypePrefix + theirs
}

// looksStructured tells whether a message is a CloudEvent in JSON without saying so in a header, as
// before NATS had any.
func looksStructured(data []byte) bool {
	var probe struct {
		SpecVersion string `json:"specversion"`
	}
	return json.Unmarshal(data, &probe) == nil && probe.SpecVersion != ""
}

func (c ForeignConfig) structured(data []byte) (event.Raw, error) {
	var e struct {
		SpecVersion   string          `json:"specversion"`
		ID            string          `json:"id"`
		Type          string          `json:"type"`
		Source        string          `json:"source"`
		Subject       string          `json:"subject"`
		Time          string          `json:"time"`
		ContentType   string          `json:"datacontenttype"`
		PartitionKey  string          `json:"partitionkey"`
		CorrelationID string          `json:"correlationid"`
		SchemaVersion json.Number     `json:"schemaversion"`
		TraceParent   string          `json:"traceparent"`
		Data          json.RawMessage `json:"data"`
		Base64        []byte          `json:"data_base64"`
	}
	if err := json.Unmarshal(data, &e); err != nil {
		return event.Raw{}, unreadable("it is no CloudEvent in JSON: %w", err)
	}
	if e.Data == nil {
		e.Data = e.Base64
	}
	return c.cloudEvent(map[string]string{
		"specversion": e.SpecVersion, "id": e.ID, "type": e.Type, "source": e.Source, "subject": e.Subject, "time": e.Time,
		"datacontenttype": e.ContentType, "partitionkey": e.PartitionKey, "correlationid": e.CorrelationID, "traceparent": e.TraceParent,
		"schemaversion": e.SchemaVersion.String(),
	}, e.Data)
}

func (c ForeignConfig) cloudEvent(a map[string]string, data []byte) (event.Raw, error) {
	if a["specversion"] != "1.0" {
		return event.Raw{}, unreadable("its specversion is %q, not 1.0", a["specversion"])
	}
	for _, name := range []string{"id", "type", "source"} {
		if a[name] == "" {
			return event.Raw{}, unreadable("the CloudEvent has no %s", name)
		}
	}
	if kind, _, _ := mime.ParseMediaType(a["datacontenttype"]); kind != "" && kind != "application/json" && !strings.HasSuffix(kind, "+json") {
		return event.Raw{}, unreadable("its data are %s, not JSON", kind)
	}
	raw := event.Raw{
		Type: c.ours(a["type"]), Data: data, ID: a["id"], Subject: a["subject"], Source: a["source"],
		PartitionKey: a["partitionkey"], CorrelationID: a["correlationid"], TraceParent: a["traceparent"],
	}
	if a["time"] != "" {
		var err error
		if raw.Time, err = time.Parse(time.RFC3339Nano, a["time"]); err != nil {
			return event.Raw{}, unreadable("its time is no time: %w", err)
		}
	}
	if v := a["schemaversion"]; v != "" {
		var err error
		if raw.SchemaVersion, err = strconv.Atoi(v); err != nil {
			return event.Raw{}, unreadable("its schemaversion is no number: %w", err)
		}
	}
	return raw, nil
}

func unreadable(format string, args ...any) error {
	return domain.Errorf(domain.Invalid, "FOREIGN_MESSAGE", "the foreign message cannot be taken: %w", fmt.Errorf(format, args...))
}
