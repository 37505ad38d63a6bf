package smtpmail

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/mail"
	"strings"
	"time"
)

// How a connection is protected.
const (
	TLSStart = "starttls" // begins in the clear and must become TLS before anything is said
	TLSOn    = "tls"      // TLS from the first byte
	TLSNone  = "none"     // in the clear
)

// Config says which server takes the mails. A zero field takes its default; Host has none.
type Config struct {
	// Host is the server's name or address.
	Host string `koanf:"host"`
	// Port is the server's port. Default 587, with TLS "tls" 465.
	Port int `koanf:"port"`
	// Username and Password log in; no log-in when both are empty. A password travels over TLS or
	// to the same machine only.
	Username string `koanf:"username"`
	Password string `koanf:"password"`
	// TLS is "starttls", "tls" or "none". Default "none" when Host is the same machine
	// (localhost, 127.0.0.1, ::1), else "starttls".
	TLS string `koanf:"tls"`
	// From is the address that mails come from where they name none, with or without a name.
	// Default "leat@localhost".
	From string `koanf:"from"`
	// Timeout bounds each step of the conversation. Default 10s.
	Timeout time.Duration `koanf:"timeout"`
	// Idle is how long a connection is kept for the next mail. Default 30s; negative: not at all.
	Idle time.Duration `koanf:"idle"`

	// RootCAs are the authorities that the server's certificate is checked against. Default: the system's.
	RootCAs *x509.CertPool `koanf:"-"`
}

func (c Config) withDefaults() Config {
	if n := len(c.Host); n > 2 && c.Host[0] == '[' && c.Host[n-1] == ']' {
		c.Host = c.Host[1 : n-1] // IPv6 as in a URL
	}
	if c.TLS == "" {
		c.TLS = TLSStart
		if isLoopback(c.Host) {
			c.TLS = TLSNone
		}
	}
	if c.Port == 0 {
		c.Port = 587
		if c.TLS == TLSOn {
			c.Port = 465
		}
	}
	if c.From == "" {
		c.From = "leat@localhost"
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if c.Idle == 0 {
		c.Idle = 30 * time.Second
	}
	return c
}

// Validate reports every field that is wrong; each error begins with its key.
func (c Config) Validate() []error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	c = c.withDefaults()
	if c.Host == "" {
		fault("smtp.host: the mail server's name is missing")
	} else if strings.ContainsAny(c.Host, " \t\r\n/") {
		fault("smtp.host: %q is no host name", c.Host)
	}
	if c.Port < 1 || c.Port > 65535 {
		fault("smtp.port: %d is not from 1 to 65535", c.Port)
	}
	switch c.TLS {
	case TLSStart, TLSOn, TLSNone:
	default:
		fault("smtp.tls: %q is not \"starttls\", \"tls\" or \"none\"", c.TLS)
	}
	if c.TLS == TLSNone && c.Password != "" && !isLoopback(c.Host) {
		fault("smtp.tls: \"none\" would send the password to %s for everybody to read", c.Host)
	}
	if c.Password != "" && c.Username == "" {
		fault("smtp.username: is missing beside smtp.password")
	}
	if _, err := parseAddress(c.From); err != nil {
		fault("smtp.from: %w", err)
	}
	if c.Timeout < 0 {
		fault("smtp.timeout: %v is not a positive duration", c.Timeout)
	}
	return faults
}

func isLoopback(host string) bool {
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// parseAddress reads an address with or without a name, and refuses what could end a header line.
func parseAddress(s string) (*mail.Address, error) {
	if strings.ContainsFunc(s, isControl) {
		return nil, fmt.Errorf("%q holds control characters", s)
	}
	a, err := mail.ParseAddress(s)
	if err != nil {
		return nil, fmt.Errorf("%q is no mail address: %w", s, err)
	}
	if strings.ContainsFunc(a.Address+a.Name, isControl) { // out of an encoded word
		return nil, fmt.Errorf("%q holds control characters", s)
	}
	return a, nil
}

func isControl(c rune) bool { return c < 0x20 || c == 0x7f }
