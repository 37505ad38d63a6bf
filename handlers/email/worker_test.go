package email_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/domain"
	"github.com/leat-dev/leat/handlers/email"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAMailIsSent(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.run(t)
	b.enqueue(t, "r1")
	got := <-b.sender.calls
	sending := b.emails(t)[0]
	require.Equal(t, email.StatusSending, sending.Status, "before anything is said to a mail server")
	require.Equal(t, 1, sending.Attempts)
	require.Equal(t, "Welcome, Acme <Ltd>", sending.Subject)
	b.clock.Advance(42 * time.Millisecond)
	b.sender.answers <- nil
	require.Equal(t, done{"sent", 42 * time.Millisecond}, <-b.done)

	id := got.ID
	require.Regexp(t, `^[0-9a-f]{32}@example\.com$`, id)
	require.Equal(t, email.Message{
		ID: id, From: "Leat <leat@example.com>", To: email.Address{Address: "Grace@example.com", Name: "Grace"},
		Subject: "Welcome, Acme <Ltd>", Text: "Hello Grace of acme: 1000000", HTML: "<p>Acme &lt;Ltd&gt;</p>",
	}, got)
	sent := b.emails(t)[0]
	require.Equal(t, email.StatusSent, sent.Status)
	require.Equal(t, id, sent.MessageID)

	require.Len(t, b.events(), 1)
	e := b.events()[0]
	require.JSONEq(t, fmt.Sprintf(`{"to":"Grace@example.com","template":"welcome","messageId":%q,"duration_ms":42,"attempts":1}`, id), string(e.Data))
	e.Data = nil
	require.Equal(t, event.Envelope{
		ID: "mail-" + strings.TrimSuffix(id, "@example.com") + "-sent", Type: "notification.sent", SchemaVersion: 1, Kind: event.Notification,
		Source: "leat", Subject: "p1", Tenant: "acme", Actor: "ada", Time: b.clock.Now().UTC(), PartitionKey: "key-1",
		CorrelationID: "c1", CausationID: "r1", Depth: 2, TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		Slot: event.SlotOf("acme", "key-1"),
	}, e)
}

func TestATemporaryFailureIsTriedAgain(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *email.Config) { c.Poll = 100 * time.Millisecond; c.Initial = 2 * time.Second })
	b.run(t)
	b.enqueue(t, "r1")
	b.sender.answers <- fails(email.Temporary(errors.New("RCPT: 451 later\r\nplease")))
	b.sender.answers <- fails(errDown)
	b.sender.answers <- nil
	first := <-b.sender.calls
	require.Equal(t, "retried", (<-b.done).result)
	queued := b.emails(t)[0]
	require.Equal(t, email.StatusQueued, queued.Status)
	require.Equal(t, "RCPT: 451 later please", queued.Error)
	require.Empty(t, b.events())

	for i, pause := range []time.Duration{2 * time.Second, 4 * time.Second} {
		b.idle(t)
		b.clock.Advance(pause - time.Millisecond)
		b.idle(t)
		require.Equal(t, i+1, b.emails(t)[0].Attempts, "not before the pause is over")
		b.clock.Advance(100 * time.Millisecond)
		require.Equal(t, first.ID, (<-b.sender.calls).ID, "every copy has the same Message-ID")
		<-b.done
	}
	require.Equal(t, email.StatusSent, b.emails(t)[0].Status)
	require.Len(t, b.events(), 1)
	require.Contains(t, string(b.events()[0].Data), `"attempts":3`)
}

func TestAttemptsAreUsedUp(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *email.Config) { c.Attempts = 2; c.Poll = time.Second; c.Initial = time.Second })
	b.run(t)
	b.enqueue(t, "r1")
	b.sender.answers <- fails(errDown)
	b.sender.answers <- fails(errDown)
	require.Equal(t, "retried", (<-b.done).result)
	b.idle(t)
	b.clock.Advance(time.Second)
	require.Equal(t, "failed", (<-b.done).result)
	require.Equal(t, email.StatusFailed, b.emails(t)[0].Status)
	e := b.events()[0]
	require.Equal(t, "notification.failed", e.Type)
	require.JSONEq(t, `{"to":"Grace@example.com","template":"welcome","error":"connection refused","permanent":false,"attempts":2}`, string(e.Data))
	require.Equal(t, "c1", e.CorrelationID)
	require.Equal(t, "r1", e.CausationID)
}

