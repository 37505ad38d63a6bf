// Package handler is what an author of handlers writes with: a Set is a named group of typed
// reactions to events. The name is the set's durable identity: its cursors, parked events, dead
// letters and metrics go by it.
package handler

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sort"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/domain"
)

// Set is a named group of reactions. Every event that one of them is for is settled by the set
// exactly once: handled, or dead-lettered.
type Set struct {
	name          string
	reactions     []reaction
	policy        Policy
	fromStart     bool
	everyInstance bool
}

// Option is a part of a set: a reaction (On, OnTx…) or a rule of how the set works.
type Option func(*Set)

type reaction struct {
	goType   reflect.Type    // of On and OnTx
	typ      string          // of On and OnTx
	patterns []event.Pattern // of OnMatch and OnMatchTx
	tx       bool
	bind     func(*event.Catalogue) func(context.Context, event.Envelope) error
}

// NewSet makes a set. The name has at most 64 lowercase letters, digits and hyphens and begins
// with a letter. Faults show when the set is bound to a catalogue.
func NewSet(name string, options ...Option) Set {
	s := Set{name: name}
	for _, o := range options {
		o(&s)
	}
	return s
}

// On reacts to events of type T, outside any transaction and at least once: for effects elsewhere.
func On[T domain.Event](fn func(ctx context.Context, e T) error) Option {
	return typed(fn, false)
}

// OnTx reacts to events of type T inside a transaction that commits together with the set's
// cursor: what fn does to the database through ctx takes effect exactly once. It must not do
// anything else, nor wait for anything else.
func OnTx[T domain.Event](fn func(ctx context.Context, e T) error) Option {
	return typed(fn, true)
}

func typed[T domain.Event](fn func(context.Context, T) error, tx bool) Option {
	r := reaction{goType: reflect.TypeFor[T](), tx: tx}
	if r.goType.Kind() == reflect.Struct {
		var zero T
		r.typ = zero.EventType()
	}
	r.bind = func(c *event.Catalogue) func(context.Context, event.Envelope) error {
		return func(ctx context.Context, e event.Envelope) error {
			decoded, err := c.Decode(e)
			if err != nil {
				return undecodable(err)
			}
			return fn(ctx, decoded.(T)) //nolint:forcetypeassert // Bind has compared the types
		}
	}
	return func(s *Set) { s.reactions = append(s.reactions, r) }
}

// undecodable says that trying again is no use, unless a newer process may come.
func undecodable(err error) error {
	if errors.Is(err, event.ErrNewerSchema) {
		return err
	}
	return Permanent(err)
}

// OnMatch reacts to every event whose type one of the patterns selects, as On does, without
// decoding it: Data is upcast to the current schema version.
func OnMatch(fn func(ctx context.Context, e event.Envelope) error, patterns ...event.Pattern) Option {
	return matching(fn, patterns, false)
}

// OnMatchTx is OnMatch inside the transaction, as OnTx is.
func OnMatchTx(fn func(ctx context.Context, e event.Envelope) error, patterns ...event.Pattern) Option {
	return matching(fn, patterns, true)
}

func matching(fn func(context.Context, event.Envelope) error, patterns []event.Pattern, tx bool) Option {
	r := reaction{patterns: patterns, tx: tx}
	r.bind = func(c *event.Catalogue) func(context.Context, event.Envelope) error {
		return func(ctx context.Context, e event.Envelope) error {
			data, err := c.Current(e)
			if err != nil {
				return undecodable(err)
			}
			e.Data = data
			if d, ok := c.Lookup(e.Type); ok {
				e.SchemaVersion = d.SchemaVersion()
			}
			return fn(ctx, e)
		}
	}
	return func(s *Set) { s.reactions = append(s.reactions, r) }
}

// WithPolicy changes how the set works; configuration can still override it.
func WithPolicy(p Policy) Option { return func(s *Set) { s.policy = p } }

// FromStart lets a set that is new to the log begin with its first event. Without it a new set
// begins with what is accepted after the set became known.
func FromStart() Option { return func(s *Set) { s.fromStart = true } }

// EveryInstance runs the set in every process, each with all events from the present end of the
// log, at most once and without record: for pushing to clients that are connected to a process.
func EveryInstance() Option { return func(s *Set) { s.everyInstance = true } }

// Name is the set's durable identity.
func (s Set) Name() string { return s.name }

// Policy is what the set itself says; zero fields mean the default.
func (s Set) Policy() Policy { return s.policy }

// BeginsAtStart tells whether the set begins with the first event of the log.
func (s Set) BeginsAtStart() bool { return s.fromStart }

// RunsEverywhere tells whether every process works all events.
func (s Set) RunsEverywhere() bool { return s.everyInstance }

// Bound is a set whose reactions are tied to the types of a catalogue.
type Bound struct {
	Set
	calls map[string]Call
	types []string
}

// Call is the one reaction of a set to one type.
type Call struct {
	Tx bool // runs in the transaction that settles
	Do func(ctx context.Context, e event.Envelope) error
}

// Bind ties the set to a catalogue. Its error joins every fault: a bad name, no reaction, a reaction to
// a type that is not defined, two reactions to one type, a transactional set on every instance.
func (s Set) Bind(c *event.Catalogue) (*Bound, error) {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("handler set %q: "+format, append([]any{s.name}, args...)...))
	}
	if !validName(s.name) {
		fault("a name has 1 to 64 lowercase letters, digits and hyphens and begins with a letter")
	}
	if len(s.reactions) == 0 {
		fault("it reacts to nothing")
	}
	for _, err := range s.policy.Validate("policy") {
		fault("%w", err)
	}
	b := &Bound{Set: s, calls: map[string]Call{}}
	for _, r := range s.reactions {
		if r.tx && s.everyInstance {
			fault("a set that runs on every instance keeps no record and cannot be transactional")
		}
		for _, typ := range r.selects(c, fault) {
			if _, twice := b.calls[typ]; twice {
				fault("it has two reactions to %q", typ)
				continue
			}
			b.calls[typ] = Call{Tx: r.tx, Do: r.bind(c)}
			b.types = append(b.types, typ)
		}
	}
	sort.Strings(b.types)
	return b, errors.Join(faults...)
}

// selects returns the types that the reaction is for, and reports what is wrong with it.
func (r reaction) selects(c *event.Catalogue, fault func(string, ...any)) []string {
	if r.goType == nil {
		for _, p := range r.patterns {
			if err := event.CheckPattern(string(p)); err != nil {
				fault("%w", err)
			} else if len(c.Match(p)) == 0 {
				fault("no defined event type matches %q", p)
			}
		}
		return c.Match(r.patterns...)
	}
	if r.goType.Kind() != reflect.Struct {
		fault("it reacts to %v; an event is a struct", r.goType)
		return nil
	}
	d, ok := c.Lookup(r.typ)
	if !ok {
		fault("it reacts to %q, which is not defined; add event.Define[%v] to the definitions", r.typ, r.goType)
		return nil
	}
	if d.GoType() != r.goType {
		fault("it reacts to %q as %v, but the type is defined by %v", r.typ, r.goType, d.GoType())
		return nil
	}
	return []string{r.typ}
}

// Types returns what the set subscribes to, sorted.
func (b *Bound) Types() []string { return b.types }

// Call returns the reaction to a type; ok is false when the set does not subscribe to it.
func (b *Bound) Call(typ string) (c Call, ok bool) {
	c, ok = b.calls[typ]
	return c, ok
}

func validName(s string) bool {
	if s == "" || len(s) > 64 || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
