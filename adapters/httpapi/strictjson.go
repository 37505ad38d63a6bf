package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
)

// maxDepth bounds how deep arrays and objects of a body may nest.
const maxDepth = 64

// strictFormat is huma's JSON, but it refuses what JSON parsers disagree about before anything is
// read from it.
func strictFormat() huma.Format {
	return huma.Format{
		Marshal: huma.DefaultJSONFormat.Marshal,
		Unmarshal: func(data []byte, v any) error {
			if err := checkJSON(data); err != nil {
				return err
			}
			return json.Unmarshal(data, v)
		},
	}
}

// checkJSON reports a body that is not exactly one JSON value, that is no valid UTF-8, that nests too deep,
// in which an object has a key twice, or whose own keys differ by case only (encoding/json would
// take one for the other).
func checkJSON(data []byte) error {
	if !utf8.Valid(data) {
		return errors.New("is not valid UTF-8")
	}
	type level struct {
		keys map[string]bool // nil for an array
		key  bool            // the next token is a key
	}
	var stack []level
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	for first := true; ; first = false {
		token, err := dec.Token()
		switch {
		case errors.Is(err, io.EOF) && !first && len(stack) == 0:
			return nil
		case errors.Is(err, io.EOF):
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		case !first && len(stack) == 0:
			return errors.New("has something after its end")
		}
		if len(stack) > 0 {
			top := &stack[len(stack)-1]
			if key, isKey := token.(string); isKey && top.key {
				name := key
				if len(stack) == 1 {
					name = strings.ToLower(key)
				}
				if top.keys[name] {
					return fmt.Errorf("has the key %q twice", key)
				}
				top.keys[name], top.key = true, false
				continue
			}
			top.key = top.keys != nil
		}
		switch token {
		case json.Delim('{'):
			stack = append(stack, level{keys: map[string]bool{}, key: true})
		case json.Delim('['):
			stack = append(stack, level{})
		case json.Delim('}'), json.Delim(']'):
			stack = stack[:len(stack)-1]
		}
		if len(stack) > maxDepth {
			return fmt.Errorf("nests deeper than %d", maxDepth)
		}
	}
}
