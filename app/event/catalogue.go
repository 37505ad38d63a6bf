package event

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	jsonschema "github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/leat-dev/leat/app/plainjson"
	"github.com/leat-dev/leat/domain"
)

// Catalogue knows every event type of a program. It is built once by wiring and never changed.
type Catalogue struct {
	types map[string]*entry
	names []string
}

type entry struct {
	Definition
	schemaJSON []byte
	schema     *jsonschema.Schema
	shape      *shape // what the schema asks for; nil when it asks for more
}

// NewCatalogue collects definitions. Its error joins every fault found: bad names, a type defined
// twice, an alert without severity, a gap in the upcasts, a struct no schema can be derived from.
func NewCatalogue(lists ...Definitions) (*Catalogue, error) {
	c := &Catalogue{types: map[string]*entry{}}
	var faults []error
	for _, list := range lists {
		for _, d := range list {
			if errs := d.check(); len(errs) > 0 {
				faults = append(faults, errs...)
				continue
			}
			if first, twice := c.types[d.typ]; twice {
				faults = append(faults, fmt.Errorf("event %q is defined twice: by %v and by %v", d.typ, first.goType, d.goType))
				continue
			}
			e := &entry{Definition: d}
			var err error
			if e.schemaJSON, e.schema, err = deriveSchema(d.typ, d.version, d.goType); err != nil {
				faults = append(faults, fmt.Errorf("event %q: derive a schema from %v: %w", d.typ, d.goType, err))
				continue
			}
			if s, ok := shapeOf(e.schema); ok {
				e.shape = s
			}
			c.types[d.typ] = e
			c.names = append(c.names, d.typ)
		}
	}
	sort.Strings(c.names)
	if len(faults) > 0 {
		return nil, fmt.Errorf("the event definitions have faults:\n%w", errors.Join(faults...))
	}
	return c, nil
}

// Types returns the names of all types, sorted.
func (c *Catalogue) Types() []string { return append([]string(nil), c.names...) }

// Lookup returns the definition of a type.
func (c *Catalogue) Lookup(typ string) (Definition, bool) {
	e, ok := c.types[typ]
	if !ok {
		return Definition{}, false
	}
	return e.Definition, true
}

// Schema returns the JSON Schema (draft 2020-12) that data of the type's current version must fit.
func (c *Catalogue) Schema(typ string) (json.RawMessage, bool) {
	e, ok := c.types[typ]
	if !ok {
		return nil, false
	}
	return e.schemaJSON, true
}

// Match returns the types that at least one of the patterns selects, sorted.
func (c *Catalogue) Match(patterns ...Pattern) []string {
	var out []string
	for _, name := range c.names {
		for _, p := range patterns {
			if p.Match(name) {
				out = append(out, name)
				break
			}
		}
	}
	return out
}

// Encode checks a domain event against its definition and returns that and the event's data.
func (c *Catalogue) Encode(e domain.Event) (Definition, []byte, error) {
	if e == nil {
		return Definition{}, nil, invalid("EVENT_MISSING", "event", "there is no event to publish")
	}
	known, ok := c.types[e.EventType()]
	if !ok {
		return Definition{}, nil, unknownType(e.EventType())
	}
	if got := reflect.TypeOf(e); got != known.goType {
		return Definition{}, nil, invalid("UNKNOWN_EVENT_TYPE", "eventType",
			fmt.Sprintf("event type %q is defined by %v, not by %v", known.typ, known.goType, got))
	}
	data, err := json.Marshal(e)
	if err != nil {
		return Definition{}, nil, invalid("SCHEMA_VALIDATION_ERROR", "data", fmt.Sprintf("encode %s: %v", known.typ, err))
	}
	if err := known.validate(data); err != nil {
		return Definition{}, nil, err
	}
	return known.Definition, data, nil
}

// Admit checks data that came from outside against the definition of its type, and returns that,
// the data as it will be stored (upcast to the current version, white space removed; data itself where it
// is so already) and, for alerts, the severity. version 0 means the current one.
func (c *Catalogue) Admit(typ string, version int, data []byte) (Definition, []byte, domain.Severity, error) {
	known, ok := c.types[typ]
	if !ok {
		return Definition{}, nil, "", unknownType(typ)
	}
	if version < 0 || version > known.version {
		return Definition{}, nil, "", invalid("UNKNOWN_SCHEMA_VERSION", "schemaVersion",
			fmt.Sprintf("event type %q has no schema version %d; the newest is %d", typ, version, known.version))
	}
	data, err := known.current(version, data)
	if err != nil {
		return Definition{}, nil, "", err
	}
	value, err := known.decode(data)
	if err != nil {
		return Definition{}, nil, "", invalid("SCHEMA_VALIDATION_ERROR", "data", err.Error())
	}
	return known.Definition, data, SeverityOf(known.Definition, value), nil
}

// current returns data of a version, 0 for the current one, as it will be stored, and checks it.
func (e *entry) current(version int, data []byte) ([]byte, error) {
	instance, compact, plain := readPlain(data)
	if _, isObject := instance.(map[string]any); !plain || !isObject {
		if err := checkJSON(data); err != nil {
			return nil, err
		}
	}
	if version > 0 && version < e.version {
		var err error
		if data, err = e.upcast(version, data); err != nil {
			return nil, invalid("SCHEMA_VALIDATION_ERROR", "data", err.Error())
		}
		plain = false // as far as is known
	}
	if !plain || !compact {
		var buf bytes.Buffer
		if err := json.Compact(&buf, data); err != nil {
			return nil, invalid("INVALID_JSON", "data", err.Error())
		}
		data = buf.Bytes()
	}
	if !plain {
		return data, e.validate(data)
	}
	return data, e.check(instance)
}

