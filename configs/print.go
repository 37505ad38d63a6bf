package configs

import (
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/v2"
)

// Print writes the configuration as YAML that Load can read, its keys sorted. Secrets that are set
// show as ***.
func Print(w io.Writer, c *Config) error {
	k := koanf.New(".")
	set := func(path string, v reflect.Value) error {
		if err := k.Set(path, shown(path, v)); err != nil {
			return fmt.Errorf("print %s: %w", path, err)
		}
		return nil
	}
	all := reflect.ValueOf(c).Elem()
	for _, key := range keys() {
		if err := set(key.path, all.FieldByIndex(key.index)); err != nil {
			return err
		}
	}
	for _, name := range sortedNames(c.Handlers) {
		policy := reflect.ValueOf(c.Handlers[name])
		for i, key := range policyKeys(name) {
			if f := policy.Field(i); !f.IsZero() {
				if err := set(key.path, f); err != nil {
					return err
				}
			}
		}
	}
	text, err := k.Marshal(yaml.Parser())
	if err != nil {
		return fmt.Errorf("write the configuration as YAML: %w", err)
	}
	_, err = w.Write(text)
	return err
}

func shown(path string, v reflect.Value) any {
	switch value := v.Interface().(type) {
	case time.Duration:
		return shortDuration(value)
	case string:
		if value != "" && secret(path) {
			return "***"
		}
		return masked(value)
	case float64:
		if value < 0 { // how a policy says "none"
			return 0
		}
		return value
	default:
		if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct {
			return sections(v)
		}
		return value
	}
}

// sections is a list of structs under the names of their keys. What a section leaves out it does not show.
func sections(list reflect.Value) []any {
	out := make([]any, list.Len())
	for i := range out {
		section := map[string]any{}
		for j, key := range sectionKeys(list.Type().Elem()) {
			if f := list.Index(i).Field(j); !f.IsZero() {
				section[key] = f.Interface()
			}
		}
		out[i] = section
	}
	return out
}

// shortDuration writes 1m0s as 1m.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
