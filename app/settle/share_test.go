package settle_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/app/settle"
)

// A process is a group of the bundle's set with eight lanes, and a handler that acks whatever comes.
type neighbour struct {
	cancel context.CancelFunc
	ended  chan struct{}
}

func (b *bundle) neighbour(owner string, handle func(m *message.Message)) *neighbour {
	b.t.Helper()
	policy := handler.DefaultPolicy()
	policy.Lanes = 8
	g := settle.NewGroup(settle.Config{Owner: owner}, b.set, policy, b.store, b.store,
		&hand{messages: make(chan *message.Message)}, b.clock, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	out, err := g.Subscribe(ctx, "one")
	require.NoError(b.t, err)
	n := &neighbour{cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(n.ended)
		for m := range out {
			handle(m)
		}
	}()
	b.t.Cleanup(n.stop)
	return n
}

func (n *neighbour) stop() {
	n.cancel()
	<-n.ended
}

// owners waits until the lanes are dealt out like this.
func (b *bundle) owners(want map[string]int) {
	b.t.Helper()
	var got map[string]int
	require.Eventually(b.t, func() bool {
		all, err := b.store.Statuses(context.Background())
		require.NoError(b.t, err)
		got = all["one"].Owners
		return len(got) == len(want) && func() bool {
			for owner, n := range want {
				if got[owner] != n {
					return false
				}
			}
			return true
		}()
	}, 30*time.Second, time.Millisecond, "lanes are dealt out as %v", want)
}

func settleIt(m *message.Message) {
	_ = settle.AttemptFrom(m.Context()).Handled(context.Background(), nil)
	m.Ack()
}

// Processes share the lanes of a set, without waiting for a lease to run out.
func TestProcessesShareLanes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.neighbour("a", settleIt)
	b.owners(map[string]int{"a": 8})
	second := b.neighbour("b", settleIt)
	b.owners(map[string]int{"a": 4, "b": 4})
	third := b.neighbour("c", settleIt)
	b.owners(map[string]int{"a": 3, "b": 3, "c": 2})
	second.stop()
	b.owners(map[string]int{"a": 4, "c": 4})
	third.stop()
	b.owners(map[string]int{"a": 8})
}

// A lane that is given up finishes what it has in hand first.
func TestGivenUpLaneFinishes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := make(chan *message.Message, 1)
	b.append("a")
	b.neighbour("a", func(m *message.Message) { in <- m })
	m := <-in
	lane := settle.AttemptFrom(m.Context()).Event.Slot % 8
	b.neighbour("b", func(m *message.Message) {
		t.Error("handled twice")
		m.Ack()
	})
	want := map[string]int{"a": 4, "b": 4}
	if lane >= 4 {
		want = map[string]int{"a": 5, "b": 3} // until it is finished
	}
	b.owners(want)
	settleIt(m)
	b.owners(map[string]int{"a": 4, "b": 4})
	require.Len(t, b.store.Works(), 1)
}
