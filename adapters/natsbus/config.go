package natsbus

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"
)

// What a full stream does.
const (
	DiscardOld = "old" // drops its oldest messages; who missed them reads the log
	DiscardNew = "new" // refuses new messages until old ones are over age
)

// Config says which server carries the events, and how. The zero value is an embedded server that
// nobody else can reach.
type Config struct {
	// URL is where the servers are: nats://, tls://, ws:// or wss:// addresses separated by commas.
	// Empty: a server inside the process. A user, password or token belongs into the fields below.
	URL string `koanf:"url"`
	// Dir is where the embedded server keeps its stream. Default ./data/nats. One process has it at
	// a time.
	Dir string `koanf:"dir"`
	// Listen is the address, host:port, at which the embedded server serves other processes. Empty:
	// none. An address that is not of this machine alone demands User and Password, or Token.
	Listen string `koanf:"listen"`
	// Replicas is on how many servers of a cluster the stream is kept: 1, 3 or 5. Default 1.
	Replicas int `koanf:"replicas"`

	// User and Password log in. With Listen they are what the embedded server demands.
	User     string `koanf:"user"`
	Password string `koanf:"password"`
	// Token logs in, instead of User and Password.
	Token string `koanf:"token"`
	// CredsFile is the path of a file with a JWT and an nkey seed, for decentralised accounts.
	CredsFile string `koanf:"creds_file"`
	// TLS protects the connection to URL.
	TLS TLS `koanf:"tls"`

	// StartWait bounds how long Open waits for a server that does not answer. Default 10s.
	StartWait time.Duration `koanf:"start_wait"`
	// ReconnectWait is the pause between two attempts to get a lost connection back. Default 2s.
	ReconnectWait time.Duration `koanf:"reconnect_wait"`

	// MaxBytes is how large the stream may grow, in bytes. Default 1 GiB.
	MaxBytes int64 `koanf:"max_bytes"`
	// MaxAge is how long a message is kept. Default 24h.
	MaxAge time.Duration `koanf:"max_age"`
	// Discard says what a full stream does: "old" drops its oldest messages, "new" refuses. Default
	// old. See the package comment.
	Discard string `koanf:"discard"`
	// MaxMemory bounds what the embedded server keeps in memory for streams and consumers, in
	// bytes. Default 64 MiB.
	MaxMemory int64 `koanf:"max_memory"`

	// Window is how many messages may be under way to the stream without an ack. Default 256.
	Window int `koanf:"window"`
	// PublishWait is how long the stream may answer nothing while acks are waited for. Default 5s.
	PublishWait time.Duration `koanf:"publish_wait"`
	// MaxAckPending is how many messages of a lane may be out without an ack. Default 128.
	MaxAckPending int `koanf:"max_ack_pending"`
	// AckWait is how long the server waits for an ack or a sign of progress before it gives a
	// message to somebody else. It counts when a process dies; one that lives reports progress
	// three times as often. Default 30s.
	AckWait time.Duration `koanf:"ack_wait"`
	// Forget is after how long without anybody the server deletes the consumer of a lane. What it
	// would have brought is read from the log. Default 72h.
	Forget time.Duration `koanf:"forget"`

	// Foreign are the subjects of other services whose events are taken in. Default: none.
	Foreign []ForeignConfig `koanf:"foreign"`
}

// TLS says how the connection is protected. The zero value protects with the system's authorities
// where the URL or the server asks for it.
type TLS struct {
	// CA is the path of a PEM file with the authorities that the server is checked against.
	// Default: the system's.
	CA string `koanf:"ca"`
	// Cert and Key are the paths of PEM files by which this process shows who it is.
	Cert string `koanf:"cert"`
	Key  string `koanf:"key"`
	// ServerName is the name that the server's certificate must bear. Default: the URL's host.
	ServerName string `koanf:"server_name"`
}

func (t TLS) used() bool { return t != TLS{} }

func (c Config) embedded() bool { return c.URL == "" }

func (c Config) withDefaults() Config {
	text := func(v *string, d string) {
		if *v == "" {
			*v = d
		}
	}
	span := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	text(&c.Dir, "./data/nats")
	text(&c.Discard, DiscardOld)
	span(&c.StartWait, 10*time.Second)
	span(&c.ReconnectWait, 2*time.Second)
	span(&c.MaxAge, 24*time.Hour)
	span(&c.PublishWait, 5*time.Second)
	span(&c.AckWait, 30*time.Second)
	span(&c.Forget, 72*time.Hour)
	if c.Replicas == 0 {
		c.Replicas = 1
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 1 << 30
	}
	if c.MaxMemory == 0 {
		c.MaxMemory = 64 << 20
	}
	if c.Window == 0 {
		c.Window = 256
	}
	if c.MaxAckPending == 0 {
		c.MaxAckPending = 128
	}
	return c
}

