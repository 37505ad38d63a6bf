package domain

import (
	"errors"
	"fmt"
)

// Kind sorts errors by what the caller can do about them. Adapters map it to a status.
type Kind string

// The kinds of errors.
const (
	Invalid     Kind = "invalid"     // the input is wrong; the same call will fail again
	NotFound    Kind = "not_found"   // there is no such thing, or not for this tenant
	Conflict    Kind = "conflict"    // the state does not allow it, or somebody else was faster
	Forbidden   Kind = "forbidden"   // the caller may not do this
	TooLarge    Kind = "too_large"   // more than a stated limit
	Unavailable Kind = "unavailable" // something this depends on is down; try again later
	Internal    Kind = "internal"    // a fault of the program
)

// Error is an error that a caller of the application may see. Code is a stable literal such as
// "BUILD_NOT_RUNNING"; Field names the part of the input that is wrong, as a path ("data.email").
type Error struct {
	Kind    Kind
	Code    string
	Message string
	Field   string
	Err     error
}

// Error returns the message, with the field and the cause where there are any.
func (e *Error) Error() string {
	s := e.Message
	if e.Field != "" {
		s = e.Field + ": " + s
	}
	if e.Err != nil {
		if _, told := e.Err.(told); !told { //nolint:errorlint // only the direct cause is meant
			s += ": " + e.Err.Error()
		}
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error with a formatted message; %w keeps the cause for errors.Is.
func Errorf(kind Kind, code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	e := &Error{Kind: kind, Code: code, Message: err.Error()}
	if cause := errors.Unwrap(err); cause != nil {
		e.Err = told{cause}
	}
	return e
}

// told keeps a cause reachable for errors.Is and errors.As whose text the message already holds.
type told struct{ error }

func (t told) Unwrap() error { return t.error }

// InField returns a copy of the error that names the field at fault.
func (e *Error) InField(path string) *Error {
	c := *e
	c.Field = path
	return &c
}

// KindOf returns the kind of the first Error in err's chain, Internal when there is none, and ""
// for nil.
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}
