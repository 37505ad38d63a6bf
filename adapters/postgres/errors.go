package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"

	"github.com/leat-dev/leat/domain"
)

// ErrClosed is what every call returns after Close.
var ErrClosed error = &domain.Error{Kind: domain.Unavailable, Code: "STORE_CLOSED", Message: "the store is closed"}

var (
	errEnded    = errors.New("the transaction that this context carries has ended")
	errLost     = errors.New("the connection was lost before the commit")
	errReadOnly = errors.New("a write outside a transaction: use InTx")
	errAborted  = errors.New("PostgreSQL rolled the transaction back: a statement in it had failed")
)

// SQLSTATEs this package acts on.
const (
	deadlockDetected    = "40P01"
	lockNotAvailable    = "55P03"
	readOnlyTransaction = "25006"
)

func sqlState(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// doing says what was being done when err happened. Errors that come from the machine or from
// others rather than from the statement are domain.Unavailable.
func doing(what string, err error) error {
	var known *domain.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, puddle.ErrClosedPool):
		return ErrClosed
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.As(err, &known):
		return fmt.Errorf("%s: %w", what, err)
	case passing(err):
		return domain.Errorf(domain.Unavailable, "STORE_UNAVAILABLE", "%s: %w", what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// passing tells whether the same call may succeed later.
func passing(err error) bool {
	state := sqlState(err)
	if state == "" {
		// What the server did not say comes from the connection.
		return !errors.Is(err, pgx.ErrNoRows) && isConnection(err)
	}
	switch state[:2] {
	case "08", // connection
		"25", // invalid transaction state: a standby, an idle transaction that was ended
		"40", // serialization, deadlock
		"53", // resources
		"55", // a lock
		"57", // the operator: shutdown, a cancelled statement
		"58": // I/O
		return true
	}
	return false
}

// isConnection tells whether the connection is at fault.
func isConnection(err error) bool {
	if err == nil || sqlState(err) != "" {
		return false
	}
	var connect *pgconn.ConnectError
	return errors.As(err, &connect) || pgconn.Timeout(err) || pgconn.SafeToRetry(err) ||
		errors.Is(err, errAborted) || errors.Is(err, errLost) || errors.Is(err, errSilent) || errors.As(err, new(netError)) || isClosed(err)
}

type netError interface {
	error
	Timeout() bool
	Temporary() bool
}

func isClosed(err error) bool {
	text := err.Error()
	for _, part := range []string{"unexpected EOF", "conn closed", "closed network connection", "bad connection", "conn busy"} {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

// outcomeUnknown is what the callers of a transaction get whose COMMIT was not answered.
func outcomeUnknown(cause error) error {
	return domain.Errorf(domain.Unavailable, "OUTCOME_UNKNOWN",
		"the connection was lost during the commit, so the work may be on disk or not (repeat it under the same ids): %w", cause)
}

// clean makes a text that PostgreSQL can hold: valid UTF-8 without zero bytes.
func clean(s string) string {
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "\uFFFD")
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