// Validate reports every field that is wrong; each error begins with its key.
func (c Config) Validate() []error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	c = c.withDefaults()
	if c.embedded() {
		c.validateEmbedded(fault)
	} else {
		c.validateURL(fault)
	}
	if c.User == "" && c.Password != "" {
		fault("nats.user: is missing beside nats.password")
	}
	if ways := count(c.User != "", c.Token != "", c.CredsFile != ""); ways > 1 {
		fault("nats.user: only one of nats.user, nats.token and nats.creds_file can log in")
	}
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		fault("nats.tls.cert: belongs together with nats.tls.key")
	}
	for key, path := range map[string]string{
		"nats.creds_file": c.CredsFile, "nats.tls.ca": c.TLS.CA, "nats.tls.cert": c.TLS.Cert, "nats.tls.key": c.TLS.Key,
	} {
		if path != "" {
			if _, err := os.Stat(path); err != nil {
				fault("%s: %w", key, err)
			}
		}
	}
	switch c.Replicas {
	case 1:
	case 3, 5:
		if c.embedded() {
			fault("nats.replicas: %d replicas need a cluster; the embedded server is one", c.Replicas)
		}
	default:
		fault("nats.replicas: %d is not 1, 3 or 5", c.Replicas)
	}
	if c.Discard != DiscardOld && c.Discard != DiscardNew {
		fault("nats.discard: %q is not \"old\" or \"new\"", c.Discard)
	}
	if c.MaxBytes < 1<<20 {
		fault("nats.max_bytes: %d is less than 1 MiB", c.MaxBytes)
	}
	if c.MaxMemory < 1<<20 {
		fault("nats.max_memory: %d is less than 1 MiB", c.MaxMemory)
	}
	if c.MaxAge < time.Minute {
		fault("nats.max_age: %v is less than 1m", c.MaxAge)
	}
	if c.AckWait < time.Second {
		fault("nats.ack_wait: %v is less than 1s", c.AckWait)
	}
	if c.Forget < time.Minute {
		fault("nats.forget: %v is less than 1m", c.Forget)
	}
	for key, n := range map[string]int{"nats.window": c.Window, "nats.max_ack_pending": c.MaxAckPending} {
		if n < 1 || n > 10_000 {
			fault("%s: %d is not from 1 to 10000", key, n)
		}
	}
	for key, d := range map[string]time.Duration{
		"nats.start_wait": c.StartWait, "nats.reconnect_wait": c.ReconnectWait, "nats.publish_wait": c.PublishWait,
	} {
		if d < 0 {
			fault("%s: %v is not a positive duration", key, d)
		}
	}
	for i, f := range c.Foreign {
		f.validate(fmt.Sprintf("nats.foreign[%d]", i), fault)
	}
	return faults
}

func (c Config) validateEmbedded(fault func(string, ...any)) {
	if c.CredsFile != "" {
		fault("nats.creds_file: is for a server at nats.url")
	}
	if c.TLS.used() {
		fault("nats.tls: is for a server at nats.url; the embedded server does not speak TLS")
	}
	if c.Listen == "" {
		return
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		fault("nats.listen: %q is no host:port: %w", c.Listen, err)
		return
	}
	if !isLoopback(host) && c.User == "" && c.Token == "" {
		fault("nats.listen: %s can be reached from other machines; nats.user and nats.password, or nats.token, must guard it", c.Listen)
	}
}

func (c Config) validateURL(fault func(string, ...any)) {
	for _, one := range strings.Split(c.URL, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		if err != nil {
			// The error would repeat the text, which may hold a password.
			fault("nats.url: an address is no URL")
			continue
		}
		switch u.Scheme {
		case "nats", "tls", "ws", "wss":
		default:
			fault("nats.url: %s does not begin with nats://, tls://, ws:// or wss://", u.Redacted())
			continue
		}
		if u.Host == "" {
			fault("nats.url: %s names no host", u.Redacted())
		}
		if u.User != nil {
			fault("nats.url: %s holds a log-in, which belongs into nats.user and nats.password, or nats.token", address(one))
		}
	}
	if c.Listen != "" {
		fault("nats.listen: is for the embedded server; nats.url names another")
	}
}

// address is a list of URLs without what may be secret in them.
func address(list string) string {
	var clean []string
	for _, one := range strings.Split(list, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		if err != nil {
			clean = append(clean, "(not a URL)")
			continue
		}
		u.User = nil
		clean = append(clean, u.String())
	}
	return strings.Join(clean, ",")
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func count(is ...bool) (n int) {
	for _, b := range is {
		if b {
			n++
		}
	}
	return n
}
