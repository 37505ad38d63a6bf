package sqlite

import (
	"context"
	"encoding/json"

	"github.com/leat-dev/leat/app/fault"
	"github.com/leat-dev/leat/app/settle"
	"github.com/leat-dev/leat/domain"
)

// Attend implements settle.Store.
func (db *DB) Attend(ctx context.Context, c settle.Claim) (settle.Attendance, error) {
	var a settle.Attendance
	err := db.write(ctx, func(t *tx) error {
		a = settle.Attendance{}
		now := db.clock.Now()
		types, lanes, err := db.claims(t, c.Set)
		if noRow(err) {
			return unknownSet(domain.NotFound, c.Set)
		}
		if err != nil {
			return err
		}
		if err := c.Covers(types); err != nil {
			return err
		}
		if lanes == c.Lanes {
			var free string
			if err := t.w.row(db.q.freeLanes, []any{c.Set, now.UnixMicro(), c.Owner}, &free); err != nil {
				return err
			}
			if err := json.Unmarshal([]byte(free), &a.Free); err != nil {
				return err
			}
		} else {
			if err := db.otherLanes(t, c, lanes, now.UnixMicro()); err != nil {
				return err
			}
			a.Free = settle.AllLanes(c.Lanes) // the first one deals the slots anew
		}
		var known int
		if err := t.w.row(db.q.attends, []any{c.Set, c.Owner, c.Lanes, now.UnixMicro()}, &known); err != nil {
			return err
		}
		if known == 0 {
			t.touch(TopicLanes)
			if _, err := t.w.exec(db.q.absent, c.Set, now.UnixMicro()); err != nil {
				return err
			}
		}
		if _, err := t.w.exec(db.q.attend, c.Set, c.Owner, c.Lanes, now.Add(c.TTL).UnixMicro()); err != nil {
			return err
		}
		fault.Point("sqlite.attended")
		return t.w.row(db.q.attending, []any{c.Set, c.Lanes, now.UnixMicro()}, &a.Owners)
	})
	return a, doing("attend to the lanes of "+c.Set, err)
}

// otherLanes refuses a claim while somebody holds one of another number of lanes.
func (db *DB) otherLanes(t *tx, c settle.Claim, lanes int, now int64) error {
	var owner string
	if err := t.w.row(db.q.liveOwner, []any{c.Set, now}, &owner); err != nil {
		return err
	}
	if owner != "" {
		return &settle.OtherLanes{Set: c.Set, InForce: lanes, Claimed: c.Lanes, Owner: owner}
	}
	return nil
}

// Leave implements settle.Store.
func (db *DB) Leave(ctx context.Context, set, owner string) error {
	return doing("leave the lanes of "+set, db.write(ctx, func(t *tx) error {
		t.touch(TopicLanes)
		_, err := t.w.exec(db.q.leave, set, owner)
		fault.Point("sqlite.left")
		return err
	}))
}
