package postgres

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	manyGaps  = 1000             // when a range is looked through instead of single numbers
	wholeLook = 10 * time.Second // how often everything is looked through all the same
)

// assigner gives positions for as long as one connection holds the lock.
//
// It looks only where something can have come: above the highest number it has taken, and at the gaps
// below, numbers that were given out but whose transactions had not committed. Looking through the
// whole table would be as right, but while some transaction stays open PostgreSQL cannot clear
// away the rows that are gone, and every look would have to pass them all.
//
// A gap is given up when its transaction must have ended: whoever inserts takes a transaction id before
// the number, so the transaction of a gap has a lower one than the assignment that found it, and has
// ended once all lower ones have. Until then, also for ever, it costs one look into an index and delays
// nobody. That nothing accepted is ever left behind does not hang on this reasoning: from time to time the
// whole table is looked through.
type assigner struct {
	db   *DB
	conn *pgx.Conn

	high int64            // everything above it is new
	gaps map[int64]uint64 // below high; with the transaction that found each

	old       int64  // everything up to it may hold something; 0 when it is known not to
	oldBefore uint64 // until the transactions below this one have ended
	whole     time.Time
}

func newAssigner(ctx context.Context, db *DB, conn *pgx.Conn) (*assigner, error) {
	a := &assigner{db: db, conn: conn, gaps: map[int64]uint64{}}
	// In this order, and in two statements: whoever has a number up to high has a lower transaction id.
	if err := conn.QueryRow(ctx, "SELECT last_value - CASE WHEN is_called THEN 0 ELSE 1 END FROM "+db.Table("log_seq_seq")).Scan(&a.high); err != nil {
		return nil, err
	}
	var xid string
	if err := conn.QueryRow(ctx, "SELECT pg_current_xact_id()::text").Scan(&xid); err != nil {
		return nil, err
	}
	a.old = a.high
	var err error
	a.oldBefore, err = strconv.ParseUint(xid, 10, 64)
	return a, err
}

// assign gives positions to at most a page of what is committed and returns to how many, and the
// last position there is.
func (a *assigner) assign(ctx context.Context) (n int, head int64, err error) {
	gaps := make([]int64, 0, len(a.gaps))
	for seq := range a.gaps {
		gaps = append(gaps, seq)
	}
	old := a.old
	if time.Since(a.whole) > wholeLook { // of the machine: this is about work, not about what is stored
		a.whole, old = time.Now(), a.high
	}
	var taken []int64
	var running, own string
	if err := a.conn.QueryRow(ctx, a.db.q.assign, old, a.high, gaps, assignPage).Scan(&taken, &head, &running, &own); err != nil {
		return 0, 0, err
	}
	oldest, err := strconv.ParseUint(running, 10, 64)
	if err != nil {
		return 0, 0, err
	}
	var self uint64
	if len(taken) > 0 {
		if self, err = strconv.ParseUint(own, 10, 64); err != nil {
			return 0, 0, err
		}
	}
	a.note(taken, oldest, self)
	return len(taken), head, nil
}

// note brings the picture up to date: taken are the numbers that got positions, ascending, oldest is the lowest
// transaction that was still running, self the one that took them.
func (a *assigner) note(taken []int64, oldest, self uint64) {
	first, _ := slices.BinarySearch(taken, a.high+1)
	for _, seq := range taken[:first] {
		if _, gap := a.gaps[seq]; !gap && seq > a.old {
			a.db.logger.Error("an event was found where none could be; its key may be out of order", "seq", seq)
		}
		delete(a.gaps, seq)
	}
	if len(taken) < assignPage { // a full page may have left some for the next
		if a.old > 0 && oldest >= a.oldBefore {
			a.old = 0
		}
		for seq, found := range a.gaps {
			if oldest >= found {
				delete(a.gaps, seq)
			}
		}
	}
	if first == len(taken) {
		return
	}
	last := taken[len(taken)-1]
	if missing := int(last-a.high) - (len(taken) - first); missing+len(a.gaps) > manyGaps {
		clear(a.gaps)
		a.old, a.oldBefore, a.high = last, self, last
		return
	}
	next := a.high + 1
	for _, seq := range taken[first:] {
		for ; next < seq; next++ {
			a.gaps[next] = self
		}
		next++
	}
	a.high = last
}
