package bustest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/leat-dev/leat/app/bus"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/app/publish"
	"github.com/leat-dev/leat/app/router"
	"github.com/leat-dev/leat/app/sequence"
	"github.com/leat-dev/leat/app/settle"
)

// posted is a message of Watermill's as an event.
type posted struct {
	UUID     string            `json:"uuid"`
	Metadata map[string]string `json:"metadata"`
	Payload  []byte            `json:"payload"`
}

func (posted) EventType() string { return "letter.posted" }

// postOffice takes messages to topics, for one test, in the time of the machine.
type postOffice struct {
	t         *testing.T
	env       Env
	dir       string
	clock     clockwork.Clock
	logger    *slog.Logger
	catalogue *event.Catalogue
	store     Store
	publisher *publish.Publisher

	mu   sync.Mutex
	only *branch // of an environment with one process
}

// branch is a process without handler sets.
type branch struct {
	bus   bus.Bus
	close func() error
}

func newPostOffice(t *testing.T, env Env) *postOffice {
	t.Helper()
	catalogue, err := event.NewCatalogue(event.Definitions{event.Define[posted](event.Business)})
	require.NoError(t, err)
	log := &logBuffer{}
	o := &postOffice{
		t: t, env: env, dir: t.TempDir(), clock: clockwork.NewRealClock(), catalogue: catalogue,
		logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelInfo})),
	}
	place := o.dir
	if env.Place != nil {
		place = env.Place(t)
	}
	o.store, err = env.Open(context.Background(), place, o.clock, o.logger)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, o.store.Close())
		if t.Failed() {
			t.Logf("the log:\n%s", log)
		}
	})
	o.publisher = publish.New(publish.Config{}, catalogue, o.store, o.clock, nil)
	return o
}

// open returns both ends of a process; subscribers of one group share what they get.
func (o *postOffice) open(t *testing.T, group string) (message.Publisher, message.Subscriber) {
	return counter{o}, o.subscriber(t, group)
}

// openOwn is open for a group of the subscriber's own, which begins at the start.
func (o *postOffice) openOwn(t *testing.T) (message.Publisher, message.Subscriber) {
	s := o.subscriber(t, uuid.NewString())
	s.fromStart = true
	return counter{o}, s
}

func (o *postOffice) subscriber(t *testing.T, group string) *postman {
	s := &postman{office: o, group: group, branch: o.branch(t)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// branch returns a process that has begun: the only one, or one more.
func (o *postOffice) branch(t *testing.T) *branch {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.only != nil {
		return o.only
	}
	carrier, err := o.env.Bus.Make(Parts{T: t, Log: o.store, Clock: o.clock, Logger: o.logger, Dir: o.dir})
	require.NoError(t, err)
	s := sequence.New(sequence.Config{EveryProcess: !o.env.Bus.Shared}, o.store, carrier, o.clock, o.logger)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	b := &branch{bus: carrier, close: sync.OnceValue(func() error {
		cancel()
		return errors.Join(<-ended, carrier.Close())
	})}
	t.Cleanup(func() { require.NoError(t, b.close()) })
	select {
	case <-s.Ready():
	case <-time.After(patience):
		t.Fatalf("the sequencer did not begin in %v", patience)
	}
	if !o.env.Several {
		o.only = b
	}
	return b
}

// counter takes letters.
type counter struct{ office *postOffice }

func (c counter) Publish(topic string, messages ...*message.Message) error {
	drafts := make([]event.Draft, len(messages))
	for i, m := range messages {
		drafts[i] = event.Draft{
			Event: posted{UUID: m.UUID, Metadata: m.Metadata, Payload: m.Payload},
			ID:    topic + "/" + m.UUID, Tenant: tenant, Subject: topic, PartitionKey: topic + "/" + string(m.Payload),
		}
	}
	_, err := c.office.publisher.Publish(context.Background(), drafts...)
	return err
}

func (c counter) Close() error { return nil }

// postman delivers to subscribers.
type postman struct {
	office    *postOffice
	group     string
	branch    *branch
	fromStart bool

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	rounds sync.WaitGroup
}

var _ message.SubscribeInitializer = (*postman)(nil)

// set is the handler set of a group and a topic.
func (p *postman) set(topic string, options ...handler.Option) handler.Set {
	sum := sha256.Sum256([]byte(p.group + " " + topic))
	options = append(options, handler.WithPolicy(handler.Policy{
		Attempts: 10_000, Initial: time.Millisecond, Multiplier: 1, Timeout: 5 * time.Minute, // a nack is never the last word
	}))
	if p.fromStart {
		options = append(options, handler.FromStart())
	}
	return handler.NewSet("letters-"+hex.EncodeToString(sum[:16]), options...)
}

func (p *postman) bind(set handler.Set) (*handler.Bound, error) {
	bound, err := set.Bind(p.office.catalogue)
	if err != nil {
		return nil, err
	}
	return bound, p.office.store.Register(context.Background(),
		settle.Registration{Set: set.Name(), Types: bound.Types(), FromStart: set.BeginsAtStart()})
}

// SubscribeInitialize makes the set known, so that it gets what is published from now on.
func (p *postman) SubscribeInitialize(topic string) error {
	_, err := p.bind(p.set(topic, handler.OnMatch(func(context.Context, event.Envelope) error { return nil }, "letter.posted")))
	return err
}

var errNacked = errors.New("nacked")

// Subscribe begins to work the set.
func (p *postman) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	out := make(chan *message.Message)
	bound, err := p.bind(p.set(topic, handler.OnMatch(func(ctx context.Context, e event.Envelope) error {
		if e.Subject != topic {
			return nil
		}
		return hand(ctx, e, out)
	}, "letter.posted")))
	if err != nil {
		return nil, err
	}
	o := p.office
	r, err := router.New(router.Config{
		DrainTimeout: 100 * time.Millisecond, // tests leave letters in hand and wait for the end
		Settle:       settle.Config{Owner: uuid.NewString()},
	}, router.Parts{
		Bus: p.branch.bus, Log: o.store, Store: o.store, Clock: o.clock, Tracer: noop.NewTracerProvider().Tracer(""),
		Random: func() float64 { return 0.5 }, Logger: o.logger,
	}, []*handler.Bound{bound})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(p.ctx, cancel)
	ended := make(chan error, 1)
	p.rounds.Go(func() {
		defer close(out)
		defer stop()
		defer cancel()
		ended <- r.Run(ctx)
	})
	select {
	case <-r.Running():
		return out, nil
	case err := <-ended:
		return out, errors.Join(err, ctx.Err())
	}
}

// hand hands a letter out and waits for the answer.
func hand(ctx context.Context, e event.Envelope, out chan<- *message.Message) error {
	var l posted
	if err := json.Unmarshal(e.Data, &l); err != nil {
		return handler.Permanent(err)
	}
	m := message.NewMessage(l.UUID, l.Payload)
	m.Metadata = l.Metadata
	m.SetContext(ctx)
	select {
	case out <- m:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-m.Acked():
		return nil
	case <-m.Nacked():
		return errNacked
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Close ends the rounds and, where it is the postman's own, the process.
func (p *postman) Close() error {
	p.cancel()
	p.rounds.Wait()
	if p.office.env.Several {
		return p.branch.close()
	}
	return nil
}
