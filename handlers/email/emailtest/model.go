package emailtest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/leat-dev/leat/handlers/email"
)

// expected is what the model knows of a mail.
type expected struct {
	address   string
	status    email.Status
	claim     *email.Claimed // the newest, nil when it was never claimed or given back
	until     time.Duration  // the end of its lease
	due       time.Duration  // while there is no claim
	fence     int64
	attempts  int
	lastError string // as claims tell it
	shown     string // as the reader tells it
}

func (m *expected) final() bool {
	return m.status == email.StatusSent || m.status == email.StatusFailed
}

func (m *expected) claimable(now time.Duration) bool {
	if m.claim != nil {
		return m.until <= now
	}
	return !m.final() && m.due <= now
}

// model drives a queue with random steps of several owners, some of them late, and compares it with
// a list.
func model(t *testing.T, open func(t *testing.T) Subject) {
	rapid.Check(t, func(rt *rapid.T) {
		s := open(t)
		var (
			now    time.Duration // since the beginning
			mails  []*expected   // oldest first
			claims []email.Claimed
		)
		byAddress := func(address string) *expected {
			return mails[slices.IndexFunc(mails, func(m *expected) bool { return m.address == address })]
		}
		// with draws a claim, of which most are not good any more, and tells whether it is.
		with := func(rt *rapid.T) (c email.Claimed, m *expected, good bool) {
			if len(claims) == 0 {
				rt.Skip("nothing was claimed")
			}
			c = rapid.SampledFrom(claims[max(0, len(claims)-6):]).Draw(rt, "claim")
			m = byAddress(c.To.Address)
			return c, m, m.claim != nil && m.claim.Fence == c.Fence
		}
		answer := func(rt *rapid.T, good bool, err error) {
			if good {
				require.NoError(rt, err)
			} else {
				require.ErrorIs(rt, err, email.ErrLost)
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"enqueue": func(rt *rapid.T) {
				address := fmt.Sprintf("m%d@example.com", rapid.IntRange(0, 9).Draw(rt, "number"))
				fails := rapid.SampledFrom([]bool{false, false, true}).Draw(rt, "rolled back")
				err := s.Tx.InTx(t.Context(), func(ctx context.Context) error {
					if err := s.Enqueue(ctx, mail("e", address)); err != nil || !fails {
						return err
					}
					return errBack
				})
				if fails {
					require.ErrorIs(rt, err, errBack)
					return
				}
				require.NoError(rt, err)
				if !slices.ContainsFunc(mails, func(m *expected) bool { return m.address == address }) {
					mails = append(mails, &expected{address: address, status: email.StatusQueued, due: now})
				}
			},
			"claim": func(rt *rapid.T) {
				limit := rapid.IntRange(1, 4).Draw(rt, "limit")
				got, err := s.Queue.Claim(t.Context(), rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "owner"), limit, lease)
				require.NoError(rt, err)
				want := 0
				for _, m := range mails {
					if m.claimable(now) {
						want++
					}
				}
				require.Len(rt, got, min(limit, want))
				for _, c := range got {
					m := byAddress(c.To.Address)
					require.True(rt, m.claimable(now), "%s was claimed out of its time", m.address)
					require.Greater(rt, c.Fence, m.fence)
					require.Equal(rt, m.attempts, c.Attempts)
					require.Equal(rt, m.lastError, c.LastError)
					m.claim, m.fence, m.until = &c, c.Fence, now+lease
					claims = append(claims, c)
				}
			},
			"mark": func(rt *rapid.T) {
				c, m, good := with(rt)
				good = good && m.until > now
				answer(rt, good, s.Queue.MarkSending(t.Context(), c, email.Record{Subject: "s", MessageID: "i"}))
				if good {
					m.status = email.StatusSending
					m.attempts++
				}
			},
			"retry": func(rt *rapid.T) {
				c, m, good := with(rt)
				after := rapid.SampledFrom([]time.Duration{0, time.Second, 2 * lease}).Draw(rt, "after")
				reason := rapid.SampledFrom([]string{"421", "450 später"}).Draw(rt, "reason")
				answer(rt, good, s.Queue.Retry(t.Context(), c, after, reason))
				if good {
					m.status, m.claim, m.due, m.lastError, m.shown = email.StatusQueued, nil, now+after, reason, reason
				}
			},
			"release": func(rt *rapid.T) {
				c, m, good := with(rt)
				answer(rt, good, s.Queue.Release(t.Context(), c))
				if good {
					m.status, m.claim, m.due = email.StatusQueued, nil, now
				}
			},
			"finish": func(rt *rapid.T) {
				c, m, good := with(rt)
				o := rapid.SampledFrom([]email.Outcome{{Status: email.StatusSent}, {Status: email.StatusFailed, Error: "550"}}).Draw(rt, "outcome")
				answer(rt, good, s.Queue.Finish(t.Context(), c, o))
				if good {
					m.status, m.claim, m.shown = o.Status, nil, o.Error
				}
			},
			"time": func(rt *rapid.T) {
				d := rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, lease - time.Second, lease}).Draw(rt, "time")
				now += d
				s.Advance(d)
			},
			"": func(rt *rapid.T) {
				got, _, err := s.Reader.Emails(t.Context(), email.Query{Tenant: "acme", Limit: 50})
				require.NoError(rt, err)
				require.Len(rt, got, len(mails))
				slices.Reverse(got)
				for i, m := range mails {
					require.Equal(rt, m.address, got[i].To)
					require.Equal(rt, m.status, got[i].Status, m.address)
					require.Equal(rt, m.attempts, got[i].Attempts, m.address)
					require.Equal(rt, m.shown, got[i].Error, m.address)
					require.Equal(rt, m.status == email.StatusSent, !got[i].Sent.IsZero(), m.address)
				}
			},
		})
		// Whatever happened, each mail that is not final can be had once more.
		s.Advance(3 * lease)
		got, err := s.Queue.Claim(t.Context(), "c", 50, lease)
		require.NoError(rt, err)
		var left, want []string
		for _, c := range got {
			left = append(left, c.To.Address)
		}
		for _, m := range mails {
			if !m.final() {
				want = append(want, m.address)
			}
		}
		require.ElementsMatch(rt, want, left)
	})
}