func TestAPermanentFailure(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.run(t)
	b.enqueue(t, "r1")
	b.sender.answers <- fails(email.Permanent(errors.New("550 no such user")))
	require.Equal(t, "failed", (<-b.done).result)
	require.JSONEq(t, `{"to":"Grace@example.com","template":"welcome","error":"550 no such user","permanent":true,"attempts":1}`,
		string(b.events()[0].Data))
	require.Equal(t, "550 no such user", b.emails(t)[0].Error)
}

func TestWhatCannotBeRendered(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.run(t)
	unknown, missing, broken := mail("r1"), mail("r2"), mail("r3")
	unknown.Template = "nothing"
	missing.Data = []byte(`{"name":"Acme"}`)
	broken.Data = []byte(`{"name":`)
	for _, test := range []struct {
		mail email.Mail
		want string
	}{{unknown, `no mail template \"nothing\"`}, {missing, `no entry for key \"n\"`}, {broken, "read the mail's data"}} {
		require.NoError(t, b.store.enqueue(t.Context(), test.mail))
		require.Equal(t, done{result: "failed"}, <-b.done)
		events := b.events()
		data := string(events[len(events)-1].Data)
		require.Contains(t, data, test.want)
		require.Contains(t, data, `"permanent":true,"attempts":0`)
	}
	require.Empty(t, b.sender.calls)
}

func TestASenderThatHangs(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *email.Config) { c.Timeout = 7 * time.Second })
	b.run(t)
	b.enqueue(t, "r1")
	b.sender.answers <- hangs
	<-b.sender.calls
	b.clock.Advance(7 * time.Second)
	require.Equal(t, done{"retried", 7 * time.Second}, <-b.done)
	require.Contains(t, b.emails(t)[0].Error, "no answer within 7s")
}

func TestASenderThatPanics(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.run(t)
	b.enqueue(t, "r1")
	b.sender.answers <- func(context.Context) error { panic("out of range") }
	require.Equal(t, "retried", (<-b.done).result)
	require.Contains(t, b.emails(t)[0].Error, "out of range")
}

func TestSendersSideBySideAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *email.Config) { c.Senders = 3 })
	for i := range 7 {
		b.enqueue(t, fmt.Sprint("r", i))
	}
	b.run(t)
	for range 3 {
		<-b.sender.calls
	}
	for range 4 {
		require.Empty(t, b.sender.calls)
		b.sender.answers <- nil
		<-b.done
		<-b.sender.calls // one more for each that ends
	}
	for range 3 {
		b.sender.answers <- nil
		<-b.done
	}
	for _, e := range b.emails(t) {
		require.Equal(t, email.StatusSent, e.Status)
		require.Equal(t, 1, e.Attempts)
	}
	require.Len(t, b.events(), 7)
}

func TestACrashWhileSending(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *email.Config) { c.Attempts = 2; c.Poll = time.Minute })
	b.enqueue(t, "r1")
	crash := func() {
		claims, err := b.store.Claim(t.Context(), "the dead", 1, time.Minute)
		require.NoError(t, err)
		require.Len(t, claims, 1)
		require.NoError(t, b.store.MarkSending(t.Context(), claims[0], email.Record{}))
	}
	crash()
	b.run(t)
	b.idle(t)
	require.Empty(t, b.sender.calls, "the lease still holds")
	b.clock.Advance(time.Minute)
	<-b.sender.calls
	b.sender.answers <- nil
	require.Equal(t, "sent", (<-b.done).result)
	require.Equal(t, 2, b.emails(t)[0].Attempts)
}

func TestAMailThatKillsItsWorkers(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *email.Config) { c.Attempts = 2; c.Poll = time.Minute })
	b.enqueue(t, "r1")
	for range 2 {
		claims, err := b.store.Claim(t.Context(), "the dead", 1, time.Minute)
		require.NoError(t, err)
		require.NoError(t, b.store.MarkSending(t.Context(), claims[0], email.Record{}))
		b.clock.Advance(time.Minute)
	}
	b.run(t)
	require.Equal(t, "failed", (<-b.done).result)
	require.Empty(t, b.sender.calls)
	require.Contains(t, string(b.events()[0].Data), `"permanent":false,"attempts":2`)
}

