// Package emailtest is the conformance suite of the email queue's ports.
package emailtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/domain"
	"github.com/leat-dev/leat/handlers/email"
)

// Subject is an implementation under test, empty.
type Subject struct {
	Queue  email.Queue
	Reader email.Reader
	Tx     eventlog.Transactor
	// Enqueue puts mails in as the notify set does; their ids are left to the store.
	Enqueue func(ctx context.Context, mails ...email.Mail) error
	// Advance moves the clock that the store goes by.
	Advance func(d time.Duration)
}

// Test runs the suite. open returns a fresh subject, of which a test may want several one after the
// other, and cleans it up with t.
func Test(t *testing.T, open func(t *testing.T) Subject) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Subject)
	}{
		{"what is enqueued is claimed", roundTrip},
		{"one row for each event and recipient", idempotence},
		{"a rolled back mail is not there", rollBack},
		{"oldest first, no more than asked for", claimOrder},
		{"two owners share", sharing},
		{"sent", sent},
		{"failed", failed},
		{"retry waits for its pause", retry},
		{"release makes no attempt", release},
		{"an attempt whose lease ran out counts", leaseEnds},
		{"a lease that ran out before the attempt", leaseEndsUnsent},
		{"a lost claim changes nothing", lostClaim},
		{"an outcome that is rolled back", outcomeRollBack},
		{"several at once", severalAtOnce},
		{"several at once that are rolled back", severalRolledBack},
		{"changed", changed},
		{"newest first, page by page", pages},
		{"tenants do not meet", tenants},
		{"bad queries", badQueries},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, open(t))
		})
	}
	t.Run("model", func(t *testing.T) {
		t.Parallel()
		model(t, open)
	})
}

const lease = time.Minute

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC)

func mail(eventID, address string) email.Mail {
	return email.Mail{
		Requested: event.Envelope{
			ID: eventID, Type: "notification.requested", SchemaVersion: 1, Kind: event.Notification, Source: "leat",
			Subject: "p1", Tenant: "acme", Actor: "ada", Time: epoch, PartitionKey: "p1", CorrelationID: "c1",
			CausationID: "cause", Depth: 2, TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
			Slot: event.SlotOf("acme", "p1"),
		},
		To:       email.Recipient{Address: address, Name: "Grace", Role: "watcher"},
		Template: "welcome", Data: json.RawMessage(`{"n":1}`),
	}
}

func (s Subject) enqueue(t *testing.T, mails ...email.Mail) {
	t.Helper()
	require.NoError(t, s.Enqueue(t.Context(), mails...))
}

func (s Subject) claim(t *testing.T, owner string, limit int) []email.Claimed {
	t.Helper()
	claims, err := s.Queue.Claim(t.Context(), owner, limit, lease)
	require.NoError(t, err)
	return claims
}

// one claims the only mail there is.
func (s Subject) one(t *testing.T) email.Claimed {
	t.Helper()
	claims := s.claim(t, "a", 10)
	require.Len(t, claims, 1)
	return claims[0]
}

func (s Subject) mark(t *testing.T, c email.Claimed) {
	t.Helper()
	require.NoError(t, s.Queue.MarkSending(t.Context(), c, email.Record{Subject: "Welcome", MessageID: "m@example.com"}))
}

func (s Subject) list(t *testing.T, q email.Query) []email.Email {
	t.Helper()
	if q.Tenant == "" {
		q.Tenant = "acme"
	}
	emails, _, err := s.Reader.Emails(t.Context(), q)
	require.NoError(t, err)
	return emails
}

func roundTrip(t *testing.T, s Subject) {
	want := mail("e1", "Grace@Example.com")
	s.enqueue(t, want)
	queued := s.list(t, email.Query{})
	require.Len(t, queued, 1)
	require.Equal(t, email.Email{
		ID: queued[0].ID, Status: email.StatusQueued, To: "Grace@Example.com", Template: "welcome",
		Created: queued[0].Created, EventID: "e1",
	}, queued[0])
	require.NotEmpty(t, queued[0].ID)
	require.False(t, queued[0].Created.IsZero())

	got := s.one(t)
	require.JSONEq(t, string(want.Data), string(got.Data))
	want.ID, want.Data = queued[0].ID, got.Data
	require.Equal(t, want, got.Mail)
	require.Zero(t, got.Attempts)
	require.Empty(t, got.LastError)

	require.Equal(t, email.StatusQueued, s.list(t, email.Query{})[0].Status, "a claim alone is no attempt")
	s.mark(t, got)
	sending := s.list(t, email.Query{})[0]
	require.Equal(t, email.StatusSending, sending.Status)
	require.Equal(t, 1, sending.Attempts)
	require.Equal(t, "Welcome", sending.Subject)
	require.Equal(t, "m@example.com", sending.MessageID)
}

