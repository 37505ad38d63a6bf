package postgres

import "github.com/jonboulle/clockwork"

// LeaseClock lets a test move the time of leases, which is the database's otherwise.
func LeaseClock(db *DB, clock clockwork.Clock) { db.leases = clock }
