package reference

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/fault"
	"github.com/leat-dev/leat/app/sqltx"
	"github.com/leat-dev/leat/domain"
)

// store is what the repositories share: state and events go into one transaction.
type store struct {
	db        sqltx.Store
	publisher Publisher
}

// aggregate is what domain.Root gives to those that embed it.
type aggregate interface {
	Pending() []domain.Event
	Version() int64
	Stored(version int64)
}

// item says what is being saved.
type item struct {
	tenant string
	id     string
	insert statement // of a new one; does nothing when there is one already
	update statement // of a stored one; changes nothing when the stored version is another
	taken  error     // what a new one gets when there is one already
}

type statement struct {
	query string
	args  []any
}

// save writes the state and then appends the pending events, in one transaction: its own, or the
// one that ctx carries. In the second case the aggregate must not be used again when that one is
// rolled back.
func (s *store) save(ctx context.Context, a aggregate, i item) error {
	version, pending := a.Version(), a.Pending()
	if version > 0 && len(pending) == 0 {
		return nil
	}
	err := s.db.InTx(ctx, func(ctx context.Context) error {
		write, refused := i.update, error(domain.Errorf(domain.Conflict, "CONCURRENT_UPDATE",
			"%s was changed by somebody else since version %d; read it and try again", i.id, version))
		if version == 0 {
			write, refused = i.insert, i.taken
		}
		// Whoever else writes this row waits here until the transaction has ended: the events of an
		// item are appended in the order in which its states were written.
		switch affected, err := s.db.SQL(ctx).Exec(ctx, write.query, write.args...); {
		case err != nil:
			return fmt.Errorf("write %s: %w", i.id, err)
		case affected == 0:
			return refused
		}
		drafts := make([]event.Draft, len(pending))
		for n, e := range pending {
			drafts[n] = event.Draft{Event: e, Subject: i.id, Tenant: i.tenant}
		}
		fault.Point("reference.state-written")
		if _, err := s.publisher.Publish(ctx, drafts...); err != nil {
			return fmt.Errorf("publish the events of %s: %w", i.id, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	a.Stored(version + 1)
	return nil
}

// one reads the row that a query finds; missing is the error when there is none.
func one[T any](ctx context.Context, db sqltx.Store, s statement, read func(sqltx.Row) (T, error), missing error) (T, error) {
	found, err := read(db.SQL(ctx).QueryRow(ctx, s.query, s.args...))
	if errors.Is(err, sql.ErrNoRows) {
		return found, missing
	}
	return found, err
}

// all reads the rows that a query finds.
func all[T any](ctx context.Context, db sqltx.Store, s statement, read func(sqltx.Row) (T, error)) ([]T, error) {
	rows, err := db.SQL(ctx).Query(ctx, s.query, s.args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var found []T
	for rows.Next() {
		v, err := read(rows)
		if err != nil {
			return nil, err
		}
		found = append(found, v)
	}
	return found, rows.Err()
}
