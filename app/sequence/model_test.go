package sequence_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/leat-dev/leat/app/bus"
	"github.com/leat-dev/leat/app/bus/bustest/memory"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/sequence"
)

// register is a log that gives positions after the commit, to one process at a time.
type register struct {
	*memory.Store
	lead chan struct{} // holds a token while nobody leads

	mu          sync.Mutex
	committed   []event.Envelope // without a position
	unsequenced chan struct{}
	depose      context.CancelCauseFunc
	failAssign  int // so many calls
	failRead    int
}

var _ sequence.Leader = (*register)(nil)

func newRegister(clock clockwork.Clock) *register {
	r := &register{Store: memory.New(clock), lead: make(chan struct{}, 1), unsequenced: make(chan struct{})}
	r.lead <- struct{}{}
	r.OnRead = func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.failRead > 0 {
			r.failRead--
			return errTest
		}
		return nil
	}
	return r
}

func (r *register) commit(announced bool, events ...event.Envelope) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.committed = append(r.committed, events...)
	if announced {
		close(r.unsequenced)
		r.unsequenced = make(chan struct{})
	}
}

func (r *register) Unsequenced() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.unsequenced
}

func (r *register) Lead(ctx context.Context, lead func(context.Context, sequence.Assign) error) error {
	select {
	case <-r.lead:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { r.lead <- struct{}{} }()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r.mu.Lock()
	r.depose = cancel
	r.mu.Unlock()
	return lead(ctx, func(ctx context.Context) (int, error) {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.failAssign > 0 {
			r.failAssign--
			return 0, errTest
		}
		n := min(len(r.committed), 3)
		r.Append(r.committed[:n]...)
		r.committed = r.committed[n:]
		return n, nil
	})
}

func (r *register) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

// shared is the bus that all processes feed, or one process's own.
type shared struct {
	mu      sync.Mutex
	fail    int
	entries []bus.Entry
}

func (s *shared) Publish(_ context.Context, entries []bus.Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail > 0 {
		s.fail--
		return errTest
	}
	s.entries = append(s.entries, entries...)
	return nil
}

// Sequencers of several processes come and go, lose the lead, and cannot reach log or bus: each
// event gets a position, is handed over, and is never said to follow on an event before the one it
// truly follows on, which would hide what lies between.
func TestModel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		// Not t itself: rapid would ask for its deadline, which a bubble does not know.
		rapid.Check(struct{ testing.TB }{t}, func(rt *rapid.T) {
			everyProcess := rapid.Bool().Draw(rt, "every process has a bus of its own")
			log := newRegister(clockwork.NewRealClock())
			type process struct {
				bus   *shared
				stop  func()
				after int64 // where the log ended when it was ready
			}
			var processes []process
			defer func() {
				for _, p := range processes {
					p.stop()
				}
			}()
			one, number := &shared{}, 0
			start := func() {
				p := process{bus: one}
				if everyProcess {
					p.bus = &shared{}
				}
				cfg := sequence.Config{Page: 1000, EveryProcess: everyProcess}
				seq := sequence.New(cfg, log, p.bus, clockwork.NewRealClock(), slog.New(slog.DiscardHandler))
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- seq.Run(ctx) }()
				p.stop = func() {
					cancel()
					if err := <-ended; err != nil && !errors.Is(err, errTest) {
						rt.Errorf("the sequencer: %v", err)
					}
				}
				synctest.Wait()
				select {
				case <-seq.Ready():
					_, p.after, _ = log.Bounds(t.Context())
					processes = append(processes, p)
				default: // it could not read where the log ends
					p.stop()
				}
			}
			keys := rapid.SampledFrom([]string{"a", "b", "c"})
			rt.Repeat(map[string]func(*rapid.T){
				"commit": func(rt *rapid.T) {
					var events []event.Envelope
					for range rapid.IntRange(1, 7).Draw(rt, "events") {
						number++
						events = append(events, event.Envelope{ID: fmt.Sprint(number), Type: "a.b", Tenant: "t", PartitionKey: keys.Draw(rt, "key")})
					}
					log.commit(rapid.Bool().Draw(rt, "announced"), events...)
				},
				"start": func(*rapid.T) {
					if len(processes) < 3 {
						start()
					}
				},
				"stop": func(rt *rapid.T) {
					if len(processes) == 0 {
						rt.Skip("none runs")
					}
					i := rapid.IntRange(0, len(processes)-1).Draw(rt, "process")
					processes[i].stop()
					processes = append(processes[:i:i], processes[i+1:]...)
				},
				"depose": func(*rapid.T) {
					log.set(func() {
						if log.depose != nil {
							log.depose(errTest)
						}
					})
				},
				"the bus fails": func(rt *rapid.T) {
					n := rapid.IntRange(1, 3).Draw(rt, "calls")
					for _, p := range processes {
						p.bus.mu.Lock()
						p.bus.fail = n
						p.bus.mu.Unlock()
					}
				},
				"the log fails": func(rt *rapid.T) {
					n := rapid.IntRange(1, 3).Draw(rt, "calls")
					log.set(func() { log.failAssign, log.failRead = n, n })
				},
				"time": func(rt *rapid.T) {
					time.Sleep(rapid.SampledFrom([]time.Duration{time.Millisecond, 50 * time.Millisecond, time.Second}).Draw(rt, "time"))
					synctest.Wait()
				},
			})
			log.set(func() { log.failAssign, log.failRead = 0, 0 })
			start()
			time.Sleep(10 * time.Second) // for each failure that is left a poll, and one more
			synctest.Wait()

			require.Empty(rt, log.committed, "events without a position")
			events, _, err := log.Read(t.Context(), 0, 0, 100_000)
			require.NoError(rt, err)
			require.Len(rt, events, number)
			before := map[int64]int64{}
			last := map[int]int64{}
			for i, e := range events {
				require.Equal(rt, fmt.Sprint(i+1), e.ID, "positions are given in the order of the commits")
				before[e.Position] = last[e.Slot]
				last[e.Slot] = e.Position
			}
			for _, p := range processes {
				got := map[int64]bool{}
				for _, e := range p.bus.entries {
					got[e.Position] = true
					require.GreaterOrEqual(rt, e.Prev, e.Position-1)
					require.Less(rt, e.Prev, e.Position)
					require.GreaterOrEqual(rt, e.SlotPrev, before[e.Position])
					require.Less(rt, e.SlotPrev, e.Position)
				}
				for position := p.after + 1; position <= int64(number); position++ {
					require.True(rt, got[position], "the bus did not get %d of %d", position, number)
				}
			}
		})
	})
}
