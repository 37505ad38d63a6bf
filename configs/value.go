package configs

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// convert makes a value of a key's type from what a file (text, number, list…) or the environment
// and flags (text) hold. want says what would have been right when ok is false.
func convert(t reflect.Type, v any) (value any, want string, ok bool) {
	if t == reflect.TypeFor[time.Duration]() {
		s, isText := v.(string)
		d, err := time.ParseDuration(s)
		return d, "a duration such as 500ms, 30s or 1m30s", isText && err == nil
	}
	switch t.Kind() {
	case reflect.String:
		s, isText := v.(string)
		return s, "a text; put it in quotes", isText
	case reflect.Bool:
		b, err := strconv.ParseBool(fmt.Sprint(v))
		return b, "true or false", err == nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(fmt.Sprint(v), 10, t.Bits())
		return reflect.ValueOf(n).Convert(t).Interface(), "a whole number", err == nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(fmt.Sprint(v), 10, t.Bits())
		return reflect.ValueOf(n).Convert(t).Interface(), "a whole number, 0 or more", err == nil
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(fmt.Sprint(v), 64)
		return f, "a number", err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Struct {
			list, ok := sectionList(t.Elem(), v)
			return list, "a list of sections, which only a file can hold, with the keys " + strings.Join(sectionKeys(t.Elem()), ", "), ok
		}
		list, ok := textList(v)
		return list, "a list of texts", ok
	default:
		return nil, fmt.Sprintf("a value that a %v can hold", t), false
	}
}

// textList reads "a, b" and [a, b]. An empty list is nil.
func textList(v any) ([]string, bool) {
	var list []string
	switch v := v.(type) {
	case string:
		for part := range strings.SplitSeq(v, ",") {
			if part = strings.TrimSpace(part); part != "" {
				list = append(list, part)
			}
		}
	case []any:
		for _, item := range v {
			s, ok := item.(string)
			if !ok {
				return nil, false
			}
			list = append(list, s)
		}
	default:
		return nil, false
	}
	return list, true
}

// sectionList reads a list of sections, each with keys of the struct only.
func sectionList(t reflect.Type, v any) ([]any, bool) {
	list, ok := v.([]any)
	if !ok {
		return nil, false
	}
	if len(list) == 0 {
		return nil, true
	}
	known := sectionKeys(t)
	for _, item := range list {
		section, ok := item.(map[string]any)
		if !ok {
			return nil, false
		}
		for key := range section {
			if !slices.Contains(known, key) {
				return nil, false
			}
		}
	}
	return list, true
}

func sectionKeys(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		names = append(names, t.Field(i).Tag.Get("koanf"))
	}
	return names
}
