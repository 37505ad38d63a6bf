package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"github.com/leat-dev/leat/domain"
)

// The exit codes.
const (
	exitOK = iota
	exitFailure
	exitUsage
	exitNotAllowed
	exitNotFound
	exitRejected
	exitUnavailable
)

// codedError ends the program with a code of its own.
type codedError struct {
	code int
	err  error
}

func (e *codedError) Error() string { return e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }

func usage(format string, args ...any) error {
	return &codedError{code: exitUsage, err: fmt.Errorf(format, args...)}
}

func rejected(format string, args ...any) error {
	return &codedError{code: exitRejected, err: fmt.Errorf(format, args...)}
}

// exitCode sorts an error.
func exitCode(err error) int {
	var coded *codedError
	var answer *answerError
	var known *domain.Error
	var unreachable *url.Error
	var network *net.OpError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &coded):
		return coded.code
	case errors.As(err, &answer):
		return exitCodeOfStatus(answer.status)
	case errors.As(err, &known):
		return exitCodeOfKind(known.Kind)
	case errors.Is(err, context.Canceled):
		return exitFailure
	case errors.As(err, &unreachable), errors.As(err, &network),
		errors.Is(err, syscall.EADDRINUSE), errors.Is(err, context.DeadlineExceeded):
		return exitUnavailable
	default:
		return exitFailure
	}
}

func exitCodeOfStatus(status int) int {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return exitNotAllowed
	case http.StatusNotFound:
		return exitNotFound
	case http.StatusRequestTimeout, http.StatusTooManyRequests,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return exitUnavailable
	}
	if status >= 400 && status < 500 {
		return exitRejected
	}
	return exitFailure
}

func exitCodeOfKind(kind domain.Kind) int {
	switch kind {
	case domain.Invalid, domain.Conflict, domain.TooLarge:
		return exitRejected
	case domain.NotFound:
		return exitNotFound
	case domain.Forbidden:
		return exitNotAllowed
	case domain.Unavailable:
		return exitUnavailable
	default:
		return exitFailure
	}
}

// report writes an error as one line, or as a short list, and returns the exit code.
func report(w io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	for i := range lines {
		lines[i] = plain(lines[i])
	}
	fmt.Fprintln(w, "leat: "+strings.Join(lines, "\n  "))
	return exitCode(err)
}
