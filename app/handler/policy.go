package handler

import (
	"fmt"
	"time"
)

// Policy says how a set works and what happens when it fails. A zero field takes its default.
type Policy struct {
	// Attempts is how often an event is tried before it becomes a dead letter. Default 3.
	Attempts int `koanf:"attempts" yaml:"attempts" json:"attempts"`
	// Initial is the pause after the first failure. Default 2s.
	Initial time.Duration `koanf:"initial" yaml:"initial" json:"initial"`
	// Max bounds the pause. Default 1m.
	Max time.Duration `koanf:"max" yaml:"max" json:"max"`
	// Multiplier is how much longer each pause is than the one before. Default 2, at least 1.
	Multiplier float64 `koanf:"multiplier" yaml:"multiplier" json:"multiplier"`
	// Jitter is the share of a pause that is random, from 0 to 1; negative: none. Default 0.5.
	Jitter float64 `koanf:"jitter" yaml:"jitter" json:"jitter"`
	// Lanes is how many events of different keys the set works side by side, 1 to 64. Default 8.
	Lanes int `koanf:"lanes" yaml:"lanes" json:"lanes"`
	// Timeout bounds one attempt. Default 30s.
	Timeout time.Duration `koanf:"timeout" yaml:"timeout" json:"timeout"`
}

// DefaultPolicy returns what a set gets where neither it nor the configuration says otherwise.
func DefaultPolicy() Policy {
	return Policy{
		Attempts: 3, Initial: 2 * time.Second, Max: time.Minute, Multiplier: 2, Jitter: 0.5,
		Lanes: 8, Timeout: 30 * time.Second,
	}
}

// Or returns p with its zero fields taken from q.
func (p Policy) Or(q Policy) Policy {
	if p.Attempts == 0 {
		p.Attempts = q.Attempts
	}
	if p.Initial == 0 {
		p.Initial = q.Initial
	}
	if p.Max == 0 {
		p.Max = q.Max
	}
	if p.Multiplier == 0 {
		p.Multiplier = q.Multiplier
	}
	if p.Jitter == 0 {
		p.Jitter = q.Jitter
	}
	if p.Lanes == 0 {
		p.Lanes = q.Lanes
	}
	if p.Timeout == 0 {
		p.Timeout = q.Timeout
	}
	return p
}

// Validate reports every field that is out of range; each error begins with prefix and the
// field's key.
func (p Policy) Validate(prefix string) []error {
	var faults []error
	check := func(ok bool, key, want string, got any) {
		if !ok {
			faults = append(faults, fmt.Errorf("%s.%s: %v is not %s", prefix, key, got, want))
		}
	}
	check(p.Attempts >= 0, "attempts", "1 or more", p.Attempts)
	check(p.Initial >= 0, "initial", "a positive duration", p.Initial)
	check(p.Max >= 0, "max", "a positive duration", p.Max)
	check(p.Multiplier == 0 || p.Multiplier >= 1, "multiplier", "1 or more", p.Multiplier)
	check(p.Jitter <= 1, "jitter", "1 or less", p.Jitter)
	check(p.Lanes >= 0 && p.Lanes <= 64, "lanes", "from 1 to 64", p.Lanes)
	check(p.Timeout >= 0, "timeout", "a positive duration", p.Timeout)
	return faults
}

// Backoff returns the pause after the given number of attempts, from 1. random is in [0, 1).
func (p Policy) Backoff(attempts int, random float64) time.Duration {
	pause, limit := float64(p.Initial), float64(p.Max)
	for i := 1; i < attempts && pause < limit; i++ {
		pause *= p.Multiplier
	}
	pause = min(pause, limit)
	if p.Jitter > 0 {
		pause *= 1 - p.Jitter + p.Jitter*random
	}
	return time.Duration(pause)
}
