package event

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	validator "github.com/santhosh-tekuri/jsonschema/v6"
)

// shape is what a schema asks of data where that is nothing but types, keys, lengths and formats, as it is for
// most structs. It finds out quickly that data fits. What is wrong with data that does not, the schema says.
type shape struct {
	types    []string // none: any
	required []string
	fields   map[string]*shape
	others   *shape // of the values of other keys; nil: anything
	items    *shape // of the elements of an array; nil: anything
	min, max *int   // length of a string, in characters
	format   func(v any) error
}

// shapeOf returns the shape that a schema asks for, and false when it asks for more than a shape can say.
func shapeOf(s *validator.Schema) (*shape, bool) {
	if s == nil {
		return nil, true
	}
	if s.Bool != nil {
		return nil, *s.Bool
	}
	v := reflect.ValueOf(s).Elem()
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.IsExported() && !slices.Contains(saidByShape, f.Name) && !v.Field(i).IsZero() {
			return nil, false
		}
	}
	made := &shape{required: s.Required, fields: map[string]*shape{}, min: s.MinLength, max: s.MaxLength}
	if s.Types != nil {
		made.types = s.Types.ToStrings()
	}
	if s.Format != nil {
		made.format = s.Format.Validate
	}
	others, ok := s.AdditionalProperties.(*validator.Schema)
	if !ok && s.AdditionalProperties != nil {
		return nil, false
	}
	all := true
	below := func(s *validator.Schema) *shape {
		made, ok := shapeOf(s)
		all = all && ok
		return made
	}
	made.others, made.items = below(others), below(s.Items2020)
	for name, field := range s.Properties {
		made.fields[name] = below(field)
	}
	return made, all
}

// saidByShape are the fields of a schema that a shape says too, or that data is not held against.
var saidByShape = []string{
	"Types", "Required", "Properties", "AdditionalProperties", "Items2020", "MinLength", "MaxLength", "Format",
	"DraftVersion", "Location", "ID", "Title", "Description", "Default", "Comment", "ReadOnly", "WriteOnly", "Examples", "Deprecated",
}

// fits tells whether data fits, and has no key that differs from one of the schema in case only. It may say no
// to a number that is whole, such as 1.0.
func (s *shape) fits(data any) bool {
	if s == nil {
		return true
	}
	if s.format != nil && s.format(data) != nil {
		return false
	}
	switch v := data.(type) {
	case nil:
		return s.allows("null")
	case bool:
		return s.allows("boolean")
	case json.Number:
		return s.allows("number") || s.allows("integer") && strings.Trim(string(v), "-0123456789") == ""
	case string:
		return s.allows("string") && s.length(v)
	case []any:
		return s.allows("array") && !slices.ContainsFunc(v, func(element any) bool { return !s.items.fits(element) })
	case map[string]any:
		return s.allows("object") && s.object(v)
	}
	return false
}

func (s *shape) allows(typ string) bool { return len(s.types) == 0 || slices.Contains(s.types, typ) }

func (s *shape) length(text string) bool {
	if s.min == nil && s.max == nil {
		return true
	}
	n := utf8.RuneCountInString(text)
	return (s.min == nil || n >= *s.min) && (s.max == nil || n <= *s.max)
}

func (s *shape) object(object map[string]any) bool {
	for _, name := range s.required {
		if _, there := object[name]; !there {
			return false
		}
	}
	for key, value := range object {
		field, known := s.fields[key]
		if !known {
			for name := range s.fields {
				if strings.EqualFold(key, name) {
					return false
				}
			}
			field = s.others
		}
		if !field.fits(value) {
			return false
		}
	}
	return true
}
