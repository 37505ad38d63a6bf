package deadletter

import (
	"context"
	"fmt"

	"github.com/leat-dev/leat/domain"
)

// TakeIn makes an event of a message, which is in the log when it returns nil. The same message
// again is the same event. A domain.Unavailable or domain.Internal error says that it was not tried, a
// domain.Conflict that it cannot be, and any other that the message is refused.
type TakeIn func(ctx context.Context, tenant string, m Message) error

// Desk is where people decide about letters: a Store that knows what a retry means for a Stray. Its
// message is taken in once more, at once: then it is an event like any other and the letter is gone,
// or the letter stays open with the new reason, and the retry is a domain.Conflict.
type Desk struct {
	Store
	Strays Strays
	TakeIn map[string]TakeIn // by the strays' Set; for the letters of others the Store is asked
}

var _ Store = Desk{}

// RetryDeadLetter gives the event back to its set, or the message to who takes messages in.
func (d Desk) RetryDeadLetter(ctx context.Context, tenant, id, actor string) error {
	set, _, err := ParseID(id)
	takeIn := d.TakeIn[set]
	if err != nil || takeIn == nil {
		return d.Store.RetryDeadLetter(ctx, tenant, id, actor)
	}
	letter, err := d.DeadLetter(ctx, tenant, id)
	if err != nil {
		return err
	}
	if letter.State == Discarded {
		return domain.Errorf(domain.Conflict, "DEAD_LETTER_DISCARDED", "dead letter %q was discarded", id)
	}
	m, err := messageOf(letter.Event)
	if err != nil {
		return err
	}
	if !m.Whole() {
		return domain.Errorf(domain.Conflict, "DEAD_LETTER_CUT",
			"dead letter %q has only the first %d of %d bytes, which are more than an event may have", id, len(m.Data), m.Size)
	}
	err = takeIn(ctx, tenant, m)
	switch kind := domain.KindOf(err); {
	case err == nil:
		return d.Strays.StrayTaken(ctx, tenant, id)
	case kind == domain.Unavailable || kind == domain.Internal || kind == domain.Conflict:
		return fmt.Errorf("take in the message of dead letter %s: %w", id, err)
	}
	if kept := d.Strays.StrayRefused(ctx, tenant, id, err.Error()); kept != nil {
		return kept
	}
	return domain.Errorf(domain.Conflict, "DEAD_LETTER_REFUSED_AGAIN", "dead letter %q is refused again: %w", id, err)
}
