package natsbus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/domain"
)

const (
	// ownerKey stands in the stream's metadata, with the identity of the log whose events it carries.
	ownerKey = "leat-log"
	// headerLog stands in every message, with the same.
	headerLog = "leat-log"
	// endOfStream is how many of the stream's last messages are looked at. The last one alone would
	// not do: who takes over the sequencer's work sends a page once more.
	endOfStream = 2048
)

// checkOwner is a domain.Conflict error when the stream carries the events of another log.
func (b *Bus) checkOwner(stream jetstream.Stream) error {
	owner := stream.CachedInfo().Config.Metadata[ownerKey]
	if owner == b.identity || owner == "" || b.identity == "" {
		return nil
	}
	return domain.Errorf(domain.Conflict, "NATS_STREAM_OF_ANOTHER_LOG",
		"stream %s at %s carries the events of the log %s, and this database holds the log %s. %s",
		Stream, b.address(), owner, b.identity, b.wayOut("Give each log its own account or server (nats.url), or, when the other log is no more,"))
}

// wayOut says how the stream is got rid of.
func (b *Bus) wayOut(before string) string {
	if b.cfg.embedded() {
		return fmt.Sprintf("%s stop every process and move the folder %s away (nats.dir): every event is in its log", before, b.cfg.Dir)
	}
	return fmt.Sprintf("%s delete the stream (nats stream rm %s): every event is in its log", before, Stream)
}

// checkEnd compares the end of the stream with the log. A stream that knows more than the log was
// fed before the database was restored from a copy: its events must not be handled, and may be
// nowhere else any more. So it is neither used nor emptied, and a domain.Conflict error says so. A
// stream without an owner is taken when it fits.
func (b *Bus) checkEnd(ctx context.Context) error {
	if b.hooks.Log == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, b.cfg.StartWait+apiWait)
	defer cancel()
	stream, err := b.js.Stream(ctx, Stream)
	if err != nil {
		return b.streamFault(err)
	}
	// The stream before the log: what is in the stream was in the log before.
	last, err := b.lastSent(ctx, stream)
	if err != nil {
		return domain.Errorf(domain.Unavailable, "NATS_STREAM", "read the end of stream %s at %s: %w", Stream, b.address(), err)
	}
	if last.Position > 0 {
		if err := b.compareWithLog(ctx, last); err != nil {
			return err
		}
	}
	config := stream.CachedInfo().Config
	if config.Metadata[ownerKey] != "" {
		return nil
	}
	if config.Metadata == nil {
		config.Metadata = map[string]string{}
	}
	config.Metadata[ownerKey] = b.identity
	if _, err := b.js.UpdateStream(ctx, config); err != nil {
		return b.streamFault(err)
	}
	b.logger.Info("the NATS stream now belongs to this log", "stream", Stream, "log", b.identity)
	return nil
}

func (b *Bus) compareWithLog(ctx context.Context, last event.Envelope) error {
	_, end, err := b.hooks.Log.Bounds(ctx)
	if err != nil {
		return err
	}
	differ := func(how string) error {
		return domain.Errorf(domain.Conflict, "NATS_STREAM_AHEAD",
			"stream %s at %s holds events that the log does not: it goes up to position %d (event %q of tenant %q), %s. The database may have been "+
				"restored from a backup, and the stream may be the last copy of what was accepted after that; nothing of it is handled. Save what you need (%s). %s",
			Stream, b.address(), last.Position, last.ID, last.Tenant, how, b.copyOf(), b.wayOut("Then"))
	}
	if last.Position > end {
		return differ(fmt.Sprintf("and the log ends at %d", end))
	}
	found, err := b.hooks.Log.At(ctx, last.Position)
	if err != nil {
		return err
	}
	if len(found) == 1 && (found[0].ID != last.ID || found[0].Tenant != last.Tenant || found[0].Source != last.Source) {
		return differ(fmt.Sprintf("where the log has event %q of tenant %q", found[0].ID, found[0].Tenant))
	}
	return nil
}

// copyOf says how the stream is saved.
func (b *Bus) copyOf() string {
	if b.cfg.embedded() {
		return "the folder " + b.cfg.Dir
	}
	return "nats stream backup " + Stream + " DIR"
}

// lastSent returns the attributes of the event with the highest position near the end of the stream;
// its position is 0 when there is none.
func (b *Bus) lastSent(ctx context.Context, stream jetstream.Stream) (event.Envelope, error) {
	state := stream.CachedInfo().State
	var last event.Envelope
	if state.Msgs == 0 {
		return last, nil
	}
	from := state.FirstSeq
	if state.LastSeq-from >= endOfStream {
		from = state.LastSeq - endOfStream + 1
	}
	consumer, err := b.js.CreateConsumer(ctx, Stream, jetstream.ConsumerConfig{
		Description: "the end of the stream", DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from,
		AckPolicy: jetstream.AckNonePolicy, HeadersOnly: true, MemoryStorage: true, Replicas: 1, InactiveThreshold: 10 * time.Second,
	})
	if err != nil {
		return last, err
	}
	defer func() { _ = b.js.DeleteConsumer(context.WithoutCancel(ctx), Stream, consumer.CachedInfo().Name) }()
	for waiting := consumer.CachedInfo().NumPending; waiting > 0; {
		batch, err := consumer.Fetch(int(min(waiting, 512)), jetstream.FetchMaxWait(apiWait))
		if err != nil {
			return last, err
		}
		got := uint64(0)
		for m := range batch.Messages() {
			got++
			if e, err := attributes(m.Headers()); err == nil && e.Position > last.Position {
				last = e
			}
		}
		if err := batch.Error(); err != nil {
			return last, err
		}
		if got == 0 {
			if ctx.Err() != nil {
				return last, ctx.Err()
			}
			return last, errors.New("messages that were there do not come")
		}
		waiting -= min(got, waiting)
	}
	return last, nil
}

// attributes reads what tells an event of the stream.
func attributes(h nats.Header) (event.Envelope, error) {
	position, err := strconv.ParseInt(h.Get(event.MetaPosition), 10, 64)
	return event.Envelope{
		Position: position, ID: decode(h.Get("ce-id")), Tenant: decode(h.Get("ce-tenantid")), Source: decode(h.Get("ce-source")),
	}, err
}
