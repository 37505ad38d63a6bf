package settletest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/settle"
	"github.com/leat-dev/leat/domain"
)

func (f *fixture) attends(t testing.TB, c settle.Claim, owners int, free ...int) {
	t.Helper()
	a, err := f.Attend(ctxOf(t), c)
	require.NoError(t, err)
	require.Equal(t, owners, a.Owners, "processes that attend")
	require.ElementsMatch(t, free, a.Free, "free lanes")
}

func attends(t *testing.T, f *fixture) {
	ctx := ctxOf(t)
	f.registers(t, typ)
	all := settle.AllLanes(3)
	changed := f.LanesChanged()
	f.attends(t, claim(0, 3, "a", typ), 1, all...)
	f.closes(t, changed)
	changed = f.LanesChanged()
	f.attends(t, claim(0, 3, "b", typ), 2, all...)
	f.closes(t, changed)
	f.attends(t, claim(0, 3, "a", typ), 2, all...)
	// Those with another number of lanes are others, and each set has its own.
	f.attends(t, claim(0, 4, "c", typ), 1, settle.AllLanes(4)...)
	require.NoError(t, f.Register(ctx, settle.Registration{Set: "other", Types: []string{typ}}))
	of := claim(0, 3, "a", typ)
	of.Set = "other"
	f.attends(t, of, 1, all...)

	f.clock.Advance(ttl - time.Second)
	f.attends(t, claim(0, 3, "a", typ), 2, all...)
	f.clock.Advance(time.Second)
	f.attends(t, claim(0, 3, "a", typ), 1, all...) // b has died
	changed = f.LanesChanged()
	f.attends(t, claim(0, 3, "b", typ), 2, all...) // or has not
	f.closes(t, changed)
	changed = f.LanesChanged()
	require.NoError(t, f.Leave(ctx, "s", "a"))
	f.closes(t, changed)
	f.attends(t, claim(0, 3, "b", typ), 1, all...)
	require.NoError(t, f.Leave(ctx, "s", "a"), "nothing to take back")
}

func attendsWithoutRight(t *testing.T, f *fixture) {
	ctx := ctxOf(t)
	_, err := f.Attend(ctx, claim(0, 2, "a", typ))
	require.Equal(t, domain.NotFound, domain.KindOf(err), "%v", err)
	f.registers(t, typ, newer)
	var types *settle.UnknownTypes
	_, err = f.Attend(ctx, claim(0, 2, "old", typ))
	require.ErrorAs(t, err, &types)
	require.Equal(t, []string{newer}, types.Types)
	f.mustClaim(t, claim(0, 2, "a", typ, newer))
	var lanes *settle.OtherLanes
	_, err = f.Attend(ctx, claim(0, 3, "b", typ, newer))
	require.ErrorAs(t, err, &lanes)
	require.Equal(t, settle.OtherLanes{Set: "s", InForce: 2, Claimed: 3, Owner: "a"}, *lanes)
	f.attends(t, claim(0, 2, "a", typ, newer), 1, 0, 1)
}

func freeLanes(t *testing.T, f *fixture) {
	ctx := ctxOf(t)
	f.registers(t, typ)
	one, two := f.mustClaim(t, claim(0, 3, "a", typ)), f.mustClaim(t, claim(2, 3, "a", typ))
	f.attends(t, claim(0, 3, "b", typ), 1, 1)
	// An owner may take anew what it does not know to be its own: the answer may have been lost.
	f.attends(t, claim(0, 3, "a", typ), 2, 0, 1, 2)
	changed := f.LanesChanged()
	require.NoError(t, f.Release(ctx, one))
	f.closes(t, changed)
	f.attends(t, claim(0, 3, "b", typ), 2, 0, 1)
	f.mustClaim(t, claim(0, 3, "b", typ))
	f.clock.Advance(ttl / 2)
	lost, err := f.Renew(ctx, []settle.Lease{two}, ttl)
	require.NoError(t, err)
	require.Empty(t, lost)
	f.clock.Advance(ttl / 2)
	f.attends(t, claim(0, 3, "c", typ), 1, 0, 1)
}
