package configs

import (
	"slices"
	"time"

	"github.com/leat-dev/leat/adapters/devinbox"
	"github.com/leat-dev/leat/adapters/httpapi"
	"github.com/leat-dev/leat/adapters/natsbus"
	"github.com/leat-dev/leat/adapters/smtpmail"
	"github.com/leat-dev/leat/adapters/wshub"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/app/publish"
	"github.com/leat-dev/leat/app/settle"
	"github.com/leat-dev/leat/handlers/email"
)

// Roles that are not handler sets. Every handler set is a role as well: a process that has the role
// works the set.
const (
	RoleAll       = "all"       // every role there is
	RoleAPI       = "api"       // HTTP API, web page
	RoleSequencer = "sequencer" // gives positions and wakes the bus; one is active, others stand by
	RoleEmail     = "email"     // takes mails from the queue and delivers them
	RoleBroadcast = "broadcast" // the handler set of that name, and the WebSocket feed for its clients
)

// Config is everything that can be set. Take it from Load, or write the fields that matter and
// complete it with WithDefaults.
type Config struct {
	HTTP     httpapi.Config            `koanf:"http"`
	WS       wshub.Config              `koanf:"ws"`
	Ops      httpapi.OpsConfig         `koanf:"ops"`
	Store    Store                     `koanf:"store"`
	Bus      Bus                       `koanf:"bus"`
	NATS     natsbus.Config            `koanf:"nats"`  // of bus.kind nats
	Roles    []string                  `koanf:"roles"` // what this process does; default "all"
	SMTP     smtpmail.Config           `koanf:"smtp"`  // with an empty host, mails go to the built-in inbox
	Email    email.Config              `koanf:"email"` // From and Drain are smtp.from's and drain.timeout's to say
	Inbox    devinbox.Config           `koanf:"inbox"`
	Retry    Retry                     `koanf:"retry"`
	Lanes    settle.Config             `koanf:"lanes"`    // Owner is a name that wiring makes
	Handlers map[string]handler.Policy `koanf:"handlers"` // by set name; what is zero is left to the set and to Retry
	Publish  Publish                   `koanf:"publish"`
	Auth     httpapi.AuthConfig        `koanf:"auth"`
	Log      Log                       `koanf:"log"`
	Drain    Drain                     `koanf:"drain"`
}

// Store says where everything is kept.
type Store struct {
	// URL is sqlite: and the path of a file, whose folder is made when it is missing, or a
	// postgres:// URL. Default sqlite:./data/leat.db.
	URL string `koanf:"url"`
	// TablePrefix begins the name of every table, so that several services share a database.
	// Lowercase letters, digits and underscores. Default leat_.
	TablePrefix string `koanf:"table_prefix"`
	// MaxConns bounds the connections to PostgreSQL that transactions use. Default 16.
	MaxConns int `koanf:"max_conns"`
	// StartWait is how long a start waits for a PostgreSQL server that does not answer. Default 10s.
	StartWait time.Duration `koanf:"start_wait"`
}

// Bus says how events travel from the log to the handlers.
type Bus struct {
	// Kind is sql, gochannel or nats. Default sql.
	Kind string `koanf:"kind"`
}

// The kinds of buses.
const (
	BusSQL       = "sql"
	BusGoChannel = "gochannel"
	BusNATS      = "nats"
)

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
	// continue to send it to the live feed, unrecorded; the caller gets an error all the same. What
	// belongs to a transaction, and what a handler publishes, never goes out so. Default error.
	OnFailure string `koanf:"on_failure"`
}

// What a publish of a real-time event does while the log is down.
const (
	OnFailureError    = "error"
	OnFailureContinue = "continue"
)

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
		HTTP: httpapi.Config{
			Listen: "127.0.0.1:8080", MaxBody: 1 << 20, ReadTimeout: 30 * time.Second,
			WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute, ShutdownTimeout: 10 * time.Second,
		},
		WS: wshub.Config{
			ReadLimit: 64 << 10, WriteTimeout: 5 * time.Second, PingInterval: 20 * time.Second,
			PongTimeout: 45 * time.Second, PositionInterval: time.Second, Queue: 256, MaxClients: 10000,
		},
		Ops:   httpapi.OpsConfig{Listen: "127.0.0.1:8081"},
		Store: Store{URL: "sqlite:./data/leat.db", TablePrefix: "leat_", MaxConns: 16, StartWait: 10 * time.Second},
		Bus:   Bus{Kind: BusSQL},
		NATS: natsbus.Config{
			Dir: "./data/nats", Replicas: 1, StartWait: 10 * time.Second, ReconnectWait: 2 * time.Second,
			MaxBytes: 1 << 30, MaxAge: 24 * time.Hour, Discard: natsbus.DiscardOld, MaxMemory: 64 << 20,
			Window: 256, PublishWait: 5 * time.Second, MaxAckPending: 128, AckWait: 30 * time.Second, Forget: 72 * time.Hour,
		},
		Roles: []string{RoleAll},
		SMTP:  smtpmail.Config{From: "leat@localhost", Timeout: 10 * time.Second, Idle: 30 * time.Second},
		Email: email.Config{
			Senders: 4, Attempts: 5, Initial: 2 * time.Second, Max: 5 * time.Minute, Multiplier: 2, Jitter: 0.5,
			Poll: time.Second, Lease: 2 * time.Minute, Timeout: 30 * time.Second,
		},
		Inbox: devinbox.Config{Listen: "127.0.0.1:1025", Keep: 500},
		Retry: Retry{
			Attempts: policy.Attempts, Initial: policy.Initial, Max: policy.Max,
			Multiplier: policy.Multiplier, Jitter: policy.Jitter,
		},
		Lanes:   settle.Config{LeaseTTL: 6 * time.Second, Poll: time.Second},
		Publish: Publish{Config: publish.Config{Source: "leat", MaxDepth: 32, MaxBatch: 1000}, OnFailure: OnFailureError},
		Auth:    httpapi.AuthConfig{Mode: AuthDev},
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

// EmailWorker returns how the email worker works, with what other sections say about it.
func (c *Config) EmailWorker() email.Config {
	worker := c.Email
	worker.From = c.SMTP.From
	worker.Drain = c.Drain.Timeout
	return worker
}

// BuiltInInbox tells whether mails go to the built-in inbox.
func (c *Config) BuiltInInbox() bool { return c.SMTP.Host == "" }