func idempotence(t *testing.T, s Subject) {
	s.enqueue(t, mail("e1", "grace@example.com"), mail("e1", "GRACE@example.com"))
	s.enqueue(t, mail("e1", "grace@example.com"))
	require.Len(t, s.list(t, email.Query{}), 1)

	otherSource := mail("e1", "grace@example.com")
	otherSource.Requested.Source = "elsewhere"
	s.enqueue(t, mail("e2", "grace@example.com"), mail("e1", "ada@example.com"), otherSource)
	require.Len(t, s.list(t, email.Query{}), 4)

	for _, c := range s.claim(t, "a", 10) {
		s.mark(t, c)
		require.NoError(t, s.Queue.Finish(t.Context(), c, email.Outcome{Status: email.StatusSent}))
	}
	s.enqueue(t, mail("e1", "grace@example.com"))
	require.Empty(t, s.claim(t, "a", 10), "what is sent is not sent again")
}

var errBack = errors.New("roll back")

func rollBack(t *testing.T, s Subject) {
	require.ErrorIs(t, s.Tx.InTx(t.Context(), func(ctx context.Context) error {
		if err := s.Enqueue(ctx, mail("e1", "grace@example.com")); err != nil {
			return err
		}
		return errBack
	}), errBack)
	require.Empty(t, s.list(t, email.Query{}))
}

func claimOrder(t *testing.T, s Subject) {
	for i := range 5 {
		s.enqueue(t, mail(fmt.Sprint("e", i), "grace@example.com"))
		s.Advance(time.Millisecond)
	}
	var got []string
	for _, limit := range []int{2, 2, 2} {
		claims := s.claim(t, "a", limit)
		require.LessOrEqual(t, len(claims), limit)
		for _, c := range claims {
			got = append(got, c.Requested.ID)
		}
	}
	require.Equal(t, []string{"e0", "e1", "e2", "e3", "e4"}, got)
	require.Empty(t, s.claim(t, "a", 1))
}

func sharing(t *testing.T, s Subject) {
	s.enqueue(t, mail("e1", "a@example.com"), mail("e1", "b@example.com"))
	first, second := s.claim(t, "a", 1), s.claim(t, "b", 10)
	require.Len(t, first, 1)
	require.Len(t, second, 1)
	require.NotEqual(t, first[0].ID, second[0].ID)
}

func sent(t *testing.T, s Subject) {
	s.enqueue(t, mail("e1", "grace@example.com"))
	c := s.one(t)
	s.mark(t, c)
	s.Advance(time.Second)
	require.NoError(t, s.Queue.Finish(t.Context(), c, email.Outcome{Status: email.StatusSent}))
	got := s.list(t, email.Query{})[0]
	require.Equal(t, email.StatusSent, got.Status)
	require.Equal(t, time.Second, got.Sent.Sub(got.Created))
	require.Equal(t, 1, got.Attempts)
	require.Empty(t, got.Error)
	s.Advance(2 * lease)
	require.Empty(t, s.claim(t, "a", 10))
}

func failed(t *testing.T, s Subject) {
	s.enqueue(t, mail("e1", "grace@example.com"))
	require.NoError(t, s.Queue.Finish(t.Context(), s.one(t), email.Outcome{Status: email.StatusFailed, Error: "no such template"}))
	got := s.list(t, email.Query{})[0]
	require.Equal(t, email.StatusFailed, got.Status)
	require.Equal(t, "no such template", got.Error)
	require.True(t, got.Sent.IsZero())
	require.Zero(t, got.Attempts)
	s.Advance(2 * lease)
	require.Empty(t, s.claim(t, "a", 10))
}

func retry(t *testing.T, s Subject) {
	s.enqueue(t, mail("e1", "grace@example.com"))
	c := s.one(t)
	s.mark(t, c)
	require.NoError(t, s.Queue.Retry(t.Context(), c, 10*time.Second, "421 come back"))
	got := s.list(t, email.Query{})[0]
	require.Equal(t, email.StatusQueued, got.Status)
	require.Equal(t, "421 come back", got.Error)
	s.Advance(10*time.Second - time.Millisecond)
	require.Empty(t, s.claim(t, "a", 10))
	s.Advance(time.Millisecond)
	again := s.one(t)
	require.Equal(t, 1, again.Attempts)
	require.Equal(t, "421 come back", again.LastError)
	require.Greater(t, again.Fence, c.Fence)
}

