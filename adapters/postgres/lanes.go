package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leat-dev/leat/app/fault"
	"github.com/leat-dev/leat/app/settle"
	"github.com/leat-dev/leat/domain"
)

// Acquire implements settle.Store. An owner that acquires what it holds itself gets a new fence.
// When the lane is taken over, Attempts is one more than the dead owner noted.
func (db *DB) Acquire(ctx context.Context, c settle.Claim) (l settle.Lease, ok bool, err error) {
	err = c.Validate()
	if err != nil {
		return settle.Lease{}, false, err
	}
	// Most claims are to lanes of somebody who is alive. They are turned away without a lock, for which
	// they would have to wait until that one has committed.
	deal, free, err := db.lookAtLane(ctx, c)
	if err == nil && free {
		err = db.write(ctx, func(ctx context.Context, t *tx) error {
			l, ok, err = db.take(t.ctx(ctx), t, c, deal)
			return err
		})
	}
	if err != nil || !ok {
		return settle.Lease{}, false, doing(fmt.Sprintf("acquire lane %d of %s", c.Lane, c.Set), err)
	}
	return l, true, nil
}

// lookAtLane tells whether a claim is worth the locks, and whether the slots must be dealt anew for it.
func (db *DB) lookAtLane(ctx context.Context, c settle.Claim) (deal, free bool, err error) {
	ctx, q, err := db.reader(ctx)
	if err != nil {
		return false, false, err
	}
	var types []string
	var lanes int
	var owner, anyone string
	var live bool
	b := &pgx.Batch{}
	b.Queue(db.q.lookAtLane, c.Set, c.Lane, db.leaseNow()).QueryRow(func(row pgx.Row) error {
		return row.Scan(&types, &lanes, &owner, &live)
	})
	b.Queue(db.q.liveOwner, c.Set, db.leaseNow()).QueryRow(func(row pgx.Row) error { return row.Scan(&anyone) })
	if err := q.SendBatch(ctx, b).Close(); err != nil {
		return false, false, knownSet(c.Set, err)
	}
	if err := c.Covers(types); err != nil {
		return false, false, err
	}
	if lanes == c.Lanes {
		return false, !live || owner == c.Owner, nil
	}
	return true, true, otherLanes(c, lanes, anyone)
}

// take takes the lane if it is free. deal says that the slots are to be dealt anew.
func (db *DB) take(ctx context.Context, t *tx, c settle.Claim, deal bool) (l settle.Lease, ok bool, err error) {
	lock := db.q.shareSet
	if deal {
		lock = db.q.lockSet
	}
	var types []string
	var lanes int
	if err := t.conn.QueryRow(ctx, lock, c.Set).Scan(&types, &lanes); err != nil {
		return l, false, knownSet(c.Set, err)
	}
	if err := c.Covers(types); err != nil {
		return l, false, err
	}
	if lanes != c.Lanes {
		if !deal {
			return l, false, nil // dealt anew since it was looked at
		}
		if err := db.deal(ctx, t, c, lanes); err != nil {
			return l, false, err
		}
	}
	l = settle.Lease{Set: c.Set, Lane: c.Lane, Owner: c.Owner}
	var before string
	var live, released bool
	if err := t.conn.QueryRow(ctx, db.q.lane, c.Set, c.Lane, db.leaseNow()).Scan(&before, &l.Fence, &l.InHand, &l.Attempts, &released, &live); err != nil {
		return l, false, err
	}
	live = live && !released
	if live && before != c.Owner {
		return l, false, nil
	}
	l.Fence++
	l.TakenOver = !released && !live
	if l.TakenOver && l.InHand != 0 {
		l.Attempts++
	}
	_, err = t.conn.Exec(ctx, db.q.takeLane, c.Set, c.Lane, c.Owner, l.Fence, c.TTL.Microseconds(), db.leaseNow())
	fault.Point("postgres.lane-taken")
	return l, true, err
}

