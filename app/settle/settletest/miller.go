package settletest

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/app/settle"
)

// miller is a process that works the set.
type miller struct {
	w      *mill
	name   string
	bus    *road
	cancel context.CancelFunc
	done   chan struct{}

	cut    atomic.Bool // it cannot reach the store
	killed atomic.Bool // nothing that it does has an effect any more
	dying  atomic.Bool // it is killed by its next commit, after that is on disk
}

// most is how many processes run side by side.
const most = 3

// start starts a process, unless there are enough.
func (w *mill) start() {
	if len(w.running()) == most {
		return
	}
	w.started++
	p := &miller{w: w, name: fmt.Sprint("process", w.started), bus: &road{}, done: make(chan struct{})}
	catalogue, err := event.NewCatalogue(event.Definitions{event.Define[begun](event.Business)})
	require.NoError(w, err)
	set, err := handler.NewSet("s", handler.On(func(context.Context, begun) error { return nil })).Bind(catalogue)
	require.NoError(w, err)
	policy := handler.Policy{Lanes: w.lanes}.Or(handler.DefaultPolicy())
	var source message.Subscriber = p.bus
	if w.dealt {
		source = laneRoad{p.bus}
	}
	store := &severed{Store: w.Store, p: p}
	g := settle.NewGroup(settle.Config{Owner: p.name, LeaseTTL: ttl, Inbox: 4, Page: 8}, set, policy, store, store, source, w.clock,
		slog.New(slog.NewTextHandler(&w.log, nil)).With("process", p.name))
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	out, err := g.Subscribe(ctx, "s")
	require.NoError(w, err)
	go func() {
		defer close(p.done)
		var inHand sync.WaitGroup
		for m := range out {
			inHand.Go(func() { p.handle(ctx, m, policy) })
		}
		inHand.Wait()
	}()
	w.processes = append(w.processes, p)
}

func (p *miller) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// stop ends the process as SIGTERM does.
func (p *miller) stop() {
	p.cancel()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.w.Fatalf("%s does not end; its log:\n%s", p.name, &p.w.log)
	}
}

// kill ends the process as kill -9 does: at once, or just after its next commit, of which it then
// does not hear.
func (p *miller) kill(afterCommit bool) {
	if afterCommit {
		p.dying.Store(true)
		return
	}
	p.killed.Store(true)
	p.stop()
}

// handle is the router and its chain, reduced to what they do with an attempt.
func (p *miller) handle(stopping context.Context, m *message.Message, policy handler.Policy) {
	a := settle.AttemptFrom(m.Context())
	what := p.w.next(a)
	if what == "slow" {
		select { // longer than a lease
		case <-p.w.clock.After(ttl + time.Second):
		case <-stopping.Done():
		}
		what = "handled"
	}
	ctx, now := context.Background(), p.w.clock.Now().UTC()
	var err error
	switch {
	case what == "nothing":
		err = errTest
	case what == "handled":
		err = a.Handled(ctx, func(ctx context.Context) error {
			how := "first"
			if a.Redriven {
				how = "redriven"
			}
			e := envelope(fmt.Sprintf("%s/%s/%d", a.Event.ID, how, p.w.effects.Add(1)), a.Event.Subject)
			e.Type = "effect.made"
			_, err := p.w.Append(ctx, []event.Envelope{e})
			return err
		})
	case what == "hold":
		err = a.Park(ctx, now.Add(time.Minute), "held", false)
	case what == "dead" || a.Number >= policy.Attempts:
		err = a.Bury(ctx, "dead")
	default:
		err = a.Park(ctx, now.Add(policy.Backoff(a.Number, 0.5)), "failed", true)
	}
	if err != nil {
		m.Nack()
		return
	}
	m.Ack()
}

// severed is the store as a process sees it that may be cut off or killed.
type severed struct {
	Store
	p *miller
}

func (s *severed) gone() error {
	if s.p.cut.Load() || s.p.killed.Load() {
		return errTest
	}
	return nil
}

func (s *severed) Statuses(ctx context.Context) (map[string]settle.Status, error) {
	if err := s.gone(); err != nil {
		return nil, err
	}
	return s.Store.Statuses(ctx)
}

func (s *severed) Renew(ctx context.Context, leases []settle.Lease, ttl time.Duration) ([]settle.Lease, error) {
	if err := s.gone(); err != nil {
		return nil, err
	}
	return s.Store.Renew(ctx, leases, ttl)
}

func (s *severed) Release(ctx context.Context, l settle.Lease) error {
	if err := s.gone(); err != nil {
		return err
	}
	return s.Store.Release(ctx, l)
}

func (s *severed) NoteInHand(ctx context.Context, l settle.Lease, position int64, attempts int) error {
	if err := s.gone(); err != nil {
		return err
	}
	return s.Store.NoteInHand(ctx, l, position, attempts)
}

func (s *severed) Settle(ctx context.Context, work settle.Work) error {
	if err := s.gone(); err != nil {
		return err
	}
	err := s.Store.Settle(ctx, work)
	if s.p.dying.Load() {
		s.p.killed.Store(true)
		s.p.cancel()
		return errTest
	}
	return err
}

func (s *severed) Advance(ctx context.Context, l settle.Lease, cursors map[int]int64) error {
	if err := s.gone(); err != nil {
		return err
	}
	return s.Store.Advance(ctx, l, cursors)
}

func (s *severed) Parked(ctx context.Context, set string, slots []int) ([]settle.Parked, error) {
	if err := s.gone(); err != nil {
		return nil, err
	}
	return s.Store.Parked(ctx, set, slots)
}