func TestDrain(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *email.Config) { c.Senders = 1 })
	b.enqueue(t, "r1", "r2", "r3", "r4")
	b.run(t)
	<-b.sender.calls
	begun := func() (n int) {
		for _, e := range b.emails(t) {
			n += e.Attempts
		}
		return n
	}
	require.Eventually(t, func() bool { return begun() == 2 }, 10*time.Second, time.Millisecond, "the next one is about to be sent")
	b.stop()
	for range 2 {
		b.sender.answers <- func(ctx context.Context) error { return ctx.Err() } // it must still be alive
	}
	b.join(t)
	require.Equal(t, "sent", (<-b.done).result)
	require.Equal(t, "sent", (<-b.done).result)
	require.Len(t, b.sender.calls, 1)
	require.Equal(t, 2, begun(), "nothing is begun any more")
	for _, e := range b.emails(t) {
		if e.Attempts == 0 {
			require.Equal(t, email.StatusQueued, e.Status)
		} else {
			require.Equal(t, email.StatusSent, e.Status)
		}
	}
	require.Len(t, b.events(), 2)
	claims, err := b.store.Claim(t.Context(), "next", 10, time.Minute)
	require.NoError(t, err)
	require.Len(t, claims, 2, "the others are there for the next worker at once")
}

func TestADrainThatTakesTooLong(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *email.Config) {
		c.Drain, c.Senders, c.Timeout, c.Lease = 5*time.Second, 1, 10*time.Hour, 40*time.Hour
	})
	b.enqueue(t, "r1")
	b.run(t)
	<-b.sender.calls
	b.sender.answers <- hangs
	b.stop()
	require.Eventually(t, func() bool {
		b.clock.Advance(5 * time.Second)
		select {
		case err := <-b.ended:
			require.NoError(t, err)
			close(b.ended)
			return true
		default:
			return false
		}
	}, 10*time.Second, time.Millisecond)
	got := b.emails(t)[0]
	require.Equal(t, email.StatusQueued, got.Status, "the next worker need not wait for the lease")
	require.Equal(t, 1, got.Attempts)
}

func TestAClaimThatComesTooLateIsReleased(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.enqueue(t, "r1")
	b.store.fail = func(step string) error {
		if step == "claim" {
			b.stop() // while the claim is under way
		}
		return nil
	}
	b.store.mu.Lock() // until stop is there to be called
	b.run(t)
	b.store.mu.Unlock()
	b.join(t)
	got := b.emails(t)[0]
	require.Equal(t, email.StatusQueued, got.Status)
	require.Zero(t, got.Attempts)
	claims, err := b.store.Claim(t.Context(), "next", 1, time.Minute)
	require.NoError(t, err)
	require.Len(t, claims, 1, "at once, without waiting for a lease")
	require.Empty(t, b.sender.calls)
}

func TestAStoreInTroubleWhileClaiming(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.failing("claim", 3, errDown)
	b.enqueue(t, "r1")
	b.run(t)
	for range 3 {
		b.idle(t)
		b.clock.Advance(time.Second)
	}
	<-b.sender.calls
	b.sender.answers <- nil
	require.Equal(t, "sent", (<-b.done).result)
}

func TestAnAttemptThatCannotBeRecordedIsNotMade(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.failing("mark", 1, errDown)
	b.enqueue(t, "r1")
	b.sender.answers <- nil
	b.run(t)
	require.Equal(t, "sent", (<-b.done).result) // released, then claimed again
	require.Len(t, b.sender.calls, 1)
	require.Equal(t, 1, b.emails(t)[0].Attempts)
}

