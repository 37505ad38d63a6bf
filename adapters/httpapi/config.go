package httpapi

import (
	"fmt"
	"net"
	"strconv"
	"time"
)

// Config says where the API listens and what it accepts.
type Config struct {
	// Listen is the address of the API, the live feed and the web page; port 0 takes any free
	// one. Default 127.0.0.1:8080.
	Listen string `koanf:"listen"`
	// MaxBody bounds a request's body, in bytes. Default 1 MiB.
	MaxBody int64 `koanf:"max_body"`
	// ReadTimeout bounds the reading of one request. Default 30s.
	ReadTimeout time.Duration `koanf:"read_timeout"`
	// WriteTimeout bounds one request from its header to the end of its answer; the live feed is
	// not bound by it. Default 60s.
	WriteTimeout time.Duration `koanf:"write_timeout"`
	// IdleTimeout is how long a connection is kept for the next request. Default 2m.
	IdleTimeout time.Duration `koanf:"idle_timeout"`
	// ShutdownTimeout is how long requests in hand may take when the server stops. Default 10s.
	ShutdownTimeout time.Duration `koanf:"shutdown_timeout"`
}

// OpsConfig says where health, readiness and metrics are served.
type OpsConfig struct {
	// Listen is the address; port 0 takes any free one. Default 127.0.0.1:8081.
	Listen string `koanf:"listen"`
}

// AuthConfig says how callers are known.
type AuthConfig struct {
	// Mode is "dev" (default): no credential is asked for, every caller is operator. It is
	// refused where others than this machine could call.
	Mode string `koanf:"mode"`
}

func (c Config) withDefaults() Config {
	if c.Listen == "" {
		c.Listen = "127.0.0.1:8080"
	}
	if c.MaxBody == 0 {
		c.MaxBody = 1 << 20
	}
	orDefault(&c.ReadTimeout, 30*time.Second)
	orDefault(&c.WriteTimeout, time.Minute)
	orDefault(&c.IdleTimeout, 2*time.Minute)
	orDefault(&c.ShutdownTimeout, 10*time.Second)
	return c
}

func orDefault(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
	}
}

func (c OpsConfig) withDefaults() OpsConfig {
	if c.Listen == "" {
		c.Listen = "127.0.0.1:8081"
	}
	return c
}

func (c AuthConfig) withDefaults() AuthConfig {
	if c.Mode == "" {
		c.Mode = modeDev
	}
	return c
}

// Validate reports every fault, each with its key.
func (c Config) Validate() []error {
	c = c.withDefaults()
	faults := checkAddress("http.listen", c.Listen)
	if c.MaxBody < 0 {
		faults = append(faults, fmt.Errorf("http.max_body: %d is not a positive number of bytes", c.MaxBody))
	}
	for _, d := range []struct {
		key   string
		value time.Duration
	}{
		{"http.read_timeout", c.ReadTimeout},
		{"http.write_timeout", c.WriteTimeout},
		{"http.idle_timeout", c.IdleTimeout},
		{"http.shutdown_timeout", c.ShutdownTimeout},
	} {
		if d.value < 0 {
			faults = append(faults, fmt.Errorf("%s: %s is not a positive duration", d.key, d.value))
		}
	}
	return faults
}

// Validate reports every fault, each with its key.
func (c OpsConfig) Validate() []error {
	return checkAddress("ops.listen", c.withDefaults().Listen)
}

// Validate reports every fault, each with its key. What a mode asks of the address is told by
// ValidateListen.
func (c AuthConfig) Validate() []error {
	if mode := c.withDefaults().Mode; mode != modeDev {
		return []error{fmt.Errorf("auth.mode: %q is not a mode; want %q", mode, modeDev)}
	}
	return nil
}

// ValidateListen reports whether the mode may be used where the API listens: "dev" asks nobody for
// a credential, so it needs a loopback address.
func (c AuthConfig) ValidateListen(h Config) []error {
	listen := h.withDefaults().Listen
	if c.withDefaults().Mode != modeDev || len(checkAddress("", listen)) > 0 || isLoopback(listen) {
		return nil
	}
	return []error{fmt.Errorf("auth.mode: %q lets every caller in and is refused on http.listen %q, which is not a loopback address such as 127.0.0.1:8080", modeDev, listen)}
}

func checkAddress(key, address string) []error {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		var n uint64
		if n, err = strconv.ParseUint(port, 10, 16); err == nil && n <= 65535 {
			return nil
		}
	}
	return []error{fmt.Errorf("%s: %q is not an address such as 127.0.0.1:8080", key, address)}
}

// isLoopback tells whether only this machine can reach the address. An empty host means every
// network interface.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	return isLoopbackHost(host)
}
