package devinbox

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// Config says where the inbox listens. A zero field takes its default.
type Config struct {
	// Listen is the address for SMTP, on this machine only; port 0 takes a free one.
	// Default "127.0.0.1:1025".
	Listen string `koanf:"listen"`
	// Keep is how many mails are kept; older ones go. Default 500.
	Keep int `koanf:"keep"`
}

func (c Config) withDefaults() Config {
	if c.Listen == "" {
		c.Listen = "127.0.0.1:1025"
	}
	if c.Keep == 0 {
		c.Keep = 500
	}
	return c
}

// Validate reports every field that is wrong; each error begins with its key.
func (c Config) Validate() []error {
	var faults []error
	c = c.withDefaults()
	if host, port, err := net.SplitHostPort(c.Listen); err != nil {
		faults = append(faults, fmt.Errorf("inbox.listen: %q is no address: %w", c.Listen, err))
	} else {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			faults = append(faults, fmt.Errorf("inbox.listen: %q is no port", port))
		}
		if !isLoopback(host) {
			faults = append(faults, fmt.Errorf("inbox.listen: %q can be reached from elsewhere, and the inbox takes mail from everybody; want 127.0.0.1, ::1 or localhost", c.Listen))
		}
	}
	if c.Keep < 1 {
		faults = append(faults, fmt.Errorf("inbox.keep: %d is not 1 or more", c.Keep))
	}
	return faults
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
