package configs

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
)

// setting is a value that somebody wrote for a key, and where.
type setting struct {
	path   string
	value  any
	origin string // "leat.yaml", "LEAT_HTTP__LISTEN", "--set http.listen"
}

// fromFile reads a YAML file. Sections and keys without a value say nothing.
func fromFile(name string) ([]setting, error) {
	k := koanf.New(".")
	if err := k.Load(file.Provider(name), yaml.Parser()); err != nil {
		var path *os.PathError
		if errors.As(err, &path) {
			return nil, fmt.Errorf("read the configuration file %s: %w", name, path.Err)
		}
		return nil, fmt.Errorf("read the configuration file %s: %w", name, err)
	}
	var out []setting
	for path, value := range k.All() {
		if m, isMap := value.(map[string]any); isMap && len(m) == 0 {
			value = nil
		}
		out = append(out, setting{path: path, value: value, origin: name})
	}
	return sorted(out), nil
}

const (
	envPrefix  = "LEAT_"
	fileSuffix = "_FILE"
)

// notConfiguration are variables of the command line.
var notConfiguration = []string{"LEAT_SERVER", "LEAT_TOKEN", "LEAT_TOKEN_FILE"}

// fromEnv reads the variables that begin with LEAT_.
func fromEnv(environ []string) ([]setting, []error) {
	k := koanf.New("\x00") // a delimiter that no name holds: the names are taken apart here
	provider := env.Provider("\x00", env.Opt{
		Prefix:      envPrefix,
		EnvironFunc: func() []string { return environ },
		TransformFunc: func(name, value string) (string, any) {
			if slices.Contains(notConfiguration, name) || strings.HasPrefix(name, "LEAT_TEST_") {
				return "", nil
			}
			return name, value
		},
	})
	if err := k.Load(provider, nil); err != nil {
		return nil, []error{fmt.Errorf("read the environment: %w", err)}
	}
	var out []setting
	var faults []error
	for name, value := range k.All() {
		path := pathOf(name)
		if _, ok, _, _ := lookup(path); ok {
			out = append(out, setting{path: path, value: value, origin: name})
			continue
		}
		plain, isFile := strings.CutSuffix(name, fileSuffix)
		if path := pathOf(plain); isFile && secret(path) {
			if k.Exists(plain) {
				faults = append(faults, fmt.Errorf("%s: set by %s and by %s; want one of them", path, plain, name))
				continue
			}
			text, err := os.ReadFile(fmt.Sprint(value))
			if err != nil {
				faults = append(faults, fmt.Errorf("%s: read the file that %s names: %w", path, name, err))
				continue
			}
			out = append(out, setting{path: path, value: strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"), origin: name})
			continue
		}
		out = append(out, setting{path: path, value: value, origin: name})
	}
	return sorted(out), faults
}

// pathOf makes http.listen of LEAT_HTTP__LISTEN. The name of a handler set has hyphens where its
// variable has underscores, which names of sets cannot hold.
func pathOf(variable string) string {
	levels := strings.Split(strings.ToLower(strings.TrimPrefix(variable, envPrefix)), "__")
	if levels[0]+"." == handlersPrefix && len(levels) > 1 {
		levels[1] = strings.ReplaceAll(levels[1], "_", "-")
	}
	return strings.Join(levels, ".")
}

// variableOf is the way back.
func variableOf(path string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(strings.ReplaceAll(path, ".", "__"), "-", "_"))
}

// fromFlags takes key and value pairs as the command line has them.
func fromFlags(flags map[string]string) []setting {
	var out []setting
	for path, value := range flags {
		out = append(out, setting{path: path, value: value, origin: "--set " + path})
	}
	return sorted(out)
}

func sorted(s []setting) []setting {
	slices.SortFunc(s, func(a, b setting) int { return strings.Compare(a.path, b.path) })
	return s
}
