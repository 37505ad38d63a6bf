package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/plainjson"
	"github.com/leat-dev/leat/domain"
)

// parseEvent reads the body of a publish call. It keeps the data as it is: that is the catalogue's to
// check, and the publisher checks the attributes. What it refuses itself is a body that JSON parsers could
// read in more than one way, and keys that it does not know, since whoever sent them expects them to have
// an effect.
func parseEvent(body []byte) (event.Raw, error) {
	if raw, plain := plainEvent(body); plain {
		return raw, nil
	}
	return carefulEvent(body)
}

// plainEvent reads a body that there is nothing to say about. Of any other it says that it is not plain;
// nor is one that gives an attribute without a value, so that what has a value already is there twice.
func plainEvent(body []byte) (raw event.Raw, plain bool) {
	r := plainjson.NewReader(string(body))
	text := func(into *string) bool {
		s, ok := r.String()
		if !ok || s == "" || *into != "" {
			return false
		}
		*into = strings.Clone(s) // or the attribute would keep the whole body in memory
		return true
	}
	plain = r.Object(func(key string) bool {
		switch key {
		case "eventType":
			return text(&raw.Type)
		case "source":
			return text(&raw.Source)
		case "id":
			return text(&raw.ID)
		case "subject":
			return text(&raw.Subject)
		case "partitionKey":
			return text(&raw.PartitionKey)
		case "timestamp":
			var s string
			return raw.Time.IsZero() && text(&s) && readTime(key, s, &raw.Time) == nil && !raw.Time.IsZero()
		case "schemaVersion":
			from, to, ok := r.Skip()
			return ok && raw.SchemaVersion == 0 && readVersion(key, body[from:to], &raw.SchemaVersion) == nil
		case "data":
			from, to, ok := r.Skip()
			if !ok || raw.Data != nil {
				return false
			}
			raw.Data = body[from:to:to]
			return true
		case "metadata":
			return r.Object(func(key string) bool { return key == "correlationId" && text(&raw.CorrelationID) }) && raw.CorrelationID != ""
		}
		return false
	})
	return raw, plain && r.End() && raw.Type != "" && raw.Source != "" && raw.Data != nil
}

// carefulEvent reads any body and says all that is wrong with it.
func carefulEvent(body []byte) (event.Raw, error) {
	if !utf8.Valid(body) {
		return event.Raw{}, malformed("", "the body is not valid UTF-8")
	}
	var raw event.Raw
	var faults []error
	text := func(into *string) func(string, []byte) error {
		return func(field string, value []byte) error { return readString(field, value, into) }
	}
	given := map[string]bool{}
	err := readObject(body, "", given, &faults, map[string]func(string, []byte) error{
		"eventType":    text(&raw.Type),
		"source":       text(&raw.Source),
		"id":           text(&raw.ID),
		"subject":      text(&raw.Subject),
		"partitionKey": text(&raw.PartitionKey),
		"timestamp": func(field string, value []byte) error {
			var text string
			if err := readString(field, value, &text); err != nil {
				return err
			}
			return readTime(field, text, &raw.Time)
		},
		"schemaVersion": func(field string, value []byte) error {
			return readVersion(field, value, &raw.SchemaVersion)
		},
		"data": func(_ string, value []byte) error { raw.Data = value; return nil },
		"metadata": func(field string, value []byte) error {
			return readObject(value, field, map[string]bool{}, &faults, map[string]func(string, []byte) error{
				"correlationId": text(&raw.CorrelationID),
			})
		},
	})
	if err != nil {
		return event.Raw{}, err
	}
	for _, field := range []string{"eventType", "source", "data"} {
		if !given[field] {
			faults = append(faults, refused("FIELD_REQUIRED", field, "is required"))
		}
	}
	return raw, errors.Join(faults...)
}

// readObject calls the reader of each key. An error that it returns says that the body cannot be
// read on; what is wrong with a single value goes to faults. prefix is the object's own path.
func readObject(object []byte, prefix string, given map[string]bool, faults *[]error, readers map[string]func(string, []byte) error) error {
	path := func(key string) string {
		if prefix == "" {
			return key
		}
		return prefix + "." + key
	}
	dec := json.NewDecoder(bytes.NewReader(object))
	start, err := dec.Token()
	if err != nil {
		return malformed(prefix, "the body is not valid JSON: "+jsonFault(err))
	}
	if start != json.Delim('{') {
		if prefix != "" {
			return refused("INVALID_FIELD", prefix, "must be an object")
		}
		return malformed(prefix, "the body must be a JSON object")
	}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return malformed(prefix, "the body is not valid JSON: "+jsonFault(err))
		}
		key := token.(string) //nolint:forcetypeassert // the decoder gives nothing else where a key must be
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return malformed(prefix, "the body is not valid JSON: "+jsonFault(err))
		}
		if given[key] {
			return malformed(path(key), fmt.Sprintf("the key %q is there twice", key))
		}
		given[key] = true
		read, known := readers[key]
		if !known {
			*faults = append(*faults, refused("UNKNOWN_FIELD", path(key), "is not a field of an event"))
			continue
		}
		if err := read(path(key), value); err != nil {
			if domain.KindOf(err) == domain.Invalid && codeOf(err) == codeInvalidJSON {
				return err
			}
			*faults = append(*faults, err)
		}
	}
	if _, err := dec.Token(); err != nil {
		return malformed(prefix, "the body is not valid JSON: "+jsonFault(err))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return malformed(prefix, "the body has something after its end")
	}
	return nil
}

func readString(field string, value []byte, into *string) error {
	if value[0] != '"' {
		return refused("INVALID_FIELD", field, "must be a string")
	}
	return json.Unmarshal(value, into)
}

func readTime(field, text string, into *time.Time) error {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return refused("INVALID_FIELD", field, "must be a time in RFC 3339, such as 2023-05-20T13:45:30Z")
	}
	*into = t
	return nil
}

func readVersion(field string, value []byte, into *int) error {
	n, err := strconv.Atoi(string(value))
	if err != nil || n < 1 {
		return refused("INVALID_FIELD", field, "must be a whole number from 1")
	}
	*into = n
	return nil
}

func jsonFault(err error) string {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err.Error()
}

func codeOf(err error) string {
	var e *domain.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func malformed(field, message string) error {
	return &domain.Error{Kind: domain.Invalid, Code: codeInvalidJSON, Field: field, Message: message}
}

func refused(code, field, message string) error {
	return &domain.Error{Kind: domain.Invalid, Code: code, Field: field, Message: message}
}
