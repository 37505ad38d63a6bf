package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/settle"
	"github.com/leat-dev/leat/domain"
)

var _ settle.Store = (*DB)(nil)

// Register implements settle.Store. A set that does not begin at the start begins after the last
// position that was given: an event that is accepted but has none yet comes after it. Lanes are fenced
// after what their owners are committing.
func (db *DB) Register(ctx context.Context, r settle.Registration) error {
	types, _ := r.Union(nil)
	return doing("register the handler set "+r.Set, db.write(ctx, func(ctx context.Context, t *tx) error {
		ctx = t.ctx(ctx)
		var stored []string
		var lanes int
		b := &pgx.Batch{}
		b.Queue(db.q.register, r.Set, types, r.FromStart, db.now())
		b.Queue(db.q.lockSet, r.Set).QueryRow(func(row pgx.Row) error { return row.Scan(&stored, &lanes) })
		b.Queue(db.q.insertCursors, r.Set, event.Slots)
		if err := t.conn.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		union, grown := r.Union(stored)
		if !grown {
			return nil
		}
		b = &pgx.Batch{}
		b.Queue(db.q.setTypes, union, r.Set)
		b.Queue(db.q.lockLanes, r.Set)
		b.Queue(db.q.fenceLanes, r.Set, db.leaseNow())
		t.touch(TopicSettle)
		return t.conn.SendBatch(ctx, b).Close()
	}))
}

// Forget implements settle.Store.
func (db *DB) Forget(ctx context.Context, set string, types ...string) (settle.Forgotten, error) {
	gone := settle.Forgotten{Types: types}
	err := db.write(ctx, func(ctx context.Context, t *tx) error {
		ctx = t.ctx(ctx)
		var stored []string
		var lanes, parked int
		var owner string
		b := &pgx.Batch{}
		b.Queue(db.q.lockSet, set).QueryRow(func(row pgx.Row) error { return row.Scan(&stored, &lanes) })
		b.Queue(db.q.lockLanes, set)
		b.Queue(db.q.liveOwner, set, db.leaseNow()).QueryRow(func(row pgx.Row) error { return row.Scan(&owner) })
		b.Queue(db.q.parkedOfSet, set).QueryRow(func(row pgx.Row) error { return row.Scan(&parked) })
		err := t.conn.SendBatch(ctx, b).Close()
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return unknownSet(domain.NotFound, set)
		case err != nil:
			return err
		case owner != "":
			return settle.AtWork(set, owner)
		}
		t.touch(TopicSettle)
		if len(types) > 0 {
			rest, err := settle.Without(set, stored, types)
			if err == nil {
				_, err = t.conn.Exec(ctx, db.q.setTypes, rest, set)
			}
			return err
		}
		gone = settle.Forgotten{Types: stored, Cursors: event.Slots, Parked: parked}
		_, err = t.conn.Exec(ctx, db.q.deleteSet, set)
		return err
	})
	if err != nil {
		return settle.Forgotten{}, doing("forget the handler set "+set, err)
	}
	return gone, nil
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
		_, err := pgx.ForEachRow(rows, []any{&s.Set, &s.Types, &s.Paused, &s.Lanes}, func() error {
			one := s
			all[s.Set] = &one
			s.Types = nil
			return nil
		})
		return err
	})
	b.Queue(db.q.owners, db.leaseNow()).Query(func(rows pgx.Rows) error {
		var set, owner string
		var lanes int
		_, err := pgx.ForEachRow(rows, []any{&set, &owner, &lanes}, func() error {
			if s := all[set]; s != nil {
				s.Holds(owner, lanes)
			}
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
