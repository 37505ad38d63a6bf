package event

import (
	"fmt"
	"strings"

	validator "github.com/santhosh-tekuri/jsonschema/v6"
)

// checkKeys refuses keys that differ from a key of the schema in case only. JSON Schema knows
// nothing of such a key, so its value goes unchecked, but encoding/json takes it for the field.
func checkKeys(s *validator.Schema, instance any, path string) *FieldError {
	for s != nil && s.Ref != nil {
		s = s.Ref
	}
	if s == nil {
		return nil
	}
	switch v := instance.(type) {
	case map[string]any:
		for key, value := range v {
			below, known := s.Properties[key]
			if !known {
				for want := range s.Properties {
					if strings.EqualFold(key, want) {
						return &FieldError{Field: path + "." + key, Reason: fmt.Sprintf("differs from %q in case only", want)}
					}
				}
				below, _ = s.AdditionalProperties.(*validator.Schema)
			}
			if !holdsKeys(value) {
				continue
			}
			if fault := checkKeys(below, value, path+"."+key); fault != nil {
				return fault
			}
		}
	case []any:
		for i, value := range v {
			if !holdsKeys(value) {
				continue
			}
			if fault := checkKeys(s.Items2020, value, fmt.Sprintf("%s.%d", path, i)); fault != nil {
				return fault
			}
		}
	}
	return nil
}

func holdsKeys(value any) bool {
	switch value.(type) {
	case map[string]any, []any:
		return true
	}
	return false
}