// readPlain reads data that nobody could misread; of any other it says that it is not plain. compact says that
// there is no white space to remove.
func readPlain(data []byte) (instance any, compact, plain bool) {
	r := plainjson.NewReader(string(data))
	instance, plain = r.Value()
	plain = plain && r.End()
	return instance, !r.Spaced(), plain
}

// SeverityOf returns the severity of an event when its definition makes it an alert.
func SeverityOf(d Definition, e domain.Event) domain.Severity {
	if alert, ok := e.(domain.Alert); ok && d.kind == Alert {
		return alert.Severity()
	}
	return ""
}

// ErrNewerSchema is returned for an event whose schema version this process does not know yet. It
// must be kept until a newer process comes.
var ErrNewerSchema = errors.New("the event's schema version is newer than this process knows")

// Decode returns the domain event that an envelope carries, upcast to the current schema version.
func (c *Catalogue) Decode(e Envelope) (domain.Event, error) {
	known, ok := c.types[e.Type]
	if !ok {
		return nil, unknownType(e.Type)
	}
	data, err := c.Current(e)
	if err != nil {
		return nil, err
	}
	return known.decode(data)
}

// Current returns an envelope's data, upcast to the current schema version.
func (c *Catalogue) Current(e Envelope) ([]byte, error) {
	known, ok := c.types[e.Type]
	switch {
	case !ok:
		return nil, unknownType(e.Type)
	case e.SchemaVersion > known.version:
		return nil, fmt.Errorf("%s version %d, known up to %d: %w", e.Type, e.SchemaVersion, known.version, ErrNewerSchema)
	}
	return known.upcast(max(e.SchemaVersion, 1), e.Data)
}

func (e *entry) upcast(from int, data []byte) ([]byte, error) {
	for v := from; v < e.version; v++ {
		next, err := e.upcasts[v](data)
		if err != nil {
			return nil, fmt.Errorf("upcast %s from version %d to %d: %w", e.typ, v, v+1, err)
		}
		data = next
	}
	return data, nil
}

func (e *entry) decode(data []byte) (domain.Event, error) {
	v := reflect.New(e.goType)
	if err := json.Unmarshal(data, v.Interface()); err != nil {
		return nil, fmt.Errorf("decode %s: %w", e.typ, err)
	}
	return v.Elem().Interface().(domain.Event), nil //nolint:forcetypeassert // Define takes nothing else
}

// validate checks data of the current version; its error names every field at fault.
func (e *entry) validate(data []byte) error {
	if instance, _, plain := readPlain(data); plain {
		return e.check(instance)
	}
	if !utf8.Valid(data) { // parsers mend it, each in its own way, and no text frame may carry it
		return invalid("INVALID_JSON", "data", "is not valid UTF-8")
	}
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return invalid("INVALID_JSON", "data", err.Error())
	}
	return e.check(instance)
}

// check is validate for data that has been read.
func (e *entry) check(instance any) error {
	if e.shape != nil && e.shape.fits(instance) {
		return nil
	}
	err := e.schema.Validate(instance)
	if err == nil {
		if fault := checkKeys(e.schema, instance, "data"); fault != nil {
			return e.mismatch(&FieldErrors{Fields: []FieldError{*fault}})
		}
		return nil
	}
	var ve *jsonschema.ValidationError
	if !errors.As(err, &ve) {
		return invalid("SCHEMA_VALIDATION_ERROR", "data", err.Error())
	}
	fields := &FieldErrors{}
	collect(ve, fields)
	fields.sort() // the validator walks an object's fields in no order
	return e.mismatch(fields)
}

func (e *entry) mismatch(fields *FieldErrors) error {
	return &domain.Error{
		Kind: domain.Invalid, Code: "SCHEMA_VALIDATION_ERROR", Field: fields.Fields[0].Field, Err: fields,
		Message: fmt.Sprintf("event data does not match the schema of event type %q", e.typ),
	}
}

// FieldErrors lists the fields of an event's data that break its schema, and why.
type FieldErrors struct{ Fields []FieldError }

// FieldError is one of them; Field is a path such as "data.email".
type FieldError struct{ Field, Reason string }

// Error names every field.
func (f *FieldErrors) Error() string {
	parts := make([]string, len(f.Fields))
	for i, fe := range f.Fields {
		parts[i] = fe.Field + " " + fe.Reason
	}
	return strings.Join(parts, "; ")
}

func (f *FieldErrors) sort() {
	slices.SortStableFunc(f.Fields, func(a, b FieldError) int {
		return cmp.Or(strings.Compare(a.Field, b.Field), strings.Compare(a.Reason, b.Reason))
	})
}

var printer = message.NewPrinter(language.English)

func collect(ve *jsonschema.ValidationError, into *FieldErrors) {
	if len(ve.Causes) > 0 {
		for _, cause := range ve.Causes {
			collect(cause, into)
		}
		return
	}
	path := "data"
	if len(ve.InstanceLocation) > 0 {
		path += "." + strings.Join(ve.InstanceLocation, ".")
	}
	if required, ok := ve.ErrorKind.(*kind.Required); ok {
		for _, name := range required.Missing {
			into.Fields = append(into.Fields, FieldError{Field: path + "." + name, Reason: "is missing"})
		}
		return
	}
	into.Fields = append(into.Fields, FieldError{Field: path, Reason: ve.ErrorKind.LocalizedString(printer)})
}

func unknownType(typ string) *domain.Error {
	if err := CheckType(typ); err != nil {
		return invalid("INVALID_EVENT_TYPE", "eventType", err.Error())
	}
	return invalid("UNKNOWN_EVENT_TYPE", "eventType", fmt.Sprintf("event type %q is not defined", typ))
}
