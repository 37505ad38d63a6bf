package event

import (
	"errors"
	"reflect"
	"sync"
)

var derived sync.Map // reflect.Type to *entry

// Shape tells whether a type's schema has a shape, whether data fits that, and what the schema says.
func Shape(t reflect.Type, data any) (known, fits bool, schema, err error) {
	made, _ := derived.Load(t)
	e, ok := made.(*entry)
	if !ok {
		e = &entry{Definition: Definition{typ: "thing.happened", version: 1, goType: t}}
		if e.schemaJSON, e.schema, err = deriveSchema(e.typ, e.version, t); err != nil {
			return false, false, nil, err
		}
		derived.Store(t, e)
	}
	s, known := shapeOf(e.schema)
	if err := e.schema.Validate(data); err != nil {
		return known, known && s.fits(data), err, nil
	}
	if fault := checkKeys(e.schema, data, "data"); fault != nil {
		return known, known && s.fits(data), errors.New(fault.Reason), nil
	}
	return known, known && s.fits(data), nil, nil
}
