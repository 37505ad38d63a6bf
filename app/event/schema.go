package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"slices"

	"github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"
)

// deriveSchema makes the JSON Schema of an event's data from its Go type. Fields without
// omitempty are required; further rules come from `jsonschema` tags (minLength=1, format=email…).
// Unknown fields are allowed, so that a publisher may be newer than a subscriber.
func deriveSchema(typ string, version int, t reflect.Type) (raw []byte, schema *validator.Schema, err error) {
	if loop := recursion(t, nil); loop != nil {
		return nil, nil, fmt.Errorf("%v holds itself", loop)
	}
	defer func() { // the reflector panics on what JSON has no form for, a channel or a function
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	reflector := jsonschema.Reflector{
		Anonymous:                 true,
		DoNotReference:            true,
		AllowAdditionalProperties: true,
	}
	derived := reflector.ReflectFromType(t)
	derived.Title = typ
	raw, err = json.MarshalIndent(derived, "", "  ")
	if err != nil {
		return nil, nil, err
	}
	doc, err := validator.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, nil, err
	}
	compiler := validator.NewCompiler()
	compiler.UseLoader(refuse{})
	compiler.AssertFormat()
	url := fmt.Sprintf("leat:%s:%d", typ, version)
	if err := compiler.AddResource(url, doc); err != nil {
		return nil, nil, err
	}
	schema, err = compiler.Compile(url)
	if err != nil {
		return nil, nil, err
	}
	return raw, schema, nil
}

// recursion returns the first type under t that holds itself, nil when there is none: the schema of
// such a type would have no end.
func recursion(t reflect.Type, above []reflect.Type) reflect.Type {
	if t.Implements(reflect.TypeFor[interface{ JSONSchema() *jsonschema.Schema }]()) {
		return nil // it says itself what its schema is
	}
	if t.Name() != "" {
		if slices.Contains(above, t) {
			return t
		}
		above = append(above[:len(above):len(above)], t)
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return recursion(t.Elem(), above)
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			if !f.IsExported() && !f.Anonymous || f.Tag.Get("json") == "-" {
				continue
			}
			if loop := recursion(f.Type, above); loop != nil {
				return loop
			}
		}
	}
	return nil
}

// refuse keeps a schema from reading files or the network.
type refuse struct{}

func (refuse) Load(url string) (any, error) {
	return nil, fmt.Errorf("a schema may not refer to %s", url)
}

// maxDepth bounds how deep arrays and objects of an event's data may nest.
const maxDepth = 64

// checkJSON refuses what JSON parsers disagree about: data after the end, the same key twice in
// one object, nesting without measure. Data must be an object.
func checkJSON(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	type level struct {
		keys map[string]bool // nil for an array
		key  bool            // the next token is a key
	}
	var stack []level
	for first := true; ; first = false {
		token, err := dec.Token()
		if err == io.EOF && !first && len(stack) == 0 {
			return nil
		}
		if err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return invalid("INVALID_JSON", "data", "is not valid JSON: "+err.Error())
		}
		if first && token != json.Delim('{') {
			return invalid("INVALID_JSON", "data", "must be a JSON object")
		}
		if !first && len(stack) == 0 {
			return invalid("INVALID_JSON", "data", "has something after its end")
		}
		var top *level
		if len(stack) > 0 {
			top = &stack[len(stack)-1]
		}
		if top != nil && top.key {
			if token == json.Delim('}') {
				stack = stack[:len(stack)-1]
				continue
			}
			key := token.(string) //nolint:forcetypeassert // the decoder gives nothing else where a key stands
			if top.keys[key] {
				return invalid("INVALID_JSON", "data", fmt.Sprintf("has the key %q twice", key))
			}
			top.keys[key] = true
			top.key = false
			continue
		}
		if top != nil && top.keys != nil {
			top.key = true
		}
		switch token {
		case json.Delim('{'):
			stack = append(stack, level{keys: map[string]bool{}, key: true})
		case json.Delim('['):
			stack = append(stack, level{})
		case json.Delim(']'):
			stack = stack[:len(stack)-1]
		}
		if len(stack) > maxDepth {
			return invalid("INVALID_JSON", "data", fmt.Sprintf("nests deeper than %d", maxDepth))
		}
	}
}
