package event

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/leat-dev/leat/domain"
)

// Limits of what is accepted, in bytes.
const (
	MaxType    = 128
	MaxID      = 128
	MaxSource  = 128
	MaxSubject = 256
	MaxTenant  = 64
	MaxKey     = 256
	MaxActor   = 256
	MaxData    = 256 << 10

	MaxTraceParent = 128
)

// CheckType reports which rule a type's name breaks: at most MaxType bytes, at least two segments
// separated by dots, each a lowercase letter followed by lowercase letters, digits or underscores.
func CheckType(name string) error {
	if name == "" {
		return fmt.Errorf("an event type must not be empty")
	}
	if len(name) > MaxType {
		return fmt.Errorf("event type %q… is %d bytes long; the limit is %d", name[:32], len(name), MaxType)
	}
	segments := strings.Split(name, ".")
	if len(segments) < 2 {
		return fmt.Errorf("event type %q needs at least two segments, such as \"build.started\"", name)
	}
	for _, s := range segments {
		if err := checkSegment(s); err != nil {
			return fmt.Errorf("event type %q: %w", name, err)
		}
	}
	return nil
}

func checkSegment(s string) error {
	if s == "" {
		return fmt.Errorf("a segment is empty")
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		letter := c >= 'a' && c <= 'z'
		if letter || i > 0 && (c >= '0' && c <= '9' || c == '_') {
			continue
		}
		return fmt.Errorf("segment %q must be a lowercase letter followed by lowercase letters, digits or underscores", s)
	}
	return nil
}

func firstSegment(typ string) string {
	s, _, _ := strings.Cut(typ, ".")
	return s
}

// CheckTenant reports which rule a tenant's id breaks: 1 to MaxTenant letters, digits, '-' or '_'.
func CheckTenant(tenant string) error {
	if tenant == "" {
		return invalid("TENANT_MISSING", "tenant", "an event needs a tenant")
	}
	if len(tenant) > MaxTenant {
		return tooLong("tenant", len(tenant), MaxTenant)
	}
	for i := 0; i < len(tenant); i++ {
		c := tenant[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' {
			continue
		}
		return invalid("INVALID_TENANT", "tenant", fmt.Sprintf("tenant %q may hold letters, digits, '-' and '_' only", tenant))
	}
	return nil
}

// checkText refuses what cannot travel as a header on every bus: control characters, broken UTF-8,
// spaces at the ends, too many bytes.
func checkText(field, value string, limit int) error {
	if len(value) > limit {
		return tooLong(field, len(value), limit)
	}
	if !utf8.ValidString(value) {
		return invalid("INVALID_ATTRIBUTE", field, "must be valid UTF-8")
	}
	for i := 0; i < len(value); i++ {
		if value[i] < 0x20 || value[i] == 0x7f {
			return invalid("INVALID_ATTRIBUTE", field, "must not hold control characters")
		}
	}
	if strings.Trim(value, " ") != value {
		return invalid("INVALID_ATTRIBUTE", field, "must not begin or end with a space")
	}
	return nil
}

// CheckAttributes reports every attribute of e that breaks a rule; Data is the catalogue's to check.
func (e Envelope) CheckAttributes() []error {
	var faults []error
	add := func(err error) {
		if err != nil {
			faults = append(faults, err)
		}
	}
	add(CheckTenant(e.Tenant))
	if e.ID == "" {
		add(invalid("INVALID_ATTRIBUTE", "id", "must not be empty"))
	}
	if e.Source == "" {
		add(invalid("INVALID_ATTRIBUTE", "source", "must not be empty"))
	}
	add(checkText("id", e.ID, MaxID))
	add(checkText("source", e.Source, MaxSource))
	add(checkText("subject", e.Subject, MaxSubject))
	add(checkText("partitionKey", e.PartitionKey, MaxKey))
	add(checkText("actor", e.Actor, MaxActor))
	add(checkText("metadata.correlationId", e.CorrelationID, MaxID))
	add(checkText("metadata.causationId", e.CausationID, MaxID))
	add(checkText("traceparent", e.TraceParent, MaxTraceParent))
	if year := e.Time.Year(); year < 1 || year > 9999 {
		add(invalid("INVALID_ATTRIBUTE", "timestamp", "must lie in the years 1 to 9999, which RFC 3339 can write"))
	}
	if len(e.Data) > MaxData {
		add(&domain.Error{
			Kind: domain.TooLarge, Code: "EVENT_TOO_LARGE", Field: "data",
			Message: fmt.Sprintf("event data is %d bytes long; the limit is %d", len(e.Data), MaxData),
		})
	}
	return faults
}

func invalid(code, field, message string) *domain.Error {
	return &domain.Error{Kind: domain.Invalid, Code: code, Field: field, Message: message}
}

func tooLong(field string, got, limit int) *domain.Error {
	return invalid("ATTRIBUTE_TOO_LONG", field, fmt.Sprintf("is %d bytes long; the limit is %d", got, limit))
}

// Pattern selects event types: "build.started" itself, "build.*" for all types that begin with
// "build.", "*" for every type. A star elsewhere stands for exactly one segment.
type Pattern string

// CheckPattern reports which rule a pattern breaks.
func CheckPattern(p string) error {
	if p == "" || len(p) > MaxType {
		return fmt.Errorf("a type pattern must have 1 to %d bytes", MaxType)
	}
	for _, s := range strings.Split(p, ".") {
		if s == "*" {
			continue
		}
		if err := checkSegment(s); err != nil {
			return fmt.Errorf("type pattern %q: %w", p, err)
		}
	}
	return nil
}

// Match tells whether the pattern selects the type.
func (p Pattern) Match(typ string) bool {
	pattern, rest := string(p), typ
	for {
		want, morePattern, patternGoesOn := strings.Cut(pattern, ".")
		got, moreRest, restGoesOn := strings.Cut(rest, ".")
		if want == "*" && !patternGoesOn {
			return true
		}
		if want != "*" && want != got {
			return false
		}
		if !patternGoesOn || !restGoesOn {
			return patternGoesOn == restGoesOn
		}
		pattern, rest = morePattern, moreRest
	}
}
