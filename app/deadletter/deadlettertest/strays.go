package deadlettertest

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/deadletter"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/domain"
)

func strayOf(key, tenant string, data []byte) deadletter.Stray {
	return deadletter.Stray{
		Set: "foreign", Key: key, Tenant: tenant, Reason: "why " + key,
		Message: deadletter.NewMessage("id-"+key, "orders.a", map[string][]string{"ce-type": {"x"}, "many": {"1", "2"}}, data),
	}
}

// strays stand beside other letters and are treated as they are.
func strays(t *testing.T, f *fixture) {
	ctx := ctxOf(t)
	first := f.bury(t, "audit", "acme", "a.b")
	require.NoError(t, f.BuryStray(ctx, strayOf("one", "acme", []byte("rubbish"))))
	require.NoError(t, f.BuryStray(ctx, strayOf("two", "acme", []byte{0xff, 0, 1})))
	require.NoError(t, f.BuryStray(ctx, strayOf("three", "other", nil)))
	last := f.bury(t, "audit", "acme", "a.b")

	all := f.list(t, deadletter.Filter{Tenant: "acme"})
	require.Len(t, all, 4)
	require.Equal(t, []string{last.ID(), first.ID()}, []string{all[0].ID(), all[3].ID()})
	one := all[2]
	require.Regexp(t, `^foreign\.[1-9][0-9]*$`, one.ID())
	require.NotEqual(t, all[1].ID(), one.ID())
	require.Zero(t, one.Event.Position)
	require.Equal(t, deadletter.StrayType, one.Event.Type)
	require.Equal(t, "id-one", one.Event.ID)
	require.Equal(t, "why one", one.Reason)
	require.Equal(t, 1, one.Attempts)
	require.Equal(t, deadletter.Open, one.State)
	require.WithinDuration(t, start.Add(time.Second), one.Failed, time.Minute)
	require.JSONEq(t, `{"subject":"orders.a","header":{"ce-type":["x"],"many":["1","2"]},"data":"rubbish","size":7}`, string(one.Event.Data))
	require.JSONEq(t, `{"subject":"orders.a","header":{"ce-type":["x"],"many":["1","2"]},"data_base64":"/wAB","size":3}`, string(all[1].Event.Data))
	require.Equal(t, one, f.get(t, one))
	f.wantNotFound(t, "other", one.ID())

	require.Len(t, f.list(t, deadletter.Filter{Tenant: "acme", Set: "foreign"}), 2)
	require.Len(t, f.list(t, deadletter.Filter{Tenant: "acme", Types: []event.Pattern{"message.*"}}), 2)
	counts, err := f.CountDeadLetters(ctx)
	require.NoError(t, err)
	require.Equal(t, map[string]int{"audit": 2, "foreign": 3}, counts)

	require.NoError(t, f.DiscardDeadLetter(ctx, "acme", one.ID(), "ann"))
	require.Equal(t, deadletter.Discarded, f.get(t, one).State)
	require.Equal(t, domain.Conflict, domain.KindOf(f.RetryDeadLetter(ctx, "acme", all[1].ID(), "ann")), "no set has it; the desk knows what to do")

	require.Equal(t, []deadletter.Letter{last, first}, f.list(t, deadletter.Filter{Tenant: "acme", Set: "audit"}))
}

// strayTwice lets the same message come again and again: there is one letter, whatever became of it.
func strayTwice(t *testing.T, f *fixture) {
	ctx := ctxOf(t)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			if err := f.BuryStray(ctx, strayOf("same", "acme", []byte("x"))); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	one := f.list(t, deadletter.Filter{Tenant: "acme"})
	require.Len(t, one, 1)
	other := strayOf("same", "acme", []byte("x"))
	other.Set = "nats"
	require.NoError(t, f.BuryStray(ctx, other), "another set's key is another key")
	require.NoError(t, f.DiscardDeadLetter(ctx, "acme", one[0].ID(), "ann"))
	require.NoError(t, f.BuryStray(ctx, strayOf("same", "acme", []byte("x"))))
	require.Len(t, f.list(t, deadletter.Filter{Tenant: "acme", State: deadletter.Open}), 1)
	require.Equal(t, deadletter.Discarded, f.get(t, one[0]).State)

	// A number is never given twice.
	require.NoError(t, f.BuryStray(ctx, strayOf("last", "acme", nil)))
	gone := f.list(t, deadletter.Filter{Tenant: "acme"})[0]
	require.NoError(t, f.StrayTaken(ctx, "acme", gone.ID()))
	require.NoError(t, f.BuryStray(ctx, strayOf("next", "acme", nil)))
	require.NotEqual(t, gone.ID(), f.list(t, deadletter.Filter{Tenant: "acme"})[0].ID())
}