func release(t *testing.T, s Subject) {
	s.enqueue(t, mail("e1", "grace@example.com"))
	require.NoError(t, s.Queue.Release(t.Context(), s.one(t)))
	require.Zero(t, s.one(t).Attempts)
}

func leaseEnds(t *testing.T, s Subject) {
	s.enqueue(t, mail("e1", "grace@example.com"))
	s.mark(t, s.one(t))
	s.Advance(lease - time.Millisecond)
	require.Empty(t, s.claim(t, "b", 10))
	s.Advance(time.Millisecond)
	require.Equal(t, 1, s.one(t).Attempts)
}

func leaseEndsUnsent(t *testing.T, s Subject) {
	s.enqueue(t, mail("e1", "grace@example.com"))
	late := s.one(t)
	s.Advance(lease)
	require.ErrorIs(t, s.Queue.MarkSending(t.Context(), late, email.Record{}), email.ErrLost, "anybody may claim it at any moment")
	require.Zero(t, s.one(t).Attempts)
}

func lostClaim(t *testing.T, s Subject) {
	s.enqueue(t, mail("e1", "grace@example.com"))
	old := s.one(t)
	s.mark(t, old)
	s.Advance(lease)
	now := s.one(t)
	ctx := t.Context()
	lost := func(c email.Claimed) {
		t.Helper()
		require.ErrorIs(t, s.Queue.MarkSending(ctx, c, email.Record{}), email.ErrLost)
		require.ErrorIs(t, s.Queue.Retry(ctx, c, 0, ""), email.ErrLost)
		require.ErrorIs(t, s.Queue.Release(ctx, c), email.ErrLost)
		require.ErrorIs(t, s.Queue.Finish(ctx, c, email.Outcome{Status: email.StatusSent}), email.ErrLost)
	}
	lost(old)
	s.mark(t, now)
	require.NoError(t, s.Queue.Finish(ctx, now, email.Outcome{Status: email.StatusSent}))
	lost(now)
	require.Equal(t, 2, s.list(t, email.Query{})[0].Attempts)
}

func outcomeRollBack(t *testing.T, s Subject) {
	s.enqueue(t, mail("e1", "grace@example.com"))
	c := s.one(t)
	s.mark(t, c)
	require.ErrorIs(t, s.Tx.InTx(t.Context(), func(ctx context.Context) error {
		if err := s.Queue.Finish(ctx, c, email.Outcome{Status: email.StatusSent}); err != nil {
			return err
		}
		return errBack
	}), errBack)
	require.Equal(t, email.StatusSending, s.list(t, email.Query{})[0].Status)
	require.NoError(t, s.Queue.Finish(t.Context(), c, email.Outcome{Status: email.StatusSent}))
}

func severalAtOnce(t *testing.T, s Subject) {
	s.enqueue(t, mail("e1", "a@example.com"), mail("e1", "b@example.com"), mail("e1", "c@example.com"), mail("e1", "d@example.com"))
	c := s.claim(t, "a", 10)
	require.Len(t, c, 4)
	s.mark(t, c[1])
	stale := c[3]
	stale.Fence--
	lost, err := s.Queue.Record(t.Context(), []email.Step{
		{Claimed: c[0], Sending: &email.Record{Subject: "Welcome", MessageID: "m@example.com"}},
		{Claimed: stale, Outcome: &email.Outcome{Status: email.StatusSent}},
		{Claimed: c[1], Outcome: &email.Outcome{Status: email.StatusSent}},
		{Claimed: c[2], Outcome: &email.Outcome{Status: email.StatusFailed, Error: "no such template"}},
	})
	require.NoError(t, err)
	require.Equal(t, []error{nil, email.ErrLost, nil, nil}, lost)
	got := s.list(t, email.Query{}) // newest first
	require.Equal(t, email.StatusSending, got[3].Status)
	require.Equal(t, "m@example.com", got[3].MessageID)
	require.Equal(t, 1, got[3].Attempts)
	require.Equal(t, email.StatusSent, got[2].Status)
	require.Equal(t, email.StatusFailed, got[1].Status)
	require.Equal(t, "no such template", got[1].Error)
	require.Equal(t, email.StatusQueued, got[0].Status, "a lost claim changes nothing")

	s.Advance(lease)
	lost, err = s.Queue.Record(t.Context(), []email.Step{
		{Claimed: c[3], Sending: &email.Record{}}, {Claimed: c[1], Outcome: &email.Outcome{Status: email.StatusSent}},
	})
	require.NoError(t, err)
	require.Equal(t, []error{email.ErrLost, email.ErrLost}, lost, "the lease is over; the mail is finished")
	_, err = s.Queue.Record(t.Context(), []email.Step{{Claimed: c[3], Outcome: &email.Outcome{Status: email.StatusQueued}}})
	require.ErrorContains(t, err, "no final status")
}

