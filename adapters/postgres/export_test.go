package postgres

import "github.com/jonboulle/clockwork"

// LeaseClock lets a test move the time of leases, which is the database's otherwise.
func LeaseClock(db *DB, clock clockwork.Clock) { db.leases = clock }

// Pending is how many works of a set wait for a transaction.
func Pending(db *DB, set string) int {
	db.settlers.mu.Lock()
	defer db.settlers.mu.Unlock()
	if worker := db.settlers.sets[set]; worker != nil {
		return len(worker.pending)
	}
	return 0
}
