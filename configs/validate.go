package configs

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/leat-dev/leat/adapters/postgres"
	"github.com/leat-dev/leat/adapters/sqlite"
	"github.com/leat-dev/leat/app/handler"
)

// Validate reports every value that cannot work, each with its key. It looks at nothing but the
// configuration: whether an address is free or a folder writable shows at start.
func (c *Config) Validate() error {
	var faults faultList
	faults.add(c.HTTP.Validate()...)
	faults.add(c.WS.Validate()...)
	faults.add(c.Ops.Validate()...)
	faults.add(c.validateStore()...)
	faults.oneOf("bus.kind", c.Bus.Kind, BusSQL, BusGoChannel, BusNATS)
	faults.add(c.NATS.Validate()...)
	for _, role := range c.Roles {
		if !validName(role) {
			faults.addf("roles: %q is not the name of a role: lowercase letters, digits and hyphens", role)
		}
	}
	faults.add(c.validateMail()...)
	faults.add(c.validateAuth()...)
	faults.add(c.validatePolicies()...)
	faults.add(c.Lanes.Validate()...)
	faults.oneOf("publish.on_failure", c.Publish.OnFailure, OnFailureError, OnFailureContinue)
	faults.positive("publish.max_depth", c.Publish.MaxDepth)
	faults.positive("publish.max_batch", c.Publish.MaxBatch)
	faults.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	faults.oneOf("log.format", c.Log.Format, "auto", "text", "json")
	if c.Drain.Timeout <= 0 {
		faults.addf("drain.timeout: %v is not a positive duration", c.Drain.Timeout)
	}
	return errors.Join(faults...)
}

func (c *Config) validateStore() []error {
	if c.Store.IsPostgres() {
		return c.Postgres().Validate()
	}
	path, err := c.Store.SQLitePath()
	if err != nil {
		// The prefix is looked at all the same.
		return append([]error{err}, sqlite.Config{Path: "leat.db", TablePrefix: c.Store.TablePrefix}.Validate()...)
	}
	return sqlite.Config{Path: path, TablePrefix: c.Store.TablePrefix}.Validate()
}

func (c *Config) validateAuth() []error {
	if c.Auth.Mode == AuthKeys {
		return []error{errors.New("auth.mode: keys is not available in this version; use dev")}
	}
	return append(c.Auth.Validate(), c.Auth.ValidateListen(c.HTTP)...)
}

func (c *Config) validateMail() []error {
	server := c.SMTP
	if c.BuiltInInbox() {
		server.Host = "localhost" // there is none, but what is said about it may be wrong already
	}
	worker := c.EmailWorker()
	worker.From = "" // looked at by the server's part
	faults := append(server.Validate(), worker.Validate()...)
	if c.BuiltInInbox() {
		faults = append(faults, c.Inbox.Validate()...)
	}
	return faults
}

func (c *Config) validatePolicies() []error {
	retry := handler.Policy{
		Attempts: c.Retry.Attempts, Initial: c.Retry.Initial, Max: c.Retry.Max,
		Multiplier: c.Retry.Multiplier, Jitter: c.Retry.Jitter,
	}
	faults := retry.Validate("retry")
	for _, set := range sortedNames(c.Handlers) {
		if !validName(set) {
			faults = append(faults, fmt.Errorf("handlers.%s: a set's name has lowercase letters, digits and hyphens", set))
			continue
		}
		faults = append(faults, c.Handlers[set].Validate(handlersPrefix+set)...)
	}
	return faults
}

// ValidateRoles reports the roles, and the sets under handlers, that do not exist: sets are the
// names of all handler sets of the program.
func (c *Config) ValidateRoles(sets []string) error {
	var faults faultList
	roles := []string{RoleAPI, RoleSequencer, RoleEmail}
	for _, set := range sets {
		if !slices.Contains(roles, set) {
			roles = append(roles, set)
		}
	}
	for _, role := range c.Roles {
		if role != RoleAll && !slices.Contains(roles, role) {
			faults.addf("roles: there is no role %q%s; there are %s, and all", role, closest(role, roles), strings.Join(roles, ", "))
		}
	}
	for _, set := range sortedNames(c.Handlers) {
		if !slices.Contains(sets, set) {
			faults.addf("handlers.%s: there is no handler set %q%s; there are %s", set, set, closest(set, sets), strings.Join(sets, ", "))
		}
	}
	return errors.Join(faults...)
}

func closest(name string, among []string) string {
	best, near := len(name)/3+1, ""
	for _, a := range among {
		if d := distance(name, a); d < best {
			best, near = d, a
		}
	}
	if near == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", near)
}

// IsPostgres tells whether the store is a PostgreSQL database.
func (s Store) IsPostgres() bool {
	return strings.HasPrefix(s.URL, "postgres://") || strings.HasPrefix(s.URL, "postgresql://")
}

// Postgres returns how to reach the database, where the store is one.
func (c *Config) Postgres() postgres.Config {
	return postgres.Config{URL: c.Store.URL, TablePrefix: c.Store.TablePrefix, MaxConns: c.Store.MaxConns, StartWait: c.Store.StartWait}
}

// SQLitePath returns the path of the file that URL names.
func (s Store) SQLitePath() (string, error) {
	scheme, rest, _ := strings.Cut(s.URL, ":")
	switch scheme {
	case "sqlite":
	default:
		return "", fmt.Errorf("store.url: %q is neither sqlite: and a path, such as sqlite:./data/leat.db, nor a postgres:// URL", masked(s.URL))
	}
	path := rest
	if after, ok := strings.CutPrefix(rest, "//"); ok {
		if !strings.HasPrefix(after, "/") {
			return "", fmt.Errorf("store.url: %q names a host; write sqlite:%s or sqlite:///%s", s.URL, after, after)
		}
		path = after
	}
	switch {
	case path == "":
		return "", fmt.Errorf("store.url: %q lacks the path of a file", s.URL)
	case path == ":memory:":
		return "", errors.New("store.url: a database in memory keeps nothing; name a file")
	case strings.ContainsAny(path, "?#"):
		return "", fmt.Errorf("store.url: %q holds parameters; there are none", s.URL)
	}
	return path, nil
}

// masked returns a URL without its password.
func masked(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		if strings.Contains(raw, "@") {
			return "***"
		}
		return raw
	}
	if password, ok := u.User.Password(); ok && password != "" {
		u.User = url.UserPassword(u.User.Username(), "***")
		return strings.Replace(u.String(), "%2A%2A%2A", "***", 1)
	}
	return raw
}

func sortedNames[T any](m map[string]T) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// faultList gathers what is wrong.
type faultList []error

func (f *faultList) add(errs ...error) { *f = append(*f, errs...) }

func (f *faultList) addf(format string, args ...any) { f.add(fmt.Errorf(format, args...)) }

func (f *faultList) oneOf(key, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		f.addf("%s: %q is not one of %s", key, value, strings.Join(allowed, ", "))
	}
}

func (f *faultList) positive(key string, n int) {
	if n < 1 {
		f.addf("%s: %d is not 1 or more", key, n)
	}
}
