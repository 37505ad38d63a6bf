package handler_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/handler"
)

var errTest = errors.New("no luck")

type shipped struct {
	OrderID string `json:"order_id"`
}

func (shipped) EventType() string { return "order.shipped" }

type returned struct{}

func (returned) EventType() string { return "order.returned" }

// impostor calls itself by another event's name.
type impostor struct{}

func (impostor) EventType() string { return "order.shipped" }

type unknown struct{}

func (unknown) EventType() string { return "order.lost" }

func catalogue(t *testing.T) *event.Catalogue {
	t.Helper()
	upcast := func(data json.RawMessage) (json.RawMessage, error) {
		var old struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal(data, &old); err != nil {
			return nil, err
		}
		return json.Marshal(shipped{old.ID})
	}
	c, err := event.NewCatalogue(event.Definitions{
		event.Define[shipped](event.Business, event.Version(2), event.Upcast(1, upcast)), event.Define[returned](event.Business),
	})
	require.NoError(t, err)
	return c
}

func nothing[T any](context.Context, T) error { return nil }

func TestBind(t *testing.T) {
	t.Parallel()
	var got []string
	set, err := handler.NewSet("billing",
		handler.On(func(_ context.Context, e shipped) error { got = append(got, e.OrderID); return errTest }),
		handler.OnTx(func(context.Context, returned) error { got = append(got, "returned"); return nil }),
		handler.FromStart(), handler.WithPolicy(handler.Policy{Attempts: 7}),
	).Bind(catalogue(t))
	require.NoError(t, err)
	require.Equal(t, "billing", set.Name())
	require.Equal(t, []string{"order.returned", "order.shipped"}, set.Types())
	require.True(t, set.BeginsAtStart())
	require.False(t, set.RunsEverywhere())
	require.Equal(t, 7, set.Policy().Attempts)

	ctx := context.Background()
	call, ok := set.Call("order.shipped")
	require.True(t, ok)
	require.False(t, call.Tx)
	require.Equal(t, errTest, call.Do(ctx, event.Envelope{Type: "order.shipped", SchemaVersion: 2, Data: []byte(`{"order_id":"new"}`)}))
	require.Equal(t, errTest, call.Do(ctx, event.Envelope{Type: "order.shipped", SchemaVersion: 1, Data: []byte(`{"id":"old"}`)}))

	err = call.Do(ctx, event.Envelope{Type: "order.shipped", SchemaVersion: 3, Data: []byte(`{}`)})
	require.ErrorIs(t, err, event.ErrNewerSchema)
	require.False(t, handler.IsPermanent(err), "a newer program may come")
	for _, version := range []int{1, 2} {
		err = call.Do(ctx, event.Envelope{Type: "order.shipped", SchemaVersion: version, Data: []byte(`{"order_id":`)})
		require.True(t, handler.IsPermanent(err), "the data will not get better")
	}

	call, ok = set.Call("order.returned")
	require.True(t, ok)
	require.True(t, call.Tx)
	require.NoError(t, call.Do(ctx, event.Envelope{Type: "order.returned", SchemaVersion: 1, Data: []byte(`{}`)}))
	require.Equal(t, []string{"new", "old", "returned"}, got)

	_, ok = set.Call("order.lost")
	require.False(t, ok)
}

func TestMatch(t *testing.T) {
	t.Parallel()
	var got []event.Envelope
	note := func(_ context.Context, e event.Envelope) error { got = append(got, e); return nil }
	for name, option := range map[string]handler.Option{
		"OnMatch": handler.OnMatch(note, "order.*", "order.shipped"), "OnMatchTx": handler.OnMatchTx(note, "order.*", "order.shipped"),
	} {
		got = nil
		set, err := handler.NewSet("audit", option).Bind(catalogue(t))
		require.NoError(t, err)
		require.Equal(t, []string{"order.returned", "order.shipped"}, set.Types())
		call, _ := set.Call("order.shipped")
		require.Equal(t, name == "OnMatchTx", call.Tx)
		require.NoError(t, call.Do(context.Background(), event.Envelope{Type: "order.shipped", SchemaVersion: 1, Data: []byte(`{"id":"old"}`)}))
		require.JSONEq(t, `{"order_id":"old"}`, string(got[0].Data), "data of the current version")
		err = call.Do(context.Background(), event.Envelope{Type: "order.shipped", SchemaVersion: 9})
		require.ErrorIs(t, err, event.ErrNewerSchema)
		require.False(t, handler.IsPermanent(err))
	}
}

// Bind reports every fault at once.
func TestBindFaults(t *testing.T) {
	t.Parallel()
	every := func(context.Context, event.Envelope) error { return nil }
	for name, test := range map[string]struct {
		set  handler.Set
		want []string
	}{
		"no reaction":       {handler.NewSet("x"), []string{`handler set "x"`, "reacts to nothing"}},
		"bad name":          {handler.NewSet("Bad name"), []string{"1 to 64 lowercase letters", "reacts to nothing"}},
		"not defined":       {handler.NewSet("x", handler.On(nothing[unknown])), []string{`"order.lost"`, "not defined", "event.Define[handler_test.unknown]"}},
		"another's type":    {handler.NewSet("x", handler.On(nothing[impostor])), []string{"handler_test.impostor", "handler_test.shipped"}},
		"a pointer":         {handler.NewSet("x", handler.On(nothing[*shipped])), []string{"an event is a struct"}},
		"twice":             {handler.NewSet("x", handler.On(nothing[shipped]), handler.OnTx(nothing[shipped])), []string{`two reactions to "order.shipped"`}},
		"twice by patterns": {handler.NewSet("x", handler.On(nothing[shipped]), handler.OnMatch(every, "order.*")), []string{`two reactions to "order.shipped"`}},
		"bad pattern":       {handler.NewSet("x", handler.OnMatch(every, "Order.*")), []string{"Order.*"}},
		"pattern of none":   {handler.NewSet("x", handler.OnMatch(every, "build.*")), []string{`no defined event type matches "build.*"`}},
		"transactional everywhere": {
			handler.NewSet("x", handler.OnTx(nothing[shipped]), handler.EveryInstance()), []string{"cannot be transactional"},
		},
		"bad policy": {
			handler.NewSet("x", handler.On(nothing[shipped]), handler.WithPolicy(handler.Policy{Lanes: 65, Multiplier: 0.5})),
			[]string{"policy.lanes: 65", "policy.multiplier: 0.5"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := test.set.Bind(catalogue(t))
			for _, want := range test.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{
		"a": true, "audit-2": true, "": false, "2a": false, "-a": false, "a_b": false, "ä": false, "A": false,
		fmt.Sprintf("%064d", 0): false, "a" + fmt.Sprintf("%063d", 0): true, "a" + fmt.Sprintf("%064d", 0): false,
	} {
		_, err := handler.NewSet(name, handler.On(nothing[shipped])).Bind(catalogue(t))
		require.Equal(t, ok, err == nil, "name %q: %v", name, err)
	}
}