func severalRolledBack(t *testing.T, s Subject) {
	s.enqueue(t, mail("e1", "a@example.com"), mail("e1", "b@example.com"))
	c := s.claim(t, "a", 10)
	require.ErrorIs(t, s.Tx.InTx(t.Context(), func(ctx context.Context) error {
		lost, err := s.Queue.Record(ctx, []email.Step{
			{Claimed: c[0], Sending: &email.Record{}}, {Claimed: c[1], Outcome: &email.Outcome{Status: email.StatusSent}},
		})
		if err != nil || errors.Join(lost...) != nil {
			return errors.Join(append(lost, err)...)
		}
		return errBack
	}), errBack)
	for _, e := range s.list(t, email.Query{}) {
		require.Equal(t, email.StatusQueued, e.Status)
		require.Zero(t, e.Attempts)
	}
}

func changed(t *testing.T, s Subject) {
	closed := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	wait := s.Queue.Changed()
	require.False(t, closed(wait))
	s.enqueue(t, mail("e1", "grace@example.com"))
	<-wait

	wait = s.Queue.Changed()
	c := s.one(t)
	s.mark(t, c)
	require.False(t, closed(wait), "what a worker does must not wake workers")
	require.NoError(t, s.Queue.Retry(t.Context(), c, 0, "again"))
	c = s.one(t)
	wait = s.Queue.Changed()
	require.NoError(t, s.Queue.Release(t.Context(), c))
	<-wait
}

func pages(t *testing.T, s Subject) {
	for i := range 5 {
		s.enqueue(t, mail(fmt.Sprint("e", i), "grace@example.com"))
	}
	var got []string
	cursor := ""
	for page := 0; page == 0 || cursor != ""; page++ {
		emails, next, err := s.Reader.Emails(t.Context(), email.Query{Tenant: "acme", Limit: 2, Cursor: cursor})
		require.NoError(t, err)
		require.LessOrEqual(t, len(emails), 2)
		for _, e := range emails {
			got = append(got, e.EventID)
		}
		if cursor = next; page == 0 {
			s.enqueue(t, mail("new", "grace@example.com")) // does not disturb
		}
	}
	require.Equal(t, []string{"e4", "e3", "e2", "e1", "e0"}, got)

	claims := s.claim(t, "a", 2)
	require.NoError(t, s.Queue.Finish(t.Context(), claims[0], email.Outcome{Status: email.StatusFailed, Error: "x"}))
	require.Len(t, s.list(t, email.Query{Status: email.StatusFailed}), 1)
	require.Len(t, s.list(t, email.Query{Status: email.StatusQueued}), 5)
	require.Empty(t, s.list(t, email.Query{Status: email.StatusSent}))
}

func tenants(t *testing.T, s Subject) {
	other := mail("e1", "grace@example.com")
	other.Requested.Tenant = "globex"
	s.enqueue(t, mail("e1", "grace@example.com"), other)
	mine, theirs := s.list(t, email.Query{}), s.list(t, email.Query{Tenant: "globex"})
	require.Len(t, mine, 1)
	require.Len(t, theirs, 1)
	require.NotEqual(t, mine[0].ID, theirs[0].ID)
	require.Empty(t, s.list(t, email.Query{Tenant: "initech"}))
	require.Len(t, s.claim(t, "a", 10), 2, "a worker serves all tenants")
}

func badQueries(t *testing.T, s Subject) {
	for name, q := range map[string]email.Query{
		"no tenant":       {},
		"unknown status":  {Tenant: "acme", Status: "lost"},
		"foreign cursor":  {Tenant: "acme", Cursor: "17"},
		"mangled cursor":  {Tenant: "acme", Cursor: "!!"},
		"enormous cursor": {Tenant: "acme", Cursor: strings.Repeat("A", 10_000)},
	} {
		_, _, err := s.Reader.Emails(t.Context(), q)
		require.Equal(t, domain.Invalid, domain.KindOf(err), "%s: got %v", name, err)
	}
}
