package configs

import (
	"net"
	"slices"
	"strings"
	"time"

	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/app/publish"
)

// Roles that are not handler sets. Every handler set is a role as well: a process that has the role
// works the set.
const (
	RoleAll       = "all"       // every role there is
	RoleAPI       = "api"       // HTTP API, WebSocket feed, web page
	RoleSequencer = "sequencer" // gives positions and wakes the bus; one is active, others stand by
	RoleEmail     = "email"     // takes mails from the queue and delivers them
)

// Config is everything that can be set. Take it from Load, or write the fields that matter and
// complete it with WithDefaults.
type Config struct {
	HTTP     HTTP                      `koanf:"http"`
	Ops      Ops                       `koanf:"ops"`
	Store    Store                     `koanf:"store"`
	Bus      Bus                       `koanf:"bus"`
	Roles    []string                  `koanf:"roles"` // what this process does; default "all"
	SMTP     SMTP                      `koanf:"smtp"`
	Inbox    Inbox                     `koanf:"inbox"`
	Retry    Retry                     `koanf:"retry"`
	Handlers map[string]handler.Policy `koanf:"handlers"` // by set name; what is zero is left to the set and to Retry
	Publish  Publish                   `koanf:"publish"`
	Auth     Auth                      `koanf:"auth"`
	Log      Log                       `koanf:"log"`
	Drain    Drain                     `koanf:"drain"`
}

// HTTP is the address of API, WebSocket and web page.
type HTTP struct {
	// Listen is host:port; port 0 takes a free one. Default 127.0.0.1:8080.
	Listen string `koanf:"listen"`
}

// Ops is the address for those who run the service: /healthz, /readyz, /metrics.
type Ops struct {
	// Listen is host:port; port 0 takes a free one. Default 127.0.0.1:8081.
	Listen string `koanf:"listen"`
}

// Store says where everything is kept.
type Store struct {
	// URL is sqlite: and the path of a file, whose folder is made when it is missing. Default
	// sqlite:./data/leat.db.
	URL string `koanf:"url"`
	// TablePrefix begins the name of every table, so that several services share a database.
	// Lowercase letters, digits and underscores. Default leat_.
	TablePrefix string `koanf:"table_prefix"`
}

// Bus says how events travel from the log to the handlers.
type Bus struct {
	// Kind is sql or gochannel. Default sql.
	Kind string `koanf:"kind"`
}

// The kinds of buses.
const (
	BusSQL       = "sql"
	BusGoChannel = "gochannel"
	BusNATS      = "nats"
)

// SMTP is the server that mails are given to.
type SMTP struct {
	// Host is its name. Empty, the default: mails go to the built-in inbox.
	Host string `koanf:"host"`
	// Port is its port. Default 587.
	Port int `koanf:"port"`
	// Username and Password are given to the server; without a username there is no login.
	Username string `koanf:"username"`
	Password string `koanf:"password"`
	// TLS is starttls, tls or none. Default starttls.
	TLS string `koanf:"tls"`
	// From is the sender's address. Default leat@localhost.
	From string `koanf:"from"`
}

// Inbox is the built-in inbox, which takes the mails while there is no SMTP server.
type Inbox struct {
	// Listen is the inbox's SMTP address; loopback only. Default 127.0.0.1:1025.
	Listen string `koanf:"listen"`
}

// Retry is what handler sets do with events that fail, where neither handlers.{set} nor the set
// itself says otherwise.
type Retry struct {
	// Attempts is how often an event is tried before it becomes a dead letter. Default 3.
	Attempts int `koanf:"attempts"`
	// Initial is the pause after the first failure. Default 2s.
	Initial time.Duration `koanf:"initial"`
	// Max bounds the pause. Default 1m.
	Max time.Duration `koanf:"max"`
	// Multiplier is how much longer each pause is than the one before. Default 2, at least 1.
	Multiplier float64 `koanf:"multiplier"`
	// Jitter is the share of a pause that is random, from 0 to 1. Default 0.5. A Config that is not
	// loaded but written says "none" with a negative value.
	Jitter float64 `koanf:"jitter"`
}

// Publish is about what enters the log.
type Publish struct {
	publish.Config `koanf:",squash"`
	// OnFailure says what a publish of a real-time event does while the log is down: error, or
	// continue to send it to the live feed, unrecorded. Default error.
	OnFailure string `koanf:"on_failure"`
}

// Auth says who may call.
type Auth struct {
	// Mode is dev: every caller is operator, of tenant dev or of the tenant that the header
	// Leat-Tenant names; refused unless http.listen is a loopback address. Default dev.
	Mode string `koanf:"mode"`
}

// The ways to tell callers apart.
const (
	AuthDev  = "dev"
	AuthKeys = "keys"
)

// Log is what the program says about itself, on stderr.
type Log struct {
	// Level is debug, info, warn or error. Default info.
	Level string `koanf:"level"`
	// Format is text, json, or auto: text on a terminal, else json. Default auto.
	Format string `koanf:"format"`
}

// Drain is about stopping.
type Drain struct {
	// Timeout is how long work in hand may take to finish after the signal to stop. What does not
	// finish is done by the next process. Default 30s.
	Timeout time.Duration `koanf:"timeout"`
}

// Default returns what holds where nothing is set.
func Default() *Config {
	policy := handler.DefaultPolicy()
	return &Config{
		HTTP:  HTTP{Listen: "127.0.0.1:8080"},
		Ops:   Ops{Listen: "127.0.0.1:8081"},
		Store: Store{URL: "sqlite:./data/leat.db", TablePrefix: "leat_"},
		Bus:   Bus{Kind: BusSQL},
		Roles: []string{RoleAll},
		SMTP:  SMTP{Port: 587, TLS: "starttls", From: "leat@localhost"},
		Inbox: Inbox{Listen: "127.0.0.1:1025"},
		Retry: Retry{
			Attempts: policy.Attempts, Initial: policy.Initial, Max: policy.Max,
			Multiplier: policy.Multiplier, Jitter: policy.Jitter,
		},
		Publish: Publish{Config: publish.Config{Source: "leat", MaxDepth: 32, MaxBatch: 1000}, OnFailure: "error"},
		Auth:    Auth{Mode: AuthDev},
		Log:     Log{Level: "info", Format: "auto"},
		Drain:   Drain{Timeout: 30 * time.Second},
	}
}

// HasRole tells whether the process does what the role stands for: "api", "sequencer", "email" or
// the name of a handler set.
func (c *Config) HasRole(role string) bool {
	return len(c.Roles) == 0 || slices.Contains(c.Roles, RoleAll) || slices.Contains(c.Roles, role)
}

// Policy returns how a set works: what handlers.{set} says, else what the set itself says, else
// what retry says, else the default.
func (c *Config) Policy(set string, own handler.Policy) handler.Policy {
	general := handler.Policy{
		Attempts: c.Retry.Attempts, Initial: c.Retry.Initial, Max: c.Retry.Max,
		Multiplier: c.Retry.Multiplier, Jitter: c.Retry.Jitter,
	}
	return c.Handlers[set].Or(own).Or(general).Or(handler.DefaultPolicy())
}

// BuiltInInbox tells whether mails go to the built-in inbox.
func (c *Config) BuiltInInbox() bool { return c.SMTP.Host == "" }

// loopback tells whether nobody but this machine can reach an address.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
