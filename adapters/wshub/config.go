package wshub

import (
	"fmt"
	"net/url"
	"time"
)

// Config bounds what clients cost. A zero field takes its default.
type Config struct {
	// ReadLimit is the size of the largest frame a client may send, in bytes. Default 64 KiB.
	ReadLimit int64 `koanf:"read_limit"`
	// WriteTimeout bounds the writing of one frame; a client that takes longer is cut. Default 5s.
	WriteTimeout time.Duration `koanf:"write_timeout"`
	// PingInterval is the time between pings. Default 20s.
	PingInterval time.Duration `koanf:"ping_interval"`
	// PongTimeout is how long a client may be silent, pongs included, before it is cut; more than
	// PingInterval. Default 45s.
	PongTimeout time.Duration `koanf:"pong_timeout"`
	// PositionInterval is the least time between two position frames to a client. Default 1s.
	PositionInterval time.Duration `koanf:"position_interval"`
	// Queue is how many frames may wait for one client before it is closed as too slow. Default 256.
	Queue int `koanf:"queue"`
	// MaxClients is how many clients may be connected; others are answered 503. Default 10000.
	MaxClients int `koanf:"max_clients"`
	// AllowedOrigins are the origins of pages, other than those of the host itself, whose scripts
	// may connect: "https://app.example.com"; "*" allows all. Default none.
	AllowedOrigins []string `koanf:"allowed_origins"`
}

func (c Config) withDefaults() Config {
	if c.ReadLimit == 0 {
		c.ReadLimit = 64 << 10
	}
	if c.WriteTimeout == 0 {
		c.WriteTimeout = 5 * time.Second
	}
	if c.PingInterval == 0 {
		c.PingInterval = 20 * time.Second
	}
	if c.PongTimeout == 0 {
		c.PongTimeout = 45 * time.Second
	}
	if c.PositionInterval == 0 {
		c.PositionInterval = time.Second
	}
	if c.Queue == 0 {
		c.Queue = 256
	}
	if c.MaxClients == 0 {
		c.MaxClients = 10000
	}
	return c
}

// Validate reports every field that is out of range, by its key under "ws.".
func (c Config) Validate() []error {
	var faults []error
	fault := func(key, format string, args ...any) {
		faults = append(faults, fmt.Errorf("ws.%s: "+format, append([]any{key}, args...)...))
	}
	if c.ReadLimit < 0 {
		fault("read_limit", "%d is not a number of bytes", c.ReadLimit)
	}
	for _, d := range []struct {
		key   string
		value time.Duration
	}{
		{"write_timeout", c.WriteTimeout},
		{"ping_interval", c.PingInterval},
		{"pong_timeout", c.PongTimeout},
		{"position_interval", c.PositionInterval},
	} {
		if d.value < 0 {
			fault(d.key, "%v is not a positive duration", d.value)
		}
	}
	if full := c.withDefaults(); full.PongTimeout <= full.PingInterval && c.PongTimeout >= 0 {
		fault("pong_timeout", "%v must be more than ws.ping_interval, %v", full.PongTimeout, full.PingInterval)
	}
	if c.Queue < 0 {
		fault("queue", "%d is not a number of frames", c.Queue)
	}
	if c.MaxClients < 0 {
		fault("max_clients", "%d is not a number of clients", c.MaxClients)
	}
	for _, origin := range c.AllowedOrigins {
		u, err := url.Parse(origin)
		if origin != "*" && (err != nil || u.Scheme == "" || u.Host == "" || u.Scheme+"://"+u.Host != origin) {
			fault("allowed_origins", "%q is not an origin such as https://app.example.com", origin)
		}
	}
	return faults
}
