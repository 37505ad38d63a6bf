package configs

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/knadh/koanf/v2"
)

// Options says where to look.
type Options struct {
	// File is the path of a YAML file; "" reads none.
	File string
	// Env is the environment as os.Environ returns it; nil reads none.
	Env []string
	// Flags are keys and values, such as "http.listen": "127.0.0.1:0".
	Flags map[string]string
}

// Load reads the sources, later ones over earlier ones: defaults, file, environment, flags. What it
// returns passes Validate. Its error joins every fault found: unknown keys, values of the wrong
// kind, and all that Validate reports.
func Load(o Options) (*Config, error) {
	var settings []setting
	var faults []error
	if o.File != "" {
		list, err := fromFile(o.File)
		if err != nil {
			faults = append(faults, err)
		}
		settings = append(settings, list...)
	}
	list, errs := fromEnv(o.Env)
	faults = append(faults, errs...)
	settings = append(append(settings, list...), fromFlags(o.Flags)...)

	k := koanf.New(".")
	for _, s := range settings {
		value, err := s.read()
		if err != nil {
			faults = append(faults, err)
			continue
		}
		if value == nil {
			continue
		}
		if err := k.Set(s.path, value); err != nil {
			return nil, fmt.Errorf("set %s: %w", s.path, err)
		}
	}
	c := Default()
	if err := k.Unmarshal("", c); err != nil {
		return nil, fmt.Errorf("put the configuration together: %w", err)
	}
	faults = append(faults, flatten(c.Validate())...)
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return c, nil
}

// read checks that the setting is for a known key and makes a value of the key's type. Both results
// are nil for a setting that says nothing.
func (s setting) read() (any, error) {
	k, ok, near, section := lookup(s.path)
	if !ok {
		if section && s.value == nil {
			return nil, nil
		}
		return nil, s.unknown(near, section)
	}
	if s.value == nil {
		return nil, nil
	}
	value, want, ok := convert(k.typ, s.value)
	if ok && isZeroNumber(value) && !defaultIsZero(k) {
		value, want, ok = zero(s.path, value)
	}
	if ok {
		return value, nil
	}
	if secret(s.path) {
		return nil, fmt.Errorf("%s: the value in %s is not %s", s.path, s.origin, want)
	}
	return nil, fmt.Errorf("%s: %q in %s is not %s", s.path, fmt.Sprint(s.value), s.origin, want)
}

func (s setting) unknown(near string, section bool) error {
	if section {
		return fmt.Errorf("%s: is a section and has no value of its own (in %s)", s.path, s.origin)
	}
	what := fmt.Sprintf("%s: unknown key in %s", s.path, s.origin)
	if strings.HasPrefix(s.origin, envPrefix) {
		near = variableIf(near)
	}
	if near != "" {
		what += "; did you mean " + near + "?"
	}
	return errors.New(what)
}

func variableIf(path string) string {
	if path == "" {
		return ""
	}
	return variableOf(path)
}

func isZeroNumber(value any) bool {
	switch v := reflect.ValueOf(value); v.Kind() {
	case reflect.Int, reflect.Int64, reflect.Float64:
		return v.IsZero()
	default:
		return false
	}
}

// defaultIsZero tells whether zero is what a key has when nobody says anything.
func defaultIsZero(k key) bool {
	return k.index != nil && reflect.ValueOf(Default()).Elem().FieldByIndex(k.index).IsZero()
}

// zero reads a zero that somebody wrote. To the components a zero means "the default", which is not
// what was written: it is refused, save for a jitter, which may be none.
func zero(path string, value any) (any, string, bool) {
	if strings.HasSuffix(path, ".jitter") {
		return -1.0, "", true
	}
	return value, "more than 0", false
}

// WithDefaults returns a copy of c in which every zero field has its default.
func (c *Config) WithDefaults() *Config {
	out := *c
	to, from := reflect.ValueOf(&out).Elem(), reflect.ValueOf(Default()).Elem()
	for _, k := range keys() {
		if f := to.FieldByIndex(k.index); f.IsZero() {
			f.Set(from.FieldByIndex(k.index))
		}
	}
	out.Roles = slices.Clone(out.Roles)
	return &out
}

// flatten takes a joined error apart.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return []error{err}
	}
	var out []error
	for _, e := range joined.Unwrap() {
		out = append(out, flatten(e)...)
	}
	return out
}
