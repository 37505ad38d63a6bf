package sqlite

import (
	"context"
	"errors"
	"fmt"

	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/leat-dev/leat/domain"
)

// ErrClosed is what every call returns after Close.
var ErrClosed error = &domain.Error{Kind: domain.Unavailable, Code: "STORE_CLOSED", Message: "the store is closed"}

var (
	errEnded = errors.New("the transaction that this context carries has ended")
	errLost  = errors.New("SQLite gave up the transaction")
)

// lost is what the callers of a transaction get that was not committed.
func lost(cause error) error {
	return domain.Errorf(domain.Unavailable, "STORE_UNAVAILABLE", "the store kept nothing of the transaction: %w", cause)
}

// doing says what was being done when err happened. Errors that come from the machine rather than
// from the statement are domain.Unavailable.
func doing(what string, err error) error {
	if err == nil {
		return nil
	}
	var known *domain.Error
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &known) {
		return fmt.Errorf("%s: %w", what, err)
	}
	if errors.Is(err, errLost) {
		return domain.Errorf(domain.Unavailable, "STORE_UNAVAILABLE", "%s: %w", what, err)
	}
	var e *driver.Error
	if errors.As(err, &e) {
		switch e.Code() & 0xff {
		case lib.SQLITE_BUSY, lib.SQLITE_LOCKED, lib.SQLITE_IOERR, lib.SQLITE_FULL, lib.SQLITE_CANTOPEN,
			lib.SQLITE_NOMEM, lib.SQLITE_READONLY, lib.SQLITE_CORRUPT, lib.SQLITE_NOTADB, lib.SQLITE_PROTOCOL:
			return domain.Errorf(domain.Unavailable, "STORE_UNAVAILABLE", "%s: %w", what, err)
		}
	}
	return fmt.Errorf("%s: %w", what, err)
}
