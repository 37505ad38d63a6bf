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
	"github.com/leat-dev/leat/app/fault"
)

// seat is whose messages a subscription brings: those of a lane, or of a set that every instance runs.
type seat struct {
	set         string
	lane, lanes int
	every       bool
}

// subscription pulls the messages of one lane, or all of them for a set that every instance runs.
type subscription struct {
	bus    *Bus
	who    seat
	config jetstream.ConsumerConfig
	logger *slog.Logger

	mu     sync.Mutex
	cancel context.CancelFunc
	began  bool

	queue chan *held // read and not yet taken
	hands hands
	fault string // the last that was logged

	strange bool // messages of another log were met
}

func newSubscription(b *Bus, who seat) *subscription {
	s := &subscription{bus: b, who: who, hands: hands{all: map[*held]struct{}{}}}
	if who.every {
		s.logger = b.logger.With("handler", who.set)
		s.queue = make(chan *held)
		s.config = jetstream.ConsumerConfig{
			// A name of its own for each attempt, so that a new one is never mistaken for the last.
			Description:       "every instance of " + who.set,
			DeliverPolicy:     jetstream.DeliverNewPolicy,
			AckPolicy:         jetstream.AckNonePolicy,
			InactiveThreshold: time.Minute,
			MemoryStorage:     true,
			Replicas:          1,
		}
		return s
	}
	s.logger = b.logger.With("handler", who.set, "lane", who.lane)
	s.queue = make(chan *held, b.cfg.MaxAckPending)
	s.config = jetstream.ConsumerConfig{
		Durable:           consumerName(who.set, who.lane, who.lanes),
		Description:       fmt.Sprintf("handler set %s, lane %d of %d", who.set, who.lane, who.lanes),
		DeliverPolicy:     jetstream.DeliverNewPolicy,
		AckPolicy:         jetstream.AckExplicitPolicy,
		AckWait:           b.cfg.AckWait,
		MaxDeliver:        -1,
		MaxAckPending:     b.cfg.MaxAckPending,
		FilterSubjects:    filters(who.lane, who.lanes),
		InactiveThreshold: b.cfg.Forget,
	}
	return s
}

var _ message.Subscriber = (*subscription)(nil)

// Subscribe begins to pull. The topic is of no matter. The channel closes when ctx ends, or Close is
// called; what has no ack by then is given back. A server that cannot make the consumer now is
// asked again: until then the set reads the log.
func (s *subscription) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.began {
		return nil, fmt.Errorf("subscribe handler set %s to NATS: a subscriber serves once", s.who.set)
	}
	if !s.bus.enter() {
		return nil, fmt.Errorf("subscribe handler set %s to NATS: the bus is closed", s.who.set)
	}
	s.began = true
	ctx, s.cancel = context.WithCancel(ctx)
	stop := context.AfterFunc(s.bus.ctx, s.cancel)
	out := make(chan *message.Message)
	news := s.bus.news()
	consumer, err := s.consumer(ctx)
	if err != nil && ctx.Err() == nil {
		s.complain(err)
	}
	go func() {
		defer s.bus.subs.Done()
		defer close(out)
		defer stop()
		defer s.cancel()
		s.run(ctx, consumer, news, out)
	}()
	return out, nil
}

// Close ends the subscription.
func (s *subscription) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.began = true
	if s.cancel != nil {
		s.cancel()
	}
	return nil
}

func (s *subscription) run(ctx context.Context, consumer jetstream.Consumer, news <-chan struct{}, out chan<- *message.Message) {
	var reading sync.WaitGroup
	reading.Add(1)
	go func() {
		defer reading.Done()
		s.follow(ctx, consumer, news)
	}()
	s.give(ctx, out)
	reading.Wait()
	s.hands.wait()
}

// follow reads from the consumer for as long as ctx lasts, and has it made again when it is gone.
func (s *subscription) follow(ctx context.Context, consumer jetstream.Consumer, news <-chan struct{}) {
	pause := 50 * time.Millisecond
	for {
		if consumer != nil {
			pause = 50 * time.Millisecond
			s.fault = ""
			s.read(ctx, consumer, news)
		} else {
			timer := time.NewTimer(pause)
			select {
			case <-timer.C:
			case <-news:
			case <-ctx.Done():
			}
			timer.Stop()
			pause = min(2*pause, s.bus.cfg.ReconnectWait)
		}
		if ctx.Err() != nil {
			s.leave(consumer)
			return
		}
		news = s.bus.news()
		old := consumer
		var err error
		if consumer, err = s.consumer(ctx); err != nil && ctx.Err() == nil {
			s.complain(err)
		}
		if s.who.every {
			s.leave(old)
		}
	}
}

// complain logs a fault once, however often it is met.
func (s *subscription) complain(err error) {
	if err.Error() == s.fault {
		return
	}
	s.fault = err.Error()
	s.logger.Warn("messages cannot be pulled from NATS; the log is read instead", "error", err)
}

