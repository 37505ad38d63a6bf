package sqlite

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/fault"
	"github.com/leat-dev/leat/app/settle"
	"github.com/leat-dev/leat/domain"
)

var _ settle.Store = (*DB)(nil)

// Register implements settle.Store.
func (db *DB) Register(ctx context.Context, r settle.Registration) error {
	return doing("register the handler set "+r.Set, db.write(ctx, func(t *tx) error {
		stored, _, err := db.claims(t, r.Set)
		known := err == nil
		if err != nil && !noRow(err) {
			return err
		}
		types, grown := r.Union(stored)
		if known && !grown {
			return nil
		}
		list, err := json.Marshal(types)
		if err != nil {
			return err
		}
		if known {
			t.w.forget()
			t.touch(TopicSettle)
			if _, err := t.w.exec(db.q.updateSet, string(list), r.Set); err != nil {
				return err
			}
			_, err := t.w.exec(db.q.fenceLanes, r.Set, db.clock.Now().UnixMicro())
			return err
		}
		var begins int64
		if !r.FromStart {
			if err := t.w.row(db.q.head, nil, &begins); err != nil {
				return err
			}
		}
		if _, err := t.w.exec(db.q.insertSet, r.Set, string(list), begins, db.now()); err != nil {
			return err
		}
		fault.Point("sqlite.set-inserted")
		_, err = t.w.exec(db.q.insertCursors, event.Slots, r.Set, begins)
		return err
	}))
}

// claims returns what decides about claims to a set's lanes; an error of noRow when the set is not known.
func (db *DB) claims(t *tx, set string) (types []string, lanes int, err error) {
	var list string
	if err := t.w.row(db.q.setClaims, []any{set}, &list, &lanes); err != nil {
		return nil, 0, err
	}
	return types, lanes, json.Unmarshal([]byte(list), &types)
}

// Forget implements settle.Store.
func (db *DB) Forget(ctx context.Context, set string, types ...string) (settle.Forgotten, error) {
	gone := settle.Forgotten{Types: types}
	err := db.write(ctx, func(t *tx) error {
		stored, _, err := db.claims(t, set)
		if noRow(err) {
			return unknownSet(domain.NotFound, set)
		}
		if err != nil {
			return err
		}
		var owner string
		if err := t.w.row(db.q.liveOwner, []any{set, db.clock.Now().UnixMicro()}, &owner); err != nil {
			return err
		}
		if owner != "" {
			return settle.AtWork(set, owner)
		}
		t.touch(TopicSettle)
		if len(types) > 0 {
			rest, err := settle.Without(set, stored, types)
			if err != nil {
				return err
			}
			list, err := json.Marshal(rest)
			if err != nil {
				return err
			}
			_, err = t.w.exec(db.q.updateSet, string(list), set)
			return err
		}
		gone.Types, gone.Cursors = stored, event.Slots
		if err := t.w.row(db.q.parkedOfSet, []any{set}, &gone.Parked); err != nil {
			return err
		}
		t.w.forget()
		for _, query := range db.q.deleteSet {
			if _, err := t.w.exec(query, set); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return settle.Forgotten{}, doing("forget the handler set "+set, err)
	}
	return gone, nil
}

// SetPaused implements settle.Store; a domain.NotFound error when the set is not known.
func (db *DB) SetPaused(ctx context.Context, set string, paused bool) error {
	return db.write(ctx, func(t *tx) error {
		res, err := t.w.exec(db.q.setPaused, paused, set)
		if err != nil {
			return doing("pause or resume the handler set "+set, err)
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, unknownSet(domain.NotFound, set))
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
	all, err := db.statuses(ctx)
	if err != nil {
		return nil, doing("read how far the handler sets are", err)
	}
	out := make(map[string]settle.Status, len(all))
	for name, s := range all {
		out[name] = *s
	}
	return out, nil
}

func (db *DB) statuses(ctx context.Context) (map[string]*settle.Status, error) {
	q := db.querier(ctx)
	all := map[string]*settle.Status{}
	err := each(ctx, q, db.q.sets, nil, func(scan func(...any) error) error {
		var s settle.Status
		var types string
		if err := scan(&s.Set, &types, &s.Paused, &s.Lanes); err != nil {
			return err
		}
		all[s.Set] = &s
		return json.Unmarshal([]byte(types), &s.Types)
	})
	if err != nil {
		return nil, err
	}
	err = each(ctx, q, db.q.owners, []any{db.clock.Now().UnixMicro()}, func(scan func(...any) error) error {
		var set, owner string
		var lanes int
		if err := scan(&set, &owner, &lanes); err != nil {
			return err
		}
		if s := all[set]; s != nil {
			s.Holds(owner, lanes)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = each(ctx, q, db.q.cursors, nil, func(scan func(...any) error) error {
		var set string
		var slot int
		var position int64
		if err := scan(&set, &slot, &position); err != nil {
			return err
		}
		if s := all[set]; s != nil && slot >= 0 && slot < event.Slots {
			s.Cursors[slot] = position
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all, each(ctx, q, db.q.parkedCounts, nil, func(scan func(...any) error) error {
		var set string
		var parked, redrive int
		if err := scan(&set, &parked, &redrive); err != nil {
			return err
		}
		if s := all[set]; s != nil {
			s.Parked, s.Redrive = parked, redrive
		}
		return nil
	})
}

// errEnough ends each without an error.
var errEnough = errors.New("enough")

// each calls fn for every row of a query.
func each(ctx context.Context, q querier, query string, args []any, fn func(scan func(...any) error) error) (err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := fn(rows.Scan); errors.Is(err, errEnough) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return rows.Err()
}

// one reads the only row of a query.
func one(ctx context.Context, q querier, query string, dest ...any) error {
	return each(ctx, q, query, nil, func(scan func(...any) error) error { return scan(dest...) })
}
