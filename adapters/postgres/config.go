package postgres

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Config says where the store lies. Zero fields but URL have defaults.
type Config struct {
	// URL is the database: postgres://user:password@host:port/database?sslmode=…, or any other
	// form that libpq knows. Needed.
	URL string `koanf:"url"`
	// TablePrefix begins the name of everything the store creates, so that it can live in an
	// application's database: lowercase letters, digits and underscores, at most 32 bytes, not a
	// digit first. Default "leat_".
	TablePrefix string `koanf:"table_prefix"`
	// MaxConns bounds the connections for transactions. Half as many, and four at least, serve reads, and up
	// to five appends, waiting for notifications and the sequencer. Default 16.
	MaxConns int `koanf:"max_conns"`
	// StartWait is how long Open waits for a server that does not answer yet. Default 10s.
	StartWait time.Duration `koanf:"start_wait"`
	// StatementTimeout ends statements that take longer. Default 30s.
	StatementTimeout time.Duration `koanf:"statement_timeout"`
	// IdleTimeout ends transactions in which nothing happens for so long. Default 30s.
	IdleTimeout time.Duration `koanf:"idle_timeout"`
}

const defaultPrefix = "leat_"

func (c Config) withDefaults() Config {
	if c.TablePrefix == "" {
		c.TablePrefix = defaultPrefix
	}
	if c.MaxConns == 0 {
		c.MaxConns = 16
	}
	if c.StartWait == 0 {
		c.StartWait = 10 * time.Second
	}
	if c.StatementTimeout == 0 {
		c.StatementTimeout = 30 * time.Second
	}
	if c.IdleTimeout == 0 {
		c.IdleTimeout = 30 * time.Second
	}
	return c
}

// Validate reports every field at fault. No error holds the URL, for it may hold a password.
func (c Config) Validate() []error {
	var faults []error
	if c.URL == "" {
		faults = append(faults, errors.New("store.url: the URL of the database is missing"))
	} else if _, err := pgxpool.ParseConfig(c.URL); err != nil {
		faults = append(faults, errors.New("store.url: want a PostgreSQL URL such as postgres://user:password@host:5432/database?sslmode=require"))
	}
	if c.TablePrefix != "" && !validPrefix(c.TablePrefix) {
		faults = append(faults, fmt.Errorf("store.table_prefix: %q must have at most 32 lowercase letters, digits and underscores and not begin with a digit or \"pg_\"", c.TablePrefix))
	}
	if c.MaxConns < 0 || c.MaxConns > 1000 {
		faults = append(faults, fmt.Errorf("store.max_conns: %d is not between 1 and 1000", c.MaxConns))
	}
	for _, d := range []struct {
		key   string
		value time.Duration
	}{{"start_wait", c.StartWait}, {"statement_timeout", c.StatementTimeout}, {"idle_timeout", c.IdleTimeout}} {
		if d.value < 0 {
			faults = append(faults, fmt.Errorf("store.%s: %s is negative", d.key, d.value))
		}
	}
	return faults
}

func validPrefix(p string) bool {
	if len(p) > 32 || strings.HasPrefix(p, "pg_") {
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