// deal deals the slots of a set to as many lanes as claimed, unless somebody holds one of the old
// ones. The row of the set is locked.
func (db *DB) deal(ctx context.Context, t *tx, c settle.Claim, lanes int) error {
	var owner string
	var fence int64
	var released bool
	b := &pgx.Batch{}
	b.Queue(db.q.lockLanes, c.Set)
	b.Queue(db.q.liveOwner, c.Set, db.leaseNow()).QueryRow(func(row pgx.Row) error { return row.Scan(&owner) })
	b.Queue(db.q.oldLanes, c.Set).QueryRow(func(row pgx.Row) error { return row.Scan(&fence, &released) })
	if err := t.conn.SendBatch(ctx, b).Close(); err != nil {
		return err
	}
	if err := otherLanes(c, lanes, owner); err != nil {
		return err
	}
	b = &pgx.Batch{}
	b.Queue(db.q.dropLanes, c.Set)
	b.Queue(db.q.newLanes, c.Set, c.Lanes, fence+1, released)
	b.Queue(db.q.setLanes, c.Lanes, c.Set)
	return t.conn.SendBatch(ctx, b).Close()
}

// otherLanes is the error of a claim while somebody holds one of another number of lanes.
func otherLanes(c settle.Claim, lanes int, owner string) error {
	if owner == "" {
		return nil
	}
	return &settle.OtherLanes{Set: c.Set, InForce: lanes, Claimed: c.Lanes, Owner: owner}
}

// knownSet says that a set is not known where its row was not found.
func knownSet(set string, err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return unknownSet(domain.NotFound, set)
	}
	return err
}

// Renew implements settle.Store. A lease that has run out is renewed as long as nobody took it.
func (db *DB) Renew(ctx context.Context, leases []settle.Lease, ttl time.Duration) (lost []settle.Lease, err error) {
	if len(leases) == 0 {
		return nil, nil
	}
	lanes, fences := map[string][]int32{}, map[string][]int64{}
	for _, l := range leases {
		lanes[l.Set], fences[l.Set] = append(lanes[l.Set], int32(l.Lane)), append(fences[l.Set], l.Fence)
	}
	type key struct {
		set  string
		lane int
	}
	kept := map[key]bool{}
	err = db.write(ctx, func(ctx context.Context, t *tx) error {
		for set := range lanes {
			b := &pgx.Batch{}
			b.Queue(db.q.lockLeases, set, lanes[set])
			b.Queue(db.q.renewLanes, set, lanes[set], fences[set], ttl.Microseconds(), db.leaseNow()).Query(func(rows pgx.Rows) error {
				var lane int
				_, err := pgx.ForEachRow(rows, []any{&lane}, func() error {
					kept[key{set, lane}] = true
					return nil
				})
				return err
			})
			if err := t.conn.SendBatch(t.ctx(ctx), b).Close(); err != nil {
				return err
			}
			fault.Point("postgres.leases-renewed")
		}
		return nil
	})
	if err != nil {
		return nil, doing("renew leases", err)
	}
	for _, l := range leases {
		if !kept[key{l.Set, l.Lane}] {
			lost = append(lost, l)
		}
	}
	return lost, nil
}

// Release implements settle.Store. Letting go of a lane that is lost already is no error.
func (db *DB) Release(ctx context.Context, l settle.Lease) error {
	return doing(fmt.Sprintf("release lane %d of %s", l.Lane, l.Set), db.write(ctx, func(ctx context.Context, t *tx) error {
		t.touch(TopicLanes)
		_, err := t.conn.Exec(t.ctx(ctx), db.q.releaseLane, l.Set, l.Lane, l.Fence)
		fault.Point("postgres.lane-released")
		return err
	}))
}

// NoteInHand implements settle.Store.
func (db *DB) NoteInHand(ctx context.Context, l settle.Lease, position int64, attempts int) error {
	return db.write(ctx, func(ctx context.Context, t *tx) error {
		tag, err := t.conn.Exec(t.ctx(ctx), db.q.noteInHand, l.Set, l.Lane, l.Fence, position, attempts)
		fault.Point("postgres.in-hand-noted")
		if err == nil && tag.RowsAffected() == 0 {
			return settle.ErrFenced
		}
		return doing("note the event in hand", err)
	})
}

// checkFence returns settle.ErrFenced unless the lease is the lane's newest and was not released;
// it stays so until the end of the transaction.
func (db *DB) checkFence(ctx context.Context, t *tx, l settle.Lease) error {
	var fence int64
	err := t.conn.QueryRow(t.ctx(ctx), db.q.fence, l.Set, l.Lane).Scan(&fence)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return doing("check the lease of a lane", err)
	}
	if fence != l.Fence || fence == 0 {
		return settle.ErrFenced
	}
	return nil
}
