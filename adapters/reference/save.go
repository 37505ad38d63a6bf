package reference

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/leat-dev/leat/adapters/sqlite"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/domain"
)

// store is what the repositories share: state and events go into one transaction.
type store struct {
	db        *sqlite.DB
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
		result, err := s.db.Querier(ctx).ExecContext(ctx, write.query, write.args...)
		if err != nil {
			return fmt.Errorf("write %s: %w", i.id, err)
		}
		if n, err := result.RowsAffected(); err != nil {
			return fmt.Errorf("write %s: %w", i.id, err)
		} else if n == 0 {
			return refused
		}
		drafts := make([]event.Draft, len(pending))
		for n, e := range pending {
			drafts[n] = event.Draft{Event: e, Subject: i.id, Tenant: i.tenant}
		}
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

// scanner is a *sql.Row or *sql.Rows.
type scanner interface{ Scan(dest ...any) error }

// one reads the row that a query finds; missing is the error when there is none.
func one[T any](ctx context.Context, db *sqlite.DB, s statement, read func(scanner) (T, error), missing error) (T, error) {
	found, err := read(db.Querier(ctx).QueryRowContext(ctx, s.query, s.args...))
	if errors.Is(err, sql.ErrNoRows) {
		return found, missing
	}
	return found, err
}

// all reads the rows that a query finds.
func all[T any](ctx context.Context, db *sqlite.DB, s statement, read func(scanner) (T, error)) ([]T, error) {
	rows, err := db.Querier(ctx).QueryContext(ctx, s.query, s.args...)
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

// stamp is a time as it is stored; 0 is no time.
func stamp(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// fromStamp is the inverse of stamp.
func fromStamp(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}
