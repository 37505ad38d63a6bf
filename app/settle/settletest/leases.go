package settletest

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/leat-dev/leat/app/settle"
)

// holding is what the model knows of a lane.
type holding struct {
	lease    settle.Lease // the newest; Owner "" while nobody has had it
	until    time.Duration
	released bool
}

// leases lets owners take, keep, lose and give back two lanes, also with leases that are long gone,
// and compares who may write with a record of each lane.
func leases(t *testing.T, f *fixture) {
	rapid.Check(t, func(rt *rapid.T) {
		f := &fixture{Store: f.open(t, f.clock), clock: f.clock, open: f.open}
		f.register(t, "s")
		e := f.log(t, 1)[0]
		var (
			now     time.Duration // since the beginning
			lanes   [2]holding
			granted []settle.Lease
			written int // effects
		)
		lane := rapid.IntRange(0, 1)
		owner := rapid.SampledFrom([]string{"a", "b", "c"})
		good := func(l settle.Lease) bool { return !lanes[l.Lane].released && lanes[l.Lane].lease.Fence == l.Fence }
		old := func(rt *rapid.T) settle.Lease {
			if len(granted) == 0 {
				rt.Skip("nobody had a lane")
			}
			return rapid.SampledFrom(granted[max(0, len(granted)-5):]).Draw(rt, "lease")
		}
		fenced := func(rt *rapid.T, l settle.Lease, err error) bool {
			if good(l) {
				require.NoError(rt, err)
			} else {
				require.ErrorIs(rt, err, settle.ErrFenced)
			}
			return err == nil
		}
		rt.Repeat(map[string]func(*rapid.T){
			"acquire": func(rt *rapid.T) {
				n, who := lane.Draw(rt, "lane"), owner.Draw(rt, "owner")
				h := &lanes[n]
				live := h.lease.Owner != "" && !h.released && h.until > now
				l, ok := f.tryAcquire(t, "s", n, who)
				require.Equal(rt, !live || h.lease.Owner == who, ok)
				if !ok {
					return
				}
				require.Greater(rt, l.Fence, h.lease.Fence)
				want := settle.Lease{Set: "s", Lane: n, Owner: who, Fence: l.Fence, InHand: h.lease.InHand, Attempts: h.lease.Attempts}
				want.TakenOver = h.lease.Owner != "" && !h.released && !live
				if want.TakenOver && want.InHand != 0 {
					want.Attempts++
				}
				require.Equal(rt, want, l)
				granted = append(granted, l)
				kept := l // what the lane notes is what its owner wrote, not what it was told
				kept.InHand, kept.Attempts = h.lease.InHand, h.lease.Attempts
				*h = holding{lease: kept, until: now + ttl}
			},
			"renew": func(rt *rapid.T) {
				asked := []settle.Lease{old(rt)}
				if other := old(rt); other != asked[0] && other.Lane != asked[0].Lane {
					asked = append(asked, other)
				}
				var want []settle.Lease
				for _, l := range asked {
					if good(l) {
						lanes[l.Lane].until = now + ttl
					} else {
						want = append(want, l)
					}
				}
				lost, err := f.Renew(ctxOf(t), asked, ttl)
				require.NoError(rt, err)
				require.Equal(rt, want, lost)
			},
			"release": func(rt *rapid.T) {
				l := old(rt)
				if err := f.Release(ctxOf(t), l); err != nil && !errors.Is(err, settle.ErrFenced) {
					require.NoError(rt, err)
				}
				if good(l) {
					h := &lanes[l.Lane]
					h.released, h.lease.InHand, h.lease.Attempts = true, 0, 0
				}
			},
			"note": func(rt *rapid.T) {
				l := old(rt)
				position, deaths := rapid.Int64Range(0, 3).Draw(rt, "position"), rapid.IntRange(0, 3).Draw(rt, "deaths")
				if fenced(rt, l, f.NoteInHand(ctxOf(t), l, position, deaths)) {
					h := &lanes[l.Lane]
					h.lease.InHand, h.lease.Attempts = position, deaths
				}
			},
			"write": func(rt *rapid.T) {
				l := old(rt)
				e.Position++ // each of them comes for the first time
				if fenced(rt, l, f.Settle(ctxOf(t), settle.Work{Lease: l, Event: e, First: true, Effect: f.effect(rapid.StringMatching(`[a-z]{8}`).Draw(rt, "effect"))})) {
					written++
				}
				f.holds(t, 1+written)
			},
			"advance": func(rt *rapid.T) {
				l := old(rt)
				fenced(rt, l, f.Advance(ctxOf(t), l, map[int]int64{l.Lane: 1}))
			},
			"time": func(rt *rapid.T) {
				d := rapid.SampledFrom([]time.Duration{time.Second, ttl - time.Second, ttl, 2 * ttl}).Draw(rt, "time")
				now += d
				f.clock.Advance(d)
			},
		})
	})
}
