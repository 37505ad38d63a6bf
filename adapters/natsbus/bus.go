package natsbus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/leat-dev/leat/app/bus"
	"github.com/leat-dev/leat/app/deadletter"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/domain"
)

// Hooks connect a bus with what stands behind it. Any may be nil.
type Hooks struct {
	// Log is the log whose events the stream carries. It is what makes a stream of another log, and
	// a message of one, known as such. nil: nothing is compared.
	Log Log
	// Letters keeps messages of the stream that cannot be read. They come again until it has them.
	// nil: they are logged.
	Letters Letters
}

// Log is what a bus asks the event log.
type Log interface {
	eventlog.Identified
	Bounds(ctx context.Context) (first, last int64, err error)
	At(ctx context.Context, positions ...int64) ([]event.Envelope, error)
}

// Letters makes dead letters of messages that do not become events, once for each Set and Key.
type Letters interface {
	BuryStray(ctx context.Context, s deadletter.Stray) error
}

// What stands in dead letters where others have their handler set; no set may bear these names.
const (
	SetStream  = "nats"    // a message on our own subjects that cannot be read
	SetForeign = "foreign" // a message of another service that the log refuses
)

// Bus carries events over JetStream.
type Bus struct {
	cfg    Config
	hooks  Hooks
	logger *slog.Logger
	inside *embedded // nil: the server is elsewhere
	conn   *nats.Conn
	js     jetstream.JetStream

	ctx  context.Context // ends with Close; the subscriptions' contexts end with it
	end  context.CancelFunc
	subs sync.WaitGroup

	mu      sync.Mutex
	changed chan struct{} // closed when subscriptions shall look whether their consumers are there

	identity string // of the log; "": not known

	publishing sync.Mutex // keeps the order of calls, and guards form
	form       form
	acks       acks
	run        string // tells this process and start from others
	provision  sync.Mutex
}

var _ bus.Bus = (*Bus)(nil)

// Open starts the embedded server or connects to the one at cfg.URL, and makes the stream when it is
// missing. A server that does not answer in cfg.StartWait is a domain.Unavailable error that names
// the URL, one that refuses the log-in domain.Forbidden at once, and a stream with other settings, of
// another log, or with events that the log does not hold, domain.Conflict.
func Open(ctx context.Context, cfg Config, hooks Hooks, logger *slog.Logger) (*Bus, error) {
	if faults := cfg.Validate(); len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	b := &Bus{cfg: cfg.withDefaults(), hooks: hooks, logger: logger, changed: make(chan struct{}), acks: newAcks(), run: nats.NewInbox()[len(nats.InboxPrefix):]}
	b.ctx, b.end = context.WithCancel(context.Background())
	if err := b.open(ctx); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func (b *Bus) open(ctx context.Context) (err error) {
	if b.hooks.Log != nil {
		if b.identity, err = b.hooks.Log.Identity(ctx); err != nil {
			return err
		}
	}
	if b.cfg.embedded() {
		if b.inside, err = startEmbedded(ctx, b.cfg, b.logger); err != nil {
			return err
		}
	}
	if b.conn, err = connect(ctx, b.cfg, b.inside, b.logger, b.acks.lost, b.lookAgain); err != nil {
		return err
	}
	if b.js, err = jetstream.New(b.conn); err != nil {
		return fmt.Errorf("speak JetStream: %w", err)
	}
	if err = b.acks.listen(b.conn); err != nil {
		return err
	}
	if limit := b.conn.MaxPayload(); limit < wanted {
		b.logger.Warn("the NATS server accepts smaller messages than events may be; larger ones are read from the log",
			"max_payload", limit, "wanted", wanted)
	}
	if err := b.openStream(ctx); err != nil {
		return err
	}
	return b.checkEnd(ctx)
}

// URL is where other processes reach the embedded server: the address that Listen was bound to.
// It is empty when the server does not listen, or is elsewhere.
func (b *Bus) URL() string {
	if b.inside == nil || b.cfg.Listen == "" {
		return ""
	}
	return b.inside.server.ClientURL()
}

// Connected tells whether the connection is up.
func (b *Bus) Connected() bool { return b.conn.IsConnected() }

// Check is nil when events travel: the connection is up and the stream is there, and of this log. Else
// it is a domain.Unavailable or, for the stream of another log, a domain.Conflict error.
func (b *Bus) Check(ctx context.Context) error {
	if !b.Connected() {
		return b.down(nats.ErrDisconnected)
	}
	ctx, cancel := context.WithTimeout(ctx, apiWait)
	defer cancel()
	stream, err := b.js.Stream(ctx, Stream)
	if err != nil {
		return domain.Errorf(domain.Unavailable, "NATS_STREAM", "look at stream %s: %w", Stream, err)
	}
	return b.checkOwner(stream)
}

func (b *Bus) down(err error) error {
	return domain.Errorf(domain.Unavailable, "NATS_UNAVAILABLE", "the connection to NATS at %s is down: %w", b.address(), err)
}

// address is where the server is, without secrets.
func (b *Bus) address() string {
	if b.cfg.embedded() {
		return "the embedded server"
	}
	return address(b.cfg.URL)
}

// Subscriber returns the subscriber of a set: a bus.LaneSubscriber, unless every instance runs it.
func (b *Bus) Subscriber(s bus.Subscription) (message.Subscriber, error) {
	if s.Set == "" {
		return nil, fmt.Errorf("subscribe to the bus: the set has no name")
	}
	if s.EveryInstance {
		return newSubscription(b, seat{set: s.Set, every: true}), nil
	}
	return group{bus: b, set: s.Set}, nil
}

// enter counts a subscription in, unless the bus is closed. It ends with subs.Done.
func (b *Bus) enter() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ctx.Err() != nil {
		return false
	}
	b.subs.Add(1)
	return true
}

// group subscribes to the lanes of one set.
type group struct {
	bus *Bus
	set string
}

var _ bus.LaneSubscriber = group{}

// SubscribeLane begins to pull the messages of one lane.
func (g group) SubscribeLane(ctx context.Context, lane, lanes int) (<-chan *message.Message, error) {
	if lane < 0 || lane >= lanes {
		return nil, fmt.Errorf("subscribe handler set %s to NATS: there is no lane %d of %d", g.set, lane, lanes)
	}
	return newSubscription(g.bus, seat{set: g.set, lane: lane, lanes: lanes}).Subscribe(ctx, g.set)
}

// Subscribe begins to pull everything, as the one lane that there is.
func (g group) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	return g.SubscribeLane(ctx, 0, 1)
}

// Close does nothing: a subscription ends with its context.
func (g group) Close() error { return nil }

// lookAgain makes every subscription see whether its consumer is there.
func (b *Bus) lookAgain() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.changed)
	b.changed = make(chan struct{})
}

func (b *Bus) news() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.changed
}

// Close ends the subscriptions, gives back what they have in hand, and closes the connection and the
// embedded server, in that order.
func (b *Bus) Close() error {
	b.mu.Lock() // nobody enters from here on
	b.end()
	b.mu.Unlock()
	b.subs.Wait()
	var err error
	if b.conn != nil {
		if b.conn.IsConnected() {
			err = b.conn.FlushTimeout(closeWait) // acks
		}
		b.conn.Close()
	}
	if b.inside != nil {
		b.inside.stop()
	}
	// A connection that went while it was flushed has nothing more to lose: what it did not ack comes again.
	if err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		return fmt.Errorf("close the connection to NATS: %w", err)
	}
	return nil
}

const (
	apiWait   = 5 * time.Second
	closeWait = 2 * time.Second
)
