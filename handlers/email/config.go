package email

import (
	"fmt"
	"math/rand/v2"
	"net/mail"
	"strings"
	"time"

	"github.com/leat-dev/leat/app/handler"
)

// Config says how the worker works. A zero field takes its default.
type Config struct {
	// From is the address that mails come from; its domain ends their Message-IDs. Wiring takes
	// it from smtp.from. Default "leat@localhost".
	From string `koanf:"from"`
	// Senders is how many mails are sent side by side; twice as many may be in hand. Default 4, at most 64.
	Senders int `koanf:"senders"`
	// Attempts is how often a mail is tried before it has failed. Default 5.
	Attempts int `koanf:"attempts"`
	// Initial is the pause after the first failure. Default 2s.
	Initial time.Duration `koanf:"initial"`
	// Max bounds the pause. Default 5m.
	Max time.Duration `koanf:"max"`
	// Multiplier is how much longer each pause is than the one before. Default 2, at least 1.
	Multiplier float64 `koanf:"multiplier"`
	// Jitter is the share of a pause that is random, from 0 to 1; negative: none. Default 0.5.
	Jitter float64 `koanf:"jitter"`
	// Poll is how often the queue is looked at when nothing wakes the worker. Default 1s.
	Poll time.Duration `koanf:"poll"`
	// Lease is how long a mail stays with a worker that has died. Default 2m, at least four times Timeout: a claimed
	// mail may wait for a quarter of it, then for somebody else's attempt, and then has its own.
	Lease time.Duration `koanf:"lease"`
	// Timeout bounds one attempt. Default 30s.
	Timeout time.Duration `koanf:"timeout"`
	// Drain is how long mails in hand may take when the worker is stopped. Default 20s.
	Drain time.Duration `koanf:"drain"`

	// Random returns numbers in [0, 1) for jitter. Default math/rand/v2.
	Random func() float64 `koanf:"-"`
}

func (c Config) withDefaults() Config {
	if c.From == "" {
		c.From = "leat@localhost"
	}
	if c.Senders == 0 {
		c.Senders = 4
	}
	if c.Attempts == 0 {
		c.Attempts = 5
	}
	if c.Initial == 0 {
		c.Initial = 2 * time.Second
	}
	if c.Max == 0 {
		c.Max = 5 * time.Minute
	}
	if c.Multiplier == 0 {
		c.Multiplier = 2
	}
	if c.Jitter == 0 {
		c.Jitter = 0.5
	}
	if c.Poll == 0 {
		c.Poll = time.Second
	}
	if c.Lease == 0 {
		c.Lease = 2 * time.Minute
	}
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	if c.Drain == 0 {
		c.Drain = 20 * time.Second
	}
	if c.Random == nil {
		c.Random = rand.Float64
	}
	return c
}

// Validate reports every field that is out of range; each error begins with its key.
func (c Config) Validate() []error {
	var faults []error
	check := func(ok bool, key, want string, got any) {
		if !ok {
			faults = append(faults, fmt.Errorf("email.%s: %v is not %s", key, got, want))
		}
	}
	c = c.withDefaults()
	if _, err := mail.ParseAddress(c.From); err != nil {
		faults = append(faults, fmt.Errorf("email.from: %q is no mail address: %w", c.From, err))
	}
	check(c.Senders > 0 && c.Senders <= 64, "senders", "from 1 to 64", c.Senders)
	check(c.Attempts > 0, "attempts", "1 or more", c.Attempts)
	check(c.Initial > 0, "initial", "a positive duration", c.Initial)
	check(c.Max > 0, "max", "a positive duration", c.Max)
	check(c.Multiplier >= 1, "multiplier", "1 or more", c.Multiplier)
	check(c.Jitter <= 1, "jitter", "1 or less", c.Jitter)
	check(c.Poll > 0, "poll", "a positive duration", c.Poll)
	check(c.Timeout > 0, "timeout", "a positive duration", c.Timeout)
	check(c.Drain > 0, "drain", "a positive duration", c.Drain)
	check(c.Lease >= 4*c.Timeout, "lease", "at least four times email.timeout", c.Lease)
	return faults
}

// backoff returns the pause after the given number of attempts.
func (c Config) backoff(attempts int) time.Duration {
	p := handler.Policy{Initial: c.Initial, Max: c.Max, Multiplier: c.Multiplier, Jitter: c.Jitter}
	return p.Backoff(attempts, c.Random())
}

// domainOf returns the domain of an address, "localhost" when it has none.
func domainOf(address string) string {
	if parsed, err := mail.ParseAddress(address); err == nil {
		address = parsed.Address
	}
	if i := strings.LastIndexByte(address, '@'); i >= 0 && i+1 < len(address) {
		return address[i+1:]
	}
	return "localhost"
}
