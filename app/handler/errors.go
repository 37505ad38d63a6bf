package handler

import (
	"errors"
)

// Permanent marks an error that another attempt cannot mend: the event goes to the dead letters
// at once. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &controlError{err: err, permanent: true}
}

// Unavailable marks an error that is not about the event: something the handler needs is down. The
// whole set pauses with back-off, and no attempt is counted. Unavailable(nil) is nil.
func Unavailable(err error) error {
	if err == nil {
		return nil
	}
	return &controlError{err: err}
}

// IsPermanent tells whether err was marked by Permanent.
func IsPermanent(err error) bool {
	var c *controlError
	return errors.As(err, &c) && c.permanent
}

// IsUnavailable tells whether err was marked by Unavailable.
func IsUnavailable(err error) bool {
	var c *controlError
	return errors.As(err, &c) && !c.permanent
}

type controlError struct {
	err       error
	permanent bool
}

func (c *controlError) Error() string { return c.err.Error() }
func (c *controlError) Unwrap() error { return c.err }
