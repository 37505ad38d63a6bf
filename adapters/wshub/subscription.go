package wshub

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/leat-dev/leat/app/event"
)

// Limits of one subscription.
const (
	maxTypes    = 64
	maxSubjects = 256
)

// subscription says which events of its tenant a client wants. It is never changed.
type subscription struct {
	types    []event.Pattern // empty: all
	subjects []string        // sorted; empty: all
	after    *int64          // nil: from now on
}

func (s *subscription) matches(e *event.Envelope) bool {
	if len(s.subjects) > 0 {
		if _, found := slices.BinarySearch(s.subjects, e.Subject); !found {
			return false
		}
	}
	for _, p := range s.types {
		if p.Match(e.Type) {
			return true
		}
	}
	return len(s.types) == 0
}

// refusal is why a client's frame was not obeyed.
type refusal struct{ code, message string }

func (r *refusal) Error() string { return r.code + ": " + r.message }

func refuse(code, format string, args ...any) *refusal {
	return &refusal{code: code, message: fmt.Sprintf(format, args...)}
}

// parse reads a client's frame. A member it does not know is refused: a misspelt "types" would
// otherwise select everything.
func parse(text []byte) (*subscription, *refusal) {
	if !utf8.Valid(text) {
		return nil, refuse("INVALID_JSON", "the frame is not UTF-8")
	}
	var head struct {
		Op string `json:"op"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, refuse("INVALID_JSON", "the frame is not a JSON object with a member \"op\": %v", err)
	}
	if head.Op != "subscribe" {
		return nil, refuse("UNKNOWN_OP", "there is no op %.32q; want \"subscribe\"", head.Op)
	}
	var f struct {
		Op       string   `json:"op"`
		Types    []string `json:"types"`
		Subjects []string `json:"subjects"`
		After    *int64   `json:"after"`
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		return nil, refuse("INVALID_FRAME", "the frame is not a subscribe: %v", err)
	}
	s := &subscription{subjects: f.Subjects, after: f.After}
	if len(f.Types) > maxTypes || len(f.Subjects) > maxSubjects {
		return nil, refuse("TOO_MANY_PATTERNS", "%d types and %d subjects; the limits are %d and %d",
			len(f.Types), len(f.Subjects), maxTypes, maxSubjects)
	}
	for _, p := range f.Types {
		if err := event.CheckPattern(p); err != nil {
			return nil, refuse("INVALID_PATTERN", "%v", err)
		}
		s.types = append(s.types, event.Pattern(p))
	}
	for _, subject := range f.Subjects {
		if subject == "" || len(subject) > event.MaxSubject {
			return nil, refuse("INVALID_SUBJECT", "a subject has 1 to %d bytes", event.MaxSubject)
		}
	}
	slices.Sort(s.subjects)
	if f.After != nil && *f.After < 0 {
		return nil, refuse("INVALID_FRAME", "after is %d; want a position, or 0 for the start", *f.After)
	}
	return s, nil
}