// consumer makes the consumer, or changes the numbers of the one that is there to what is
// configured, and with it the stream if need be.
func (s *subscription) consumer(ctx context.Context) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, apiWait)
	defer cancel()
	if !s.bus.conn.IsConnected() {
		return nil, s.bus.down(nats.ErrDisconnected)
	}
	fault.Point("natsbus.making-consumer")
	c, err := s.bus.js.CreateOrUpdateConsumer(ctx, Stream, s.config)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if err := s.bus.restore(ctx); err != nil {
			return nil, fmt.Errorf("make stream %s again: %w", Stream, err)
		}
		c, err = s.bus.js.CreateOrUpdateConsumer(ctx, Stream, s.config)
	}
	if errors.Is(err, jetstream.ErrConsumerCreate) {
		return nil, fmt.Errorf("consumer %s of stream %s has other settings; delete it (nats consumer rm %s %s), the log has what it would bring: %w",
			s.config.Durable, Stream, Stream, s.config.Durable, err)
	}
	if err != nil {
		return nil, fmt.Errorf("make consumer %s of stream %s: %w", s.config.Durable, Stream, err)
	}
	fault.Point("natsbus.consumer-made")
	return c, nil
}

// leave deletes a nameless consumer; a lane's stays for its next owner.
func (s *subscription) leave(consumer jetstream.Consumer) {
	if consumer == nil || !s.who.every || !s.bus.conn.IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	// The server deletes it by itself when this fails.
	_ = s.bus.js.DeleteConsumer(ctx, Stream, consumer.CachedInfo().Name)
}

// read pulls until ctx ends, the consumer seems to be gone, or there are news that make it look.
func (s *subscription) read(ctx context.Context, consumer jetstream.Consumer, news <-chan struct{}) {
	giveBack := func(msg jetstream.Msg) { _ = msg.Nak() } // comes again after AckWait when this fails
	if s.who.every {
		giveBack = func(jetstream.Msg) {}
	}
	err := pull(ctx, consumer, s.bus.cfg.MaxAckPending, news, func(msg jetstream.Msg) { s.take(ctx, msg) }, giveBack)
	if err != nil {
		s.logger.Debug("stopped pulling from NATS", "error", err)
	}
}

// take reads a message and puts it in line for the set.
func (s *subscription) take(ctx context.Context, msg jetstream.Msg) {
	m, err := fromNATS(&nats.Msg{Subject: msg.Subject(), Header: msg.Headers(), Data: msg.Data()})
	if err == nil {
		_, err = bus.Decode(m)
	}
	switch {
	case err != nil:
		s.reject(ctx, msg, err)
		return
	case s.bus.identity != "" && m.Metadata.Get(headerLog) != s.bus.identity:
		s.stepOver(msg, m.Metadata.Get(headerLog))
		return
	}
	delete(m.Metadata, headerLog)
	fault.Point("natsbus.taken")
	h := &held{message: m}
	if !s.who.every {
		h.msg = msg
		s.hands.hold(ctx, h)
	}
	select {
	case s.queue <- h:
	case <-ctx.Done():
	}
}

// reject makes a dead letter of a message that cannot be read, and keeps it from coming again when
// the letter is on disk. Until then it comes again.
func (s *subscription) reject(ctx context.Context, msg jetstream.Msg, cause error) {
	var sequence uint64
	key := Stream
	if meta, err := msg.Metadata(); err == nil {
		sequence = meta.Sequence.Stream
		key = place(Stream, meta)
	}
	s.logger.Error("stepped over a message that cannot be read", "subject", msg.Subject(), "sequence", sequence, "error", cause)
	fault.Point("natsbus.rejecting")
	if letters := s.bus.hooks.Letters; letters != nil {
		err := letters.BuryStray(ctx, deadletter.Stray{
			Set: SetStream, Key: key, Tenant: event.SystemTenant, Reason: cause.Error(),
			Message: deadletter.NewMessage(key, msg.Subject(), msg.Headers(), msg.Data()),
		})
		if err != nil {
			s.logger.Warn("keep a message that cannot be read as a dead letter; it comes again", "sequence", sequence, "error", err)
			if !s.who.every {
				_ = msg.NakWithDelay(notKept)
			}
			return
		}
	}
	fault.Point("natsbus.rejected")
	if s.who.every {
		return
	}
	if err := msg.TermWithReason("cannot be read"); err != nil {
		s.logger.Warn("terminate a message that cannot be read; it comes again", "sequence", sequence, "error", err)
	}
}

// notKept is when a message comes again whose dead letter could not be written.
const notKept = time.Second

// place names a message of a stream: the same when it comes again, another when the stream was made
// anew.
func place(stream string, meta *jetstream.MsgMetadata) string {
	return fmt.Sprintf("%s.%d.%d", stream, meta.Sequence.Stream, meta.Timestamp.UnixNano())
}

// stepOver leaves out a message that did not come from this log. Whatever the log holds the lane reads there.
func (s *subscription) stepOver(msg jetstream.Msg, log string) {
	if !s.strange {
		s.strange = true
		s.logger.Warn("messages on the NATS stream are not of this log, and are stepped over", "subject", msg.Subject(), "of", log, "log", s.bus.identity)
	}
	if !s.who.every {
		_ = msg.TermWithReason("not of this log") // comes again after AckWait when this fails
	}
}

// give hands the messages on and reports progress on those in hand.
func (s *subscription) give(ctx context.Context, out chan<- *message.Message) {
	progress := time.NewTicker(s.bus.cfg.AckWait / 3)
	defer progress.Stop()
	var (
		from = s.queue
		to   chan<- *message.Message
		m    *message.Message
	)
	for {
		select {
		case <-ctx.Done():
			return
		case <-progress.C:
			s.hands.report()
		case h := <-from:
			from, to, m = nil, out, h.message
		case to <- m:
			from, to, m = s.queue, nil, nil
		}
	}
}
