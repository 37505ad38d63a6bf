package sqlite

// Queued is how many callers wait for the committer.
func (db *DB) Queued() int { return len(db.committer.queue) }