func TestAnOutcomeThatCannotBeRecordedAtOnce(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"finish", "append", "commit"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(c *email.Config) { c.Senders = 1; c.Poll = time.Hour })
			b.enqueue(t, "r1")
			b.run(t)
			<-b.sender.calls
			failed := b.failing(step, 2, errDown)
			b.sender.answers <- nil
			soon, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			for _, pause := range []time.Duration{100 * time.Millisecond, 200 * time.Millisecond} {
				select {
				case <-failed:
				case <-soon.Done():
					require.Fail(t, "it is not tried again")
				}
				require.NoError(t, b.clock.BlockUntilContext(soon, 2)) // the next look at the queue, and the pause
				require.Equal(t, email.StatusSending, b.emails(t)[0].Status)
				require.Empty(t, b.events(), "both or none")
				b.clock.Advance(pause)
			}
			require.Equal(t, "sent", (<-b.done).result)
			require.Equal(t, email.StatusSent, b.emails(t)[0].Status)
			require.Len(t, b.events(), 1)
			require.Empty(t, b.sender.calls, "and not sent again")
		})
	}
}

func TestAnOutcomeThatTheLogWillNeverTake(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	deep := mail("r1")
	deep.Requested.Depth = 32 // the deepest a chain of causes may be
	require.NoError(t, b.store.enqueue(t.Context(), deep))
	b.run(t)
	b.sender.answers <- nil
	require.Equal(t, "sent", (<-b.done).result)
	require.Equal(t, email.StatusSent, b.emails(t)[0].Status, "or it would be sent over and over")
	require.Empty(t, b.events())
}

func TestAnOutcomeOfALostClaim(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *email.Config) { c.Lease = time.Minute; c.Timeout = 15 * time.Second; c.Senders = 1 })
	b.enqueue(t, "r1")
	b.run(t)
	<-b.sender.calls
	b.sender.answers <- func(context.Context) error { // deaf to its context
		b.clock.Advance(time.Minute)
		claims, err := b.store.Claim(context.Background(), "another", 1, time.Minute)
		if err != nil || len(claims) != 1 {
			return email.Permanent(fmt.Errorf("claim by another: %v, %w", claims, err))
		}
		return nil
	}
	<-b.done
	require.Empty(t, b.events(), "the other one will say what became of it")
	require.Equal(t, email.StatusSending, b.emails(t)[0].Status)
}

func TestTwoSendersOfOneMailTellItOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	ctx := event.WithHandled(t.Context(), mail("r1").Requested)
	draft := event.Draft{Event: email.Failed{To: "a@example.com", Template: "welcome", Error: "x"}, ID: "mail-x-failed"}
	for range 2 {
		_, err := b.publisher.Publish(ctx, draft)
		require.NoError(t, err)
	}
	require.Len(t, b.events(), 1)
}

func TestClassification(t *testing.T) {
	t.Parallel()
	base := errors.New("x")
	require.False(t, email.IsPermanent(base))
	require.True(t, email.IsPermanent(fmt.Errorf("send: %w", email.Permanent(base))))
	require.False(t, email.IsPermanent(email.Temporary(email.Permanent(base))))
	require.ErrorIs(t, email.Permanent(base), base)
	require.NoError(t, email.Permanent(nil))
	require.NoError(t, email.Temporary(nil))
}

func TestConfig(t *testing.T) {
	t.Parallel()
	require.Empty(t, email.Config{}.Validate())
	for key, cfg := range map[string]email.Config{
		"email.from: ":       {From: "nobody"},
		"email.senders: ":    {Senders: -1},
		"email.attempts: ":   {Attempts: -1},
		"email.initial: ":    {Initial: -1},
		"email.max: ":        {Max: -1},
		"email.multiplier: ": {Multiplier: 0.5},
		"email.jitter: ":     {Jitter: 2},
		"email.poll: ":       {Poll: -1},
		"email.lease: ":      {Lease: time.Second},
		"email.timeout: ":    {Timeout: -1},
		"email.drain: ":      {Drain: -1},
	} {
		_, err := email.New(cfg, nil, nil, nil, nil, nil, nil, nil, nil)
		require.ErrorContains(t, err, key)
	}
}

func TestDefinitions(t *testing.T) {
	t.Parallel()
	c, err := event.NewCatalogue(email.Definitions)
	require.NoError(t, err)
	require.Equal(t, []string{"notification.failed", "notification.sent"}, c.Types())
	_, _, _, err = c.Admit("notification.sent", 0, []byte(`{"to":"a@example.com"}`))
	require.Equal(t, domain.Invalid, domain.KindOf(err))
}
