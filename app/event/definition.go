package event

import (
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/leat-dev/leat/domain"
)

// Definition says how one domain event travels: its kind, the version of its schema, whether it
// goes to the live feed, and how data of older versions becomes data of this one.
// Make it with Define; faults show when a catalogue is built.
type Definition struct {
	typ      string
	goType   reflect.Type
	kind     Kind
	version  int
	realtime bool
	upcasts  map[int]UpcastFunc
	faults   []error
}

// Definitions is a list of definitions, as a package of handlers declares it.
type Definitions []Definition

// UpcastFunc turns data of one schema version into data of the next.
type UpcastFunc func(json.RawMessage) (json.RawMessage, error)

// Option changes a definition.
type Option func(*Definition)

// Version says that the type is at schema version n, from 1. Without it the version is 1.
func Version(n int) Option { return func(d *Definition) { d.version = n } }

// Realtime sends the event to the live feed right after its commit.
func Realtime() Option { return func(d *Definition) { d.realtime = true } }

// Upcast says how data of version from becomes data of version from+1. Events are stored as they
// were written and upcast each time they are read.
func Upcast(from int, fn UpcastFunc) Option {
	return func(d *Definition) {
		if d.upcasts == nil {
			d.upcasts = map[int]UpcastFunc{}
		}
		d.upcasts[from] = fn
	}
}

// Define says how the events of type T travel. It never fails by itself: NewCatalogue reports all
// faults of all definitions at once.
func Define[T domain.Event](kind Kind, opts ...Option) Definition {
	d := Definition{goType: reflect.TypeFor[T](), kind: kind, version: 1}
	for _, opt := range opts {
		opt(&d)
	}
	if d.goType.Kind() != reflect.Struct {
		d.faults = append(d.faults, fmt.Errorf("event %v: an event must be a struct, not a pointer or another kind of type", d.goType))
		return d
	}
	var zero T
	d.typ = zero.EventType()
	_, isAlert := any(zero).(domain.Alert)
	switch {
	case !kind.valid():
		d.faults = append(d.faults, fmt.Errorf("event %q: %q is no kind of event", d.typ, kind))
	case kind == Alert && !isAlert:
		d.faults = append(d.faults, fmt.Errorf("event %q: an alert needs the method Severity() domain.Severity on %v", d.typ, d.goType))
	}
	return d
}

// Type is the event type's name.
func (d Definition) Type() string { return d.typ }

// Kind is the kind of the type's events.
func (d Definition) Kind() Kind { return d.kind }

// SchemaVersion is the current version of the type's data.
func (d Definition) SchemaVersion() int { return d.version }

// IsRealtime tells whether the type's events go to the live feed by the fast path.
func (d Definition) IsRealtime() bool { return d.realtime }

// GoType is the struct that the type's data decodes into.
func (d Definition) GoType() reflect.Type { return d.goType }

// check returns every rule that the definition breaks.
func (d Definition) check() []error {
	faults := append([]error(nil), d.faults...)
	if d.typ != "" || len(faults) == 0 {
		if err := CheckType(d.typ); err != nil {
			faults = append(faults, err)
		}
	}
	if d.version < 1 {
		faults = append(faults, fmt.Errorf("event %q: schema version %d must be 1 or more", d.typ, d.version))
	}
	for from := range d.upcasts {
		if from < 1 || from >= d.version {
			faults = append(faults, fmt.Errorf("event %q: an upcast from version %d has no place: the current version is %d", d.typ, from, d.version))
		}
	}
	for from := 1; from < d.version; from++ {
		if d.upcasts[from] == nil {
			faults = append(faults, fmt.Errorf("event %q: version %d cannot be read: there is no upcast from it to version %d", d.typ, from, from+1))
		}
	}
	return faults
}
