package natsbus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/leat-dev/leat/app/deadletter"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/app/fault"
	"github.com/leat-dev/leat/domain"
)

// ForeignConfig names a subject of another service and what its messages become.
type ForeignConfig struct {
	// Subject is where the other service publishes; it may hold * and >. Leat's own are refused.
	Subject string `koanf:"subject"`
	// Tenant owns the events, whatever they say themselves.
	Tenant string `koanf:"tenant"`
	// Source replaces the events' own source. Default: theirs, and nats:{subject} where a message
	// names none.
	Source string `koanf:"source"`
	// Type is the event type of messages that are plain JSON. Empty: those are refused.
	Type string `koanf:"type"`
	// Types gives our event type for a CloudEvent's.
	Types map[string]string `koanf:"types"`
	// TypePrefix begins our type of every CloudEvent that Types does not name: prefix and the
	// event's own type. Default: the type as it is.
	TypePrefix string `koanf:"type_prefix"`
	// Stream is the JetStream stream that keeps the messages; it is waited for. Default: the one that
	// covers Subject. Without any, messages come over core NATS: each at most once, and what is sent
	// while no process of ours listens is never seen.
	Stream string `koanf:"stream"`
	// FromStart takes in what the stream held before this subject was first listened to.
	FromStart bool `koanf:"from_start"`
}

func (c ForeignConfig) validate(key string, fault func(string, ...any)) {
	subject := strings.ReplaceAll(strings.ReplaceAll(c.Subject, "*", "x"), ">", "x")
	switch {
	case c.Subject == "":
		fault("%s.subject: is missing", key)
	case checkSubject(subject) != nil || strings.HasPrefix(c.Subject, "$"):
		fault("%s.subject: %q is no subject to listen to", key, c.Subject)
	case overlap(c.Subject, "leat.>"):
		fault("%s.subject: %s covers subjects of Leat's own, and would bring its events back to it", key, c.Subject)
	}
	if err := event.CheckTenant(c.Tenant); err != nil {
		fault("%s.tenant: %w", key, err)
	}
	if c.Type != "" {
		if err := event.CheckType(c.Type); err != nil {
			fault("%s.type: %w", key, err)
		}
	}
	for from, to := range c.Types {
		if err := event.CheckType(to); err != nil {
			fault("%s.types.%s: %w", key, from, err)
		}
	}
}

// overlap tells whether two subjects with wildcards have one in common.
func overlap(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := 0; ; i++ {
		switch {
		case i == len(as) || i == len(bs):
			return len(as) == len(bs)
		case as[i] == ">" || bs[i] == ">":
			return true
		case as[i] != "*" && bs[i] != "*" && as[i] != bs[i]:
			return false
		}
	}
}

// Appender is the door to the event log.
type Appender interface {
	PublishRaw(ctx context.Context, raws ...event.Raw) ([]eventlog.Receipt, error)
}

// Foreign takes events of other services from their subjects into the event log, where they are
// events like any other. A message of a stream is acked when the log has its event, and comes
// again when the log was down; one that came twice is one event, by its id. One that the log refuses
// becomes a dead letter of SetForeign, and is terminated when that is on disk. CloudEvents in binary
// and structured mode and plain JSON are understood.
type Foreign struct {
	bus      *Bus
	appender Appender
	letters  Letters
	logger   *slog.Logger
}

// NewForeign returns what the bus's configuration asks for. It starts nothing. Without letters what is
// refused is logged.
func NewForeign(b *Bus, appender Appender, letters Letters, logger *slog.Logger) *Foreign {
	return &Foreign{bus: b, appender: appender, letters: letters, logger: logger}
}

// TakeIn reads a message that was refused once more, as it is configured now, and appends its event.
// It is a deadletter.TakeIn.
func (f *Foreign) TakeIn(ctx context.Context, tenant string, m deadletter.Message) error {
	for _, cfg := range f.bus.cfg.Foreign {
		if cfg.Tenant != tenant || !overlap(cfg.Subject, m.Subject) {
			continue
		}
		raw, err := cfg.read(m.Subject, m.Header, m.Data, m.ID)
		if err == nil {
			_, err = f.appender.PublishRaw(ctx, raw)
		}
		return err
	}
	return domain.Errorf(domain.Conflict, "FOREIGN_SUBJECT", "nats.foreign names no subject any more that %s of tenant %s comes from", m.Subject, tenant)
}

