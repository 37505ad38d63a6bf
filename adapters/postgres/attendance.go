package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/leat-dev/leat/app/fault"
	"github.com/leat-dev/leat/app/settle"
)

// Attend implements settle.Store. It takes no lock but that of the claimant's own row.
func (db *DB) Attend(ctx context.Context, c settle.Claim) (settle.Attendance, error) {
	var a settle.Attendance
	err := db.write(ctx, func(ctx context.Context, t *tx) error {
		ctx = t.ctx(ctx)
		a = settle.Attendance{}
		var types []string
		var lanes int
		var anyone string
		b := &pgx.Batch{}
		b.Queue(db.q.claims, c.Set).QueryRow(func(row pgx.Row) error { return row.Scan(&types, &lanes) })
		b.Queue(db.q.liveOwner, c.Set, db.leaseNow()).QueryRow(func(row pgx.Row) error { return row.Scan(&anyone) })
		b.Queue(db.q.freeLanes, c.Set, db.leaseNow(), c.Owner).QueryRow(func(row pgx.Row) error { return row.Scan(&a.Free) })
		if err := t.conn.SendBatch(ctx, b).Close(); err != nil {
			return knownSet(c.Set, err)
		}
		if err := c.Covers(types); err != nil {
			return err
		}
		if lanes != c.Lanes {
			if err := otherLanes(c, lanes, anyone); err != nil {
				return err
			}
			a.Free = settle.AllLanes(c.Lanes) // the first one deals the slots anew
		}
		var first bool
		b = &pgx.Batch{}
		b.Queue(db.q.attend, c.Set, c.Owner, c.Lanes, c.TTL.Microseconds(), db.leaseNow()).QueryRow(func(row pgx.Row) error { return row.Scan(&first) })
		b.Queue(db.q.attending, c.Set, c.Lanes, db.leaseNow()).QueryRow(func(row pgx.Row) error { return row.Scan(&a.Owners) })
		if err := t.conn.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		fault.Point("postgres.attended")
		if first {
			t.touch(TopicLanes)
		}
		return nil
	})
	return a, doing("attend to the lanes of "+c.Set, err)
}

// Leave implements settle.Store. It also removes those that have died.
func (db *DB) Leave(ctx context.Context, set, owner string) error {
	return doing("leave the lanes of "+set, db.write(ctx, func(ctx context.Context, t *tx) error {
		t.touch(TopicLanes)
		b := &pgx.Batch{}
		b.Queue(db.q.leave, set, owner)
		b.Queue(db.q.absent, set, db.leaseNow())
		err := t.conn.SendBatch(t.ctx(ctx), b).Close()
		fault.Point("postgres.left")
		return err
	}))
}
