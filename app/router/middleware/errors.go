package middleware

import (
	"context"
	"errors"
	"fmt"

	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/app/settle"
	"github.com/leat-dev/leat/domain"
)

// ErrDrained is the cause of a handler's context that ended because the time for draining was over.
var ErrDrained = errors.New("the time for draining is over")

// ErrTimeout is the cause of a handler's context that ended because the attempt took too long.
var ErrTimeout = errors.New("the attempt took too long")

// finalError marks an error after which the event is not tried again.
type finalError struct{ err error }

func (f *finalError) Error() string { return f.err.Error() }
func (f *finalError) Unwrap() error { return f.err }

// notTheEvents tells whether an error is not about the event, so that no attempt is counted: the
// program is stopping, the lane was lost, or something that is needed is down.
func notTheEvents(ctx context.Context, err error) bool {
	return errors.Is(context.Cause(ctx), ErrDrained) ||
		errors.Is(err, settle.ErrFenced) ||
		handler.IsUnavailable(err) ||
		domain.KindOf(err) == domain.Unavailable && !handler.IsPermanent(err)
}

// PanicError is what a panic of a handler becomes.
type PanicError struct {
	Value any
	Stack []byte
}

// Error names the value; the stack is for the log.
func (p *PanicError) Error() string { return fmt.Sprintf("panic: %v", p.Value) }
