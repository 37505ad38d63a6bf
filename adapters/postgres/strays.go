package postgres

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
	return doing("keep a message as a dead letter of "+s.Set, db.write(ctx, func(ctx context.Context, t *tx) error {
		_, err := t.conn.Exec(t.ctx(ctx), db.q.buryStray, s.Set, s.Tenant, e.Type, clean(s.Reason), db.now(), string(text), clean(s.Key))
		return err
	}))
}

// StrayTaken implements deadletter.Strays.
func (db *DB) StrayTaken(ctx context.Context, tenant, id string) error {
	return db.onStray(ctx, db.q.strayTaken, tenant, id)
}

// StrayRefused implements deadletter.Strays.
func (db *DB) StrayRefused(ctx context.Context, tenant, id, reason string) error {
	return db.onStray(ctx, db.q.strayRefused, tenant, id, clean(reason), db.now())
}

func (db *DB) onStray(ctx context.Context, query, tenant, id string, more ...any) error {
	set, number, err := deadletter.ParseID(id)
	if err != nil || clean(set) != set || clean(tenant) != tenant {
		return noLetter(id)
	}
	return doing("note the retry of dead letter "+id, db.write(ctx, func(ctx context.Context, t *tx) error {
		_, err := t.conn.Exec(t.ctx(ctx), query, append([]any{number, set, tenant}, more...)...)
		return err
	}))
}
