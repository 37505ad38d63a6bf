package postgres

import (
	"net"
	"time"

	"github.com/jonboulle/clockwork"
)

// Patient returns the connection as one on which answers are due within the patience.
func Patient(c net.Conn, patience time.Duration, silent func()) net.Conn {
	return &patient{Conn: c, patience: patience, silent: silent}
}

// ErrSilent is what is read where an answer was due.
var ErrSilent = errSilent

// IsPassing tells whether the same call may succeed later.
func IsPassing(err error) bool { return passing(err) }

// StatementPatience is how long an answer may take.
func StatementPatience(parameters map[string]string, configured time.Duration) time.Duration {
	return statementPatience(parameters, configured)
}

// LeaseClock lets a test move the time of leases, which is the database's otherwise.
func LeaseClock(db *DB, clock clockwork.Clock) { db.leases = clock }

// TakeYourTime lets a transaction take works in for longer than a busy machine may need for a few.
func TakeYourTime(db *DB) { db.settlers.patience = time.Minute }

// Pending is how many works of a set wait for a transaction.
func Pending(db *DB, set string) int {
	db.settlers.mu.Lock()
	defer db.settlers.mu.Unlock()
	if worker := db.settlers.sets[set]; worker != nil {
		return len(worker.pending)
	}
	return 0
}