// Run listens until ctx ends, and returns when what is in hand is done.
func (f *Foreign) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for _, cfg := range f.bus.cfg.Foreign {
		s := &foreignSubject{Foreign: f, cfg: cfg, logger: f.logger.With("foreign", cfg.Subject, "tenant", cfg.Tenant)}
		all.Add(1)
		go func() {
			defer all.Done()
			s.run(ctx)
		}()
	}
	all.Wait()
	return nil
}

// foreignSubject is one configured subject.
type foreignSubject struct {
	*Foreign
	cfg    ForeignConfig
	logger *slog.Logger
	fault  string // the last that was logged
}

// foreignInHand is how many messages of a stream are out without an ack; they are worked one by one.
const foreignInHand = 32

func (s *foreignSubject) run(ctx context.Context) {
	pause := 100 * time.Millisecond
	for ctx.Err() == nil {
		news := s.bus.news()
		consumer, stream, err := s.consumer(ctx)
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound) && s.cfg.Stream == "":
			err = s.listen(ctx)
		case err == nil:
			s.fault, pause = "", 100*time.Millisecond
			s.logger.Debug("listening to a foreign stream", "stream", stream)
			err = pull(ctx, consumer, foreignInHand, news, func(m jetstream.Msg) { s.fromStream(ctx, stream, m) },
				func(m jetstream.Msg) { _ = m.Nak() })
		}
		if ctx.Err() != nil || err == nil {
			continue
		}
		if err.Error() != s.fault {
			s.fault = err.Error()
			s.logger.Warn("foreign events cannot be read", "error", err)
		}
		if wait(ctx, pause) != nil {
			return
		}
		pause = min(2*pause, s.bus.cfg.ReconnectWait)
	}
}

func (s *foreignSubject) consumer(ctx context.Context) (jetstream.Consumer, string, error) {
	ctx, cancel := context.WithTimeout(ctx, apiWait)
	defer cancel()
	if !s.bus.Connected() {
		return nil, "", s.bus.down(nats.ErrDisconnected)
	}
	stream := s.cfg.Stream
	if stream == "" {
		var err error
		if stream, err = s.bus.js.StreamNameBySubject(ctx, s.cfg.Subject); err != nil {
			return nil, "", err
		}
	}
	config := jetstream.ConsumerConfig{
		Durable:       "leat_foreign_" + plain(s.cfg.Tenant) + "_" + plain(s.cfg.Subject),
		Description:   "taken into the event log of tenant " + s.cfg.Tenant,
		DeliverPolicy: jetstream.DeliverNewPolicy,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       s.bus.cfg.AckWait,
		MaxDeliver:    -1,
		MaxAckPending: foreignInHand,
		FilterSubject: s.cfg.Subject,
	}
	if s.cfg.FromStart {
		config.DeliverPolicy = jetstream.DeliverAllPolicy
	}
	c, err := s.bus.js.CreateOrUpdateConsumer(ctx, stream, config)
	if err != nil {
		return nil, "", fmt.Errorf("make consumer %s of stream %s: %w", config.Durable, stream, err)
	}
	return c, stream, nil
}

// listen takes messages over core NATS, one by one; a queue group gives each to one process of ours.
func (s *foreignSubject) listen(ctx context.Context) error {
	messages := make(chan *nats.Msg, 256)
	sub, err := s.bus.conn.ChanQueueSubscribe(s.cfg.Subject, "leat", messages)
	if err != nil {
		return fmt.Errorf("listen to %s: %w", s.cfg.Subject, err)
	}
	s.logger.Warn("no stream keeps these foreign events; they come at most once")
	for {
		select {
		case <-ctx.Done():
			_ = sub.Unsubscribe()
			for { // what has arrived is ours alone
				select {
				case m := <-messages:
					s.fromCore(context.WithoutCancel(ctx), m, 1)
				default:
					return nil
				}
			}
		case m := <-messages:
			s.fromCore(ctx, m, -1)
		}
	}
}

