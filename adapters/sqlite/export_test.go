package sqlite

import (
	"context"
	"time"
)

// TakeYourTime lets the committer take callers in for as long as their functions need, so that a slow
// machine parts none.
func (db *DB) TakeYourTime(ctx context.Context) error {
	return db.committer.exclusively(ctx, func() error {
		db.committer.patience = time.Hour
		return nil
	})
}

// Queued is how many callers wait for the committer.
func (db *DB) Queued() int { return len(db.committer.queue) }
