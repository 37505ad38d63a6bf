package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/leat-dev/leat/app/fault"
	"github.com/leat-dev/leat/app/settle"
	"github.com/leat-dev/leat/domain"
)

type laneKey struct {
	set  string
	lane int
}

// Acquire implements settle.Store. An owner that acquires what it holds itself gets a new fence.
// When the lane is taken over, Attempts is one more than the dead owner noted.
func (db *DB) Acquire(ctx context.Context, c settle.Claim) (l settle.Lease, ok bool, err error) {
	if err := c.Validate(); err != nil {
		return settle.Lease{}, false, err
	}
	err = db.write(ctx, func(t *tx) error {
		now := db.clock.Now()
		if err := db.admit(t, c, now.UnixMicro()); err != nil {
			return err
		}
		var before string
		var expires int64
		var released bool
		l = settle.Lease{Set: c.Set, Lane: c.Lane, Owner: c.Owner}
		err := t.w.row(db.q.lane, []any{c.Set, c.Lane}, &before, &l.Fence, &expires, &l.InHand, &l.Attempts, &released)
		if err != nil {
			return err
		}
		live := !released && expires > now.UnixMicro()
		if live && before != c.Owner {
			return nil
		}
		l.Fence++
		l.TakenOver = !released && !live
		if l.TakenOver && l.InHand != 0 {
			l.Attempts++
		}
		if _, err := t.w.exec(db.q.takeLane, c.Owner, l.Fence, now.Add(c.TTL).UnixMicro(), c.Set, c.Lane); err != nil {
			return err
		}
		fault.Point("sqlite.lane-taken")
		delete(t.w.fences, laneKey{c.Set, c.Lane})
		ok = true
		return nil
	})
	if err != nil || !ok {
		return settle.Lease{}, false, doing(fmt.Sprintf("acquire lane %d of %s", c.Lane, c.Set), err)
	}
	return l, true, nil
}

// admit refuses claims to lanes that the claimant may not have, and deals the slots to as many lanes
// as it claims where nobody holds any.
func (db *DB) admit(t *tx, c settle.Claim, now int64) error {
	types, lanes, err := db.claims(t, c.Set)
	if noRow(err) {
		return unknownSet(domain.NotFound, c.Set)
	}
	if err != nil {
		return err
	}
	if err := c.Covers(types); err != nil || lanes == c.Lanes {
		return err
	}
	if err := db.otherLanes(t, c, lanes, now); err != nil {
		return err
	}
	var fence int64
	var released bool
	if err := t.w.row(db.q.oldLanes, []any{c.Set}, &fence, &released); err != nil {
		return err
	}
	t.w.forget()
	if _, err := t.w.exec(db.q.dropLanes, c.Set); err != nil {
		return err
	}
	if _, err := t.w.exec(db.q.newLanes, c.Lanes, c.Set, fence+1, released); err != nil {
		return err
	}
	_, err = t.w.exec(db.q.setLanes, c.Lanes, c.Set)
	return err
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
			fault.Point("sqlite.lease-renewed")
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
		t.touch(TopicLanes)
		_, err := t.w.exec(db.q.releaseLane, l.Set, l.Lane, l.Fence)
		fault.Point("sqlite.lane-released")
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
		fault.Point("sqlite.in-hand-noted")
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
		fault.Point("sqlite.leases-expired")
		return err
	}))
}
