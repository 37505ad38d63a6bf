package httpapi

import (
	"context"
	"errors"

	"github.com/danielgtaylor/huma/v2"
)

// Register adds an operation to the API. Errors that the handler returns become the error body: a
// domain.Error with the status of its kind, a huma.StatusError with its own, anything else as an
// internal error whose cause goes to the log and not to the caller. The context carries the caller
// (event.OriginFrom).
//
// It panics where huma.Register does, on a programming mistake such as two operations of one name.
func Register[I, O any](api huma.API, op huma.Operation, handler func(context.Context, *I) (*O, error)) {
	huma.Register(api, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := handler(ctx, in)
		if err != nil {
			return nil, asStatusError(err)
		}
		return out, nil
	})
}

// failure carries an error through huma to where its body is written.
type failure struct {
	answer answer
	cause  error
}

var _ huma.StatusError = (*failure)(nil)

func (f *failure) Error() string  { return f.cause.Error() }
func (f *failure) Unwrap() error  { return f.cause }
func (f *failure) GetStatus() int { return f.answer.status }

func asStatusError(err error) error {
	var status huma.StatusError
	if errors.As(err, &status) {
		return err
	}
	return &failure{answer: answerFor(err), cause: err}
}
