package sqlite

import (
	"context"
	"encoding/json"

	"github.com/leat-dev/leat/app/deadletter"
)

var _ deadletter.Strays = (*DB)(nil)

// BuryStray implements deadletter.Strays.
func (db *DB) BuryStray(ctx context.Context, s deadletter.Stray) error {
	e, err := s.Event(db.clock.Now())
	if err != nil {
		return err
	}
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return doing("keep a message as a dead letter of "+s.Set, db.write(ctx, func(t *tx) error {
		now := db.now()
		_, err := t.w.exec(db.q.buryStray, s.Set, s.Tenant, e.Type, s.Reason, now, now, string(text), s.Key)
		return err
	}))
}

// StrayTaken implements deadletter.Strays.
func (db *DB) StrayTaken(ctx context.Context, tenant, id string) error {
	return db.onStray(ctx, id, func(t *tx, set string, number int64) error {
		_, err := t.w.exec(db.q.strayTaken, number, set, tenant)
		return err
	})
}

// StrayRefused implements deadletter.Strays.
func (db *DB) StrayRefused(ctx context.Context, tenant, id, reason string) error {
	return db.onStray(ctx, id, func(t *tx, set string, number int64) error {
		_, err := t.w.exec(db.q.strayRefused, reason, db.now(), number, set, tenant)
		return err
	})
}

func (db *DB) onStray(ctx context.Context, id string, fn func(t *tx, set string, number int64) error) error {
	set, number, err := deadletter.ParseID(id)
	if err != nil {
		return noLetter(id)
	}
	return doing("note the retry of dead letter "+id, db.write(ctx, func(t *tx) error { return fn(t, set, number) }))
}
