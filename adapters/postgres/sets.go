package postgres

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/settle"
	"github.com/leat-dev/leat/domain"
)

var _ settle.Store = (*DB)(nil)

// Register implements settle.Store. A set that does not begin at the start begins after the last
// position that was given: an event that is accepted but has none yet comes after it.
func (db *DB) Register(ctx context.Context, r settle.Registration) error {
	types := slices.Clone(r.Types)
	if types == nil {
		types = []string{}
	}
	slices.Sort(types)
	return doing("register the handler set "+r.Set, db.write(ctx, func(ctx context.Context, t *tx) error {
		b := &pgx.Batch{}
		b.Queue(db.q.register, r.Set, types, r.FromStart, db.now())
		b.Queue(db.q.insertCursors, r.Set, event.Slots)
		return t.conn.SendBatch(t.ctx(ctx), b).Close()
	}))
}

// Forget implements settle.Store.
func (db *DB) Forget(ctx context.Context, set string) error {
	return doing("forget the handler set "+set, db.write(ctx, func(ctx context.Context, t *tx) error {
		t.touch(TopicSettle)
		_, err := t.conn.Exec(t.ctx(ctx), db.q.deleteSet, set)
		return err
	}))
}

// SetPaused implements settle.Store; a domain.NotFound error when the set is not known.
func (db *DB) SetPaused(ctx context.Context, set string, paused bool) error {
	return db.write(ctx, func(ctx context.Context, t *tx) error {
		tag, err := t.conn.Exec(t.ctx(ctx), db.q.setPaused, paused, set)
		if err != nil {
			return doing("pause or resume the handler set "+set, err)
		}
		if tag.RowsAffected() == 0 {
			return unknownSet(domain.NotFound, set)
		}
		t.touch(TopicSettle)
		return nil
	})
}

func unknownSet(kind domain.Kind, set string) error {
	return domain.Errorf(kind, "HANDLER_NOT_FOUND", "no handler set %q is known", set)
}

// Statuses implements settle.Store.
func (db *DB) Statuses(ctx context.Context) (map[string]settle.Status, error) {
	all := map[string]*settle.Status{}
	b := &pgx.Batch{}
	b.Queue(db.q.sets).Query(func(rows pgx.Rows) error {
		var s settle.Status
		_, err := pgx.ForEachRow(rows, []any{&s.Set, &s.Types, &s.Paused}, func() error {
			one := s
			all[s.Set] = &one
			s.Types = nil
			return nil
		})
		return err
	})
	b.Queue(db.q.cursors).Query(func(rows pgx.Rows) error {
		var set string
		var slot int
		var position int64
		_, err := pgx.ForEachRow(rows, []any{&set, &slot, &position}, func() error {
			if s := all[set]; s != nil && slot >= 0 && slot < event.Slots {
				s.Cursors[slot] = position
			}
			return nil
		})
		return err
	})
	b.Queue(db.q.parkedCounts).Query(func(rows pgx.Rows) error {
		var set string
		var parked, redrive int
		_, err := pgx.ForEachRow(rows, []any{&set, &parked, &redrive}, func() error {
			if s := all[set]; s != nil {
				s.Parked, s.Redrive = parked, redrive
			}
			return nil
		})
		return err
	})
	ctx, q, err := db.reader(ctx)
	if err == nil {
		err = q.SendBatch(ctx, b).Close()
	}
	if err != nil {
		return nil, doing("read how far the handler sets are", err)
	}
	out := make(map[string]settle.Status, len(all))
	for name, s := range all {
		out[name] = *s
	}
	return out, nil
}
