package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leat-dev/leat/app/settle"
)

// Acquire implements settle.Store. An owner that acquires what it holds itself gets a new fence.
// When the lane is taken over, Attempts is one more than the dead owner noted.
func (db *DB) Acquire(ctx context.Context, set string, lane int, owner string, ttl time.Duration) (l settle.Lease, ok bool, err error) {
	err = db.write(ctx, func(ctx context.Context, t *tx) error {
		ctx = t.ctx(ctx)
		l = settle.Lease{Set: set, Lane: lane, Owner: owner}
		var before string
		var live, released bool
		b := &pgx.Batch{}
		b.Queue(db.q.newLane, set, lane)
		b.Queue(db.q.lane, set, lane, db.leaseNow()).QueryRow(func(row pgx.Row) error {
			return row.Scan(&before, &l.Fence, &l.InHand, &l.Attempts, &released, &live)
		})
		if err := t.conn.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		live = live && !released
		if live && before != owner {
			return nil
		}
		l.Fence++
		l.TakenOver = !released && !live
		if l.TakenOver && l.InHand != 0 {
			l.Attempts++
		}
		ok = true
		_, err := t.conn.Exec(ctx, db.q.takeLane, set, lane, owner, l.Fence, ttl.Microseconds(), db.leaseNow())
		return err
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
		_, err := t.conn.Exec(t.ctx(ctx), db.q.releaseLane, l.Set, l.Lane, l.Fence)
		return err
	}))
}

// NoteInHand implements settle.Store.
func (db *DB) NoteInHand(ctx context.Context, l settle.Lease, position int64, attempts int) error {
	return db.write(ctx, func(ctx context.Context, t *tx) error {
		tag, err := t.conn.Exec(t.ctx(ctx), db.q.noteInHand, l.Set, l.Lane, l.Fence, position, attempts)
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
