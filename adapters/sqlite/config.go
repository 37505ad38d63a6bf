package sqlite

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Config says where the store lies.
type Config struct {
	// Path is the database file; it and its folder are created when they are not there. Two more
	// files stand beside it while it is open ("-wal", "-shm"), and the lock (".lock"). Needed.
	Path string `koanf:"path"`
	// TablePrefix begins the name of every table, index and version table, so that the store can
	// live in an application's database: lowercase letters, digits and underscores, at most 32
	// bytes, not a digit first. Default "leat_".
	TablePrefix string `koanf:"table_prefix"`
}

const defaultPrefix = "leat_"

func (c Config) withDefaults() Config {
	if c.TablePrefix == "" {
		c.TablePrefix = defaultPrefix
	}
	return c
}

// Validate reports every field at fault.
func (c Config) Validate() []error {
	var faults []error
	switch {
	case c.Path == "":
		faults = append(faults, fmt.Errorf("store.path: the path of the database file is missing"))
	case c.Path == ":memory:" || strings.HasPrefix(c.Path, "file:"):
		faults = append(faults, fmt.Errorf("store.path: %q is not a file's path; a store that keeps nothing would break its promises", c.Path))
	case strings.ContainsRune(c.Path, 0):
		faults = append(faults, fmt.Errorf("store.path: %q holds a zero byte", c.Path))
	}
	if !validPrefix(c.TablePrefix) {
		faults = append(faults, fmt.Errorf("store.table_prefix: %q must have at most 32 lowercase letters, digits and underscores and not begin with a digit", c.TablePrefix))
	}
	return faults
}

func validPrefix(p string) bool {
	if len(p) > 32 || strings.HasPrefix(p, "sqlite_") {
		return false
	}
	for i := 0; i < len(p); i++ {
		c := p[i]
		if (c < 'a' || c > 'z') && c != '_' && (c < '0' || c > '9' || i == 0) {
			return false
		}
	}
	return true
}

// resolve returns the one name of a file however it is reached, so that its lock is one too.
func resolve(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if target, err := filepath.EvalSymlinks(abs); err == nil {
		return target, nil
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(abs)); err == nil {
		return filepath.Join(dir, filepath.Base(abs)), nil
	}
	return abs, nil
}
