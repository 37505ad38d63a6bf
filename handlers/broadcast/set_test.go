package broadcast_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/handlers/broadcast"
)

type opened struct{}

func (opened) EventType() string { return "door.opened" }

type closed struct{}

func (closed) EventType() string { return "door.closed" }

type pusher struct {
	got []event.Envelope
	err error
}

func (p *pusher) Push(_ context.Context, e event.Envelope) error {
	p.got = append(p.got, e)
	return p.err
}

func TestSet(t *testing.T) {
	t.Parallel()
	c, err := event.NewCatalogue(event.Definitions{event.Define[opened](event.Business), event.Define[closed](event.Business)})
	require.NoError(t, err)
	p := &pusher{err: errors.New("no more room")}
	set, err := broadcast.Set(p).Bind(c)
	require.NoError(t, err)

	require.Equal(t, "broadcast", set.Name(), "the name is the set's identity")
	require.True(t, set.RunsEverywhere())
	require.False(t, set.BeginsAtStart())
	require.Equal(t, 1, set.Policy().Lanes, "more lanes would mix up the order of the log")
	require.Equal(t, []string{"door.closed", "door.opened"}, set.Types())

	call, ok := set.Call("door.opened")
	require.True(t, ok)
	require.False(t, call.Tx)
	e := event.Envelope{Type: "door.opened", SchemaVersion: 1, Tenant: "acme", Position: 7, Data: []byte(`{}`)}
	require.ErrorIs(t, call.Do(t.Context(), e), p.err)
	require.Equal(t, []event.Envelope{e}, p.got)
}
