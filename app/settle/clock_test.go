package settle_test

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/bus/bustest/memory"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/app/settle"
)

// jumpy is a clock that somebody sets: what it shows jumps, while its timers run on evenly.
type jumpy struct {
	clockwork.Clock
	offset *atomic.Int64
}

func newJumpy() jumpy { return jumpy{clockwork.NewRealClock(), &atomic.Int64{}} }

func (c jumpy) Now() time.Time                  { return c.Clock.Now().Add(time.Duration(c.offset.Load())) }
func (c jumpy) Since(t time.Time) time.Duration { return c.Now().Sub(t) }
func (c jumpy) Until(t time.Time) time.Duration { return t.Sub(c.Now()) }
func (c jumpy) jump(d time.Duration)            { c.offset.Add(int64(d)) }

// The tests below run in bubbles, in which a minute takes no time.

// worked starts a group in the bubble whose events handle decides about, and returns what stops it.
func worked(t *testing.T, clock clockwork.Clock, store *memory.Store, owner string, policy handler.Policy, handle func(a *settle.Attempt) error) (stop func()) {
	t.Helper()
	catalogue, err := event.NewCatalogue(event.Definitions{event.Define[made](event.Business)})
	require.NoError(t, err)
	set, err := handler.NewSet("one", handler.On(func(context.Context, made) error { return nil })).Bind(catalogue)
	require.NoError(t, err)
	require.NoError(t, store.Register(t.Context(), settle.Registration{Set: "one"}))
	g := settle.NewGroup(settle.Config{Owner: owner}, set, policy.Or(handler.DefaultPolicy()), store, store,
		&hand{messages: make(chan *message.Message)}, clock, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	out, err := g.Subscribe(ctx, "one")
	require.NoError(t, err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for m := range out {
			if handle(settle.AttemptFrom(m.Context())) == nil {
				m.Ack()
			} else {
				m.Nack()
			}
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

// An event that waits for its next attempt waits no longer than the longest pause there is, wherever the
// clock was set in the meantime.
func TestParkedEventsSurviveClockJumps(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for name, jumps := range map[string]struct{ before, after time.Duration }{
		"steady":                      {0, 0},
		"an hour back":                {0, -time.Hour},
		"a day forward":               {0, day},
		"a day forward, and set back": {day, -day},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(name+map[bool]string{true: ", restarted"}[restart], func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					clock := newJumpy()
					store := memory.New(clock)
					store.Append(event.Envelope{ID: "e", Type: "thing.made", SchemaVersion: 1, Tenant: "t", PartitionKey: "a"})
					var tries, handled atomic.Int64
					handle := func(a *settle.Attempt) error {
						if tries.Add(1) == 1 {
							return a.Park(context.Background(), clock.Now().UTC().Add(2*time.Second), "no luck", true)
						}
						handled.Add(1)
						return a.Handled(context.Background(), nil)
					}
					clock.jump(jumps.before)
					stop := worked(t, clock, store, "me", handler.Policy{Lanes: 1, Max: 10 * time.Second}, handle)
					defer func() { stop() }()
					time.Sleep(time.Second)
					require.EqualValues(t, 1, tries.Load())
					clock.jump(jumps.after)
					if restart {
						stop()
						stop = worked(t, clock, store, "me", handler.Policy{Lanes: 1, Max: 10 * time.Second}, handle)
					}
					for range 60 { // somebody pauses and resumes other sets all the time
						time.Sleep(2 * time.Second)
						require.NoError(t, store.SetPaused(t.Context(), "one", false))
					}
					require.EqualValues(t, 1, handled.Load(), "want it tried again")
					require.EqualValues(t, 2, tries.Load())
				})
			})
		}
	}
}

// A set that rests because something is down tries again, and not in a hot loop.
func TestRestSurvivesClockJumps(t *testing.T) {
	t.Parallel()
	for name, jump := range map[string]time.Duration{"steady": 0, "back": -time.Hour, "forward": 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				clock := newJumpy()
				store := memory.New(clock)
				store.Append(event.Envelope{ID: "e", Type: "thing.made", SchemaVersion: 1, Tenant: "t", PartitionKey: "a"})
				var tries atomic.Int64
				stop := worked(t, clock, store, "me", handler.Policy{Lanes: 1, Max: 10 * time.Second}, func(*settle.Attempt) error {
					tries.Add(1)
					return errTest
				})
				defer stop()
				time.Sleep(time.Minute)
				before := tries.Load()
				require.Positive(t, before)
				clock.jump(jump)
				time.Sleep(time.Minute)
				after := tries.Load() - before
				require.GreaterOrEqual(t, after, int64(4), "tries in a minute with a pause of 10s")
				require.LessOrEqual(t, after, int64(20), "tries in a minute with a pause of 10s")
			})
		})
	}
}

// Two processes share the lanes while the clock of the leases is set: no event is lost or handled
// twice, and who was taken for dead finds out.
func TestLeasesSurviveClockJumps(t *testing.T) {
	t.Parallel()
	for name, jump := range map[string]time.Duration{"back": -time.Hour, "forward": 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				clock := newJumpy()
				store := memory.New(clock)
				var mu sync.Mutex
				handled := map[int64]int{}
				handle := func(a *settle.Attempt) error {
					return a.Handled(context.Background(), func(context.Context) error {
						mu.Lock()
						defer mu.Unlock()
						handled[a.Event.Position]++
						return nil
					})
				}
				stopOne := worked(t, clock, store, "one", handler.Policy{Lanes: 4}, handle)
				defer stopOne()
				synctest.Wait()
				stopTwo := worked(t, clock, store, "two", handler.Policy{Lanes: 4}, handle)
				defer stopTwo()
				n := 0
				give := func() {
					for _, key := range []string{"a", "b", "c", "d", "e", "f"} {
						n++
						store.Append(event.Envelope{ID: key, Type: "thing.made", SchemaVersion: 1, Tenant: "t", PartitionKey: key})
						time.Sleep(2 * time.Second)
					}
				}
				give()
				clock.jump(jump)
				give()
				time.Sleep(time.Minute)
				give()
				time.Sleep(time.Minute)
				synctest.Wait()
				require.Len(t, handled, n)
				for position, times := range handled {
					require.Equal(t, 1, times, "event %d", position)
				}
			})
		})
	}
}

// While nothing happens, a group looks at its store and its log as often as it was told to, whatever the clock shows.
func TestIdleGroupIsIdle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		clock := newJumpy()
		store := memory.New(clock)
		var looks atomic.Int64
		store.OnRead = func() error {
			looks.Add(1)
			return nil
		}
		stop := worked(t, clock, store, "me", handler.Policy{Lanes: 8}, func(a *settle.Attempt) error { return a.Handled(context.Background(), nil) })
		defer stop()
		for _, jump := range []time.Duration{0, -time.Hour, 24 * time.Hour} {
			clock.jump(jump)
			synctest.Wait()
			before := looks.Load()
			time.Sleep(time.Minute)
			require.LessOrEqual(t, looks.Load()-before, int64(70), "looks in a minute, one a second is asked for")
		}
	})
}