// desk is about what a retry means for a stray.
func desk(t *testing.T, f *fixture) {
	ctx := ctxOf(t)
	var answer error
	var taken []deadletter.Message
	d := deadletter.Desk{Store: f, Strays: f, TakeIn: map[string]deadletter.TakeIn{
		"foreign": func(_ context.Context, tenant string, m deadletter.Message) error {
			require.Equal(t, "acme", tenant)
			taken = append(taken, m)
			return answer
		},
	}}
	stray := strayOf("one", "acme", []byte{0xff, 1})
	require.NoError(t, f.BuryStray(ctx, stray))
	l := f.list(t, deadletter.Filter{Tenant: "acme"})[0]

	answer = domain.Errorf(domain.Unavailable, "DOWN", "the log is down")
	require.Equal(t, domain.Unavailable, domain.KindOf(d.RetryDeadLetter(ctx, "acme", l.ID(), "ann")))
	answer = domain.Errorf(domain.Conflict, "NEVER", "nobody takes this in")
	require.ErrorContains(t, d.RetryDeadLetter(ctx, "acme", l.ID(), "ann"), "nobody takes this in")
	require.Equal(t, l, f.get(t, l), "those were no attempts")

	f.clock.Advance(time.Hour)
	answer = domain.Errorf(domain.Invalid, "NO", "still not understood")
	err := d.RetryDeadLetter(ctx, "acme", l.ID(), "ann")
	require.Equal(t, domain.Conflict, domain.KindOf(err))
	require.ErrorContains(t, err, "still not understood")
	got := f.get(t, l)
	require.Equal(t, deadletter.Open, got.State)
	require.Equal(t, 2, got.Attempts)
	require.Equal(t, "still not understood", got.Reason)
	require.Equal(t, f.clock.Now().UTC(), got.Failed)

	answer = nil
	f.wantNotFound(t, "other", l.ID())
	require.Equal(t, domain.NotFound, domain.KindOf(d.RetryDeadLetter(ctx, "other", l.ID(), "ann")))
	require.Len(t, taken, 3)
	require.NoError(t, d.RetryDeadLetter(ctx, "acme", l.ID(), "ann"))
	require.Equal(t, stray.Message, taken[3])
	f.wantNotFound(t, "acme", l.ID())
	require.Equal(t, domain.NotFound, domain.KindOf(d.RetryDeadLetter(ctx, "acme", l.ID(), "ann")))

	// Of what is too long for any event the beginning is kept, to look at.
	huge := strayOf("huge", "acme", []byte(strings.Repeat("x", 3*event.MaxData)))
	require.NoError(t, f.BuryStray(ctx, huge))
	l = f.list(t, deadletter.Filter{Tenant: "acme"})[0]
	require.Less(t, len(l.Event.Data), 8<<10)
	var kept struct{ Size int }
	require.NoError(t, json.Unmarshal(l.Event.Data, &kept))
	require.Equal(t, 3*event.MaxData, kept.Size)
	require.ErrorContains(t, d.RetryDeadLetter(ctx, "acme", l.ID(), "ann"), "only the first")

	require.NoError(t, d.DiscardDeadLetter(ctx, "acme", l.ID(), "ann"))
	require.ErrorContains(t, d.RetryDeadLetter(ctx, "acme", l.ID(), "ann"), "was discarded")
	require.Len(t, taken, 4)

	// Other letters go back to their set.
	e := f.bury(t, "audit", "acme", "a.b")
	require.NoError(t, d.RetryDeadLetter(ctx, "acme", e.ID(), "ann"))
	require.Equal(t, deadletter.Retrying, f.get(t, e).State)
	require.Equal(t, domain.NotFound, domain.KindOf(d.RetryDeadLetter(ctx, "acme", "rubbish", "ann")))
	require.Equal(t, domain.NotFound, domain.KindOf(d.RetryDeadLetter(ctx, "acme", "foreign.999999", "ann")))
}
