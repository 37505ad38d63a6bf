package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/leat-dev/leat/app/settle"
)

type laneKey struct {
	set  string
	lane int
}

// Acquire implements settle.Store. An owner that acquires what it holds itself gets a new fence.
// When the lane is taken over, Attempts is one more than the dead owner noted.
func (db *DB) Acquire(ctx context.Context, set string, lane int, owner string, ttl time.Duration) (l settle.Lease, ok bool, err error) {
	err = db.write(ctx, func(t *tx) error {
		var before string
		var expires int64
		var released bool
		l = settle.Lease{Set: set, Lane: lane, Owner: owner}
		err := t.w.row(db.q.lane, []any{set, lane}, &before, &l.Fence, &expires, &l.InHand, &l.Attempts, &released)
		known := err == nil
		if err != nil && !noRow(err) {
			return err
		}
		now := db.clock.Now()
		live := known && !released && expires > now.UnixMicro()
		if live && before != owner {
			return nil
		}
		l.Fence++
		l.TakenOver = known && !released && !live
		if l.TakenOver && l.InHand != 0 {
			l.Attempts++
		}
		if _, err := t.w.exec(db.q.takeLane, set, lane, owner, l.Fence, now.Add(ttl).UnixMicro()); err != nil {
			return err
		}
		delete(t.w.fences, laneKey{set, lane})
		ok = true
		return nil
	})
	if err != nil || !ok {
		return settle.Lease{}, false, doing(fmt.Sprintf("acquire lane %d of %s", lane, set), err)
	}
	return l, true, nil
}

// Renew implements settle.Store. A lease that has run out is renewed as long as nobody took it.
func (db *DB) Renew(ctx context.Context, leases []settle.Lease, ttl time.Duration) (lost []settle.Lease, err error) {
	if len(leases) == 0 {
		return nil, nil
	}
	err = db.write(ctx, func(t *tx) error {
		expires := db.clock.Now().Add(ttl).UnixMicro()
		for _, l := range leases {
			res, err := t.w.exec(db.q.renewLane, expires, l.Set, l.Lane, l.Fence)
			if err != nil {
				return err
			}
			if n, err := res.RowsAffected(); err != nil {
				return err
			} else if n == 0 {
				lost = append(lost, l)
			}
		}
		return nil
	})
	if err != nil {
		return nil, doing("renew leases", err)
	}
	return lost, nil
}

// Release implements settle.Store. Letting go of a lane that is lost already is no error.
func (db *DB) Release(ctx context.Context, l settle.Lease) error {
	return doing(fmt.Sprintf("release lane %d of %s", l.Lane, l.Set), db.write(ctx, func(t *tx) error {
		delete(t.w.fences, laneKey{l.Set, l.Lane})
		_, err := t.w.exec(db.q.releaseLane, l.Set, l.Lane, l.Fence)
		return err
	}))
}

// NoteInHand implements settle.Store.
func (db *DB) NoteInHand(ctx context.Context, l settle.Lease, position int64, attempts int) error {
	return db.write(ctx, func(t *tx) error {
		if err := db.checkFence(t, l); err != nil {
			return err
		}
		_, err := t.w.exec(db.q.noteInHand, position, attempts, l.Set, l.Lane)
		return doing("note the event in hand", err)
	})
}

// checkFence returns settle.ErrFenced unless the lease is the lane's newest and was not released.
func (db *DB) checkFence(t *tx, l settle.Lease) error {
	key := laneKey{l.Set, l.Lane}
	fence, ok := t.w.fences[key]
	if !ok {
		err := t.w.row(db.q.fence, []any{l.Set, l.Lane}, &fence)
		if err != nil && !noRow(err) {
			return doing("check the lease of a lane", err)
		}
		t.w.fences[key] = fence // 0 when there is none; no lease has that
	}
	if fence != l.Fence || fence == 0 {
		return settle.ErrFenced
	}
	return nil
}

// expireLeases ends the leases of the processes that had the file before.
func (db *DB) expireLeases(ctx context.Context) error {
	return doing("expire the leases of dead processes in "+db.path, db.write(ctx, func(t *tx) error {
		_, err := t.w.exec(db.q.expireLeases)
		return err
	}))
}
