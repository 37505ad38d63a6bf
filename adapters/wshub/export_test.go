package wshub

import "github.com/leat-dev/leat/app/event"

// Parsed is a client's frame that was understood.
type Parsed struct{ s *subscription }

// Parse reads a client's frame; code says why it is refused.
func Parse(text []byte) (p Parsed, code string) {
	s, refused := parse(text)
	if refused != nil {
		return Parsed{}, refused.code
	}
	return Parsed{s}, ""
}

// Matches tells whether the client wants the event.
func (p Parsed) Matches(e event.Envelope) bool { return p.s.matches(&e) }

// Its content.
func (p Parsed) Types() []event.Pattern { return p.s.types }
func (p Parsed) Subjects() []string     { return p.s.subjects }
func (p Parsed) After() *int64          { return p.s.after }