func (s *foreignSubject) fromCore(ctx context.Context, m *nats.Msg, attempts int) {
	id := m.Header.Get(nats.MsgIdHdr)
	if id == "" {
		id = uuid.NewString() // a retry of its dead letter must not make two events of it
	}
	raw, err := s.cfg.read(m.Subject, m.Header, m.Data, id)
	if err == nil {
		if err = s.append(ctx, raw, attempts, func() {}); err == nil {
			return
		}
	}
	letter := s.letter("core."+uuid.NewString(), id, m.Subject, m.Header, m.Data, err)
	// Nobody else has the message: it is kept, or lost with a line in the log.
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		kept := s.bury(ctx, letter)
		if kept == nil {
			return
		}
		if attempts--; attempts == 0 || wait(ctx, pause) != nil {
			s.logger.Error("lost a foreign message of core NATS: the log refuses it, and its dead letter cannot be written", "subject", m.Subject, "error", kept)
			return
		}
	}
}

func (s *foreignSubject) fromStream(ctx context.Context, stream string, m jetstream.Msg) {
	meta, err := m.Metadata()
	if err != nil {
		s.logger.Error("a message of a stream has no place in it", "stream", stream, "error", err)
		return
	}
	id := m.Headers().Get(nats.MsgIdHdr)
	if id == "" {
		id = place(stream, meta)
	}
	raw, err := s.cfg.read(m.Subject(), m.Headers(), m.Data(), id)
	if err == nil {
		err = s.append(ctx, raw, -1, func() { _ = m.InProgress() })
	}
	switch {
	case err == nil:
		fault.Point("natsbus.foreign-taken")
		err = m.Ack()
	case again(err):
		err = m.Nak()
	default:
		fault.Point("natsbus.refusing")
		if kept := s.bury(ctx, s.letter(place(stream, meta), id, m.Subject(), m.Headers(), m.Data(), err)); kept != nil {
			s.logger.Warn("keep a foreign message as a dead letter; it comes again", "stream", stream, "sequence", meta.Sequence.Stream, "error", kept)
			err = m.NakWithDelay(notKept)
			break
		}
		fault.Point("natsbus.refused")
		err = m.TermWithReason("refused by the event log")
	}
	if err != nil {
		s.logger.Warn("answer for a foreign message; it comes again and is known by its id", "stream", stream, "sequence", meta.Sequence.Stream, "error", err)
	}
}

func (s *foreignSubject) letter(key, id, subject string, header nats.Header, data []byte, cause error) deadletter.Stray {
	s.logger.Error("refused a foreign message", "subject", subject, "key", key, "error", cause)
	return deadletter.Stray{
		Set: SetForeign, Key: key, Tenant: s.cfg.Tenant, Reason: cause.Error(),
		Message: deadletter.NewMessage(id, subject, header, data),
	}
}

func (s *foreignSubject) bury(ctx context.Context, letter deadletter.Stray) error {
	if s.letters == nil {
		return nil
	}
	return s.letters.BuryStray(ctx, letter)
}

// append puts the event into the log, and waits for the log when it is down. attempts bounds that;
// negative: until ctx ends.
func (s *foreignSubject) append(ctx context.Context, raw event.Raw, attempts int, progress func()) error {
	pause := 50 * time.Millisecond
	for {
		_, err := s.appender.PublishRaw(ctx, raw)
		if err == nil || !again(err) {
			return err
		}
		if attempts--; attempts == 0 || ctx.Err() != nil {
			return err
		}
		s.logger.Warn("the event log does not take a foreign event now", "id", raw.ID, "type", raw.Type, "error", err)
		progress()
		if wait(ctx, pause) != nil {
			return err
		}
		pause = min(2*pause, s.bus.cfg.AckWait/3)
	}
}

// again tells whether the same event may be taken later.
func again(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	kind := domain.KindOf(err)
	return kind == domain.Unavailable || kind == domain.Internal
}

// wait returns early, with an error, when ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
