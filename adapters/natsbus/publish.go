package natsbus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/leat-dev/leat/app/bus"
	"github.com/leat-dev/leat/app/fault"
	"github.com/leat-dev/leat/domain"
)

// Publish sends the entries in their order, a window at a time, and returns when the stream has all
// of them. After an error any of them may be there, so they are sent again: each sending has a fresh
// transport id and is never mistaken for another. A full stream and a server that is down are
// domain.Unavailable.
func (b *Bus) Publish(ctx context.Context, entries []bus.Entry) error {
	b.publishing.Lock()
	defer b.publishing.Unlock()
	for len(entries) > 0 {
		n := min(b.cfg.Window, len(entries))
		if err := b.publishWindow(ctx, entries[:n]); err != nil {
			return err
		}
		entries = entries[n:]
	}
	return nil
}

func (b *Bus) publishWindow(ctx context.Context, entries []bus.Entry) error {
	for restored := false; ; restored = true {
		again, err := b.send(ctx, entries)
		if err == nil && len(again) == 0 {
			return nil
		}
		if err == nil {
			b.logger.Warn("the NATS stream took new messages for repeated ones; they are sent again", "messages", len(again))
			entries = again
			continue
		}
		if !gone(err) || restored {
			return b.publishFault(entries[0], err)
		}
		if err := b.restore(ctx); err != nil {
			return b.publishFault(entries[0], err)
		}
	}
}

// gone tells whether nobody takes our messages, as when the stream was deleted.
func gone(err error) bool {
	return errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders) || errors.Is(err, errOtherStream)
}

var errOtherStream = errors.New("another stream took the message")

// send sends one window and waits for every ack. again is what the server took for a duplicate.
func (b *Bus) send(ctx context.Context, entries []bus.Entry) (again []bus.Entry, err error) {
	if !b.conn.IsConnected() {
		return nil, nats.ErrDisconnected
	}
	type sent struct {
		jetstream.PubAckFuture
		entry int
	}
	futures := make([]sent, 0, len(entries))
	for i, e := range entries {
		msg, err := toNATS(Subject(e.Envelope), bus.Encode(e))
		if err == nil {
			b.sending++
			if b.identity != "" {
				msg.Header.Set(headerLog, b.identity)
			}
			msg.Header.Set(nats.MsgIdHdr, fmt.Sprintf("%d.%s.%d", e.Position, b.run, b.sending))
			var f jetstream.PubAckFuture
			if f, err = b.js.PublishMsgAsync(msg, jetstream.WithRetryAttempts(0)); err == nil {
				futures = append(futures, sent{f, i})
				continue
			}
			if !errors.Is(err, nats.ErrMaxPayload) {
				return nil, err
			}
		}
		b.stepOver(e, err)
	}
	fault.Point("natsbus.window-sent")
	for _, f := range futures {
		select {
		case ack := <-f.Ok():
			if ack.Stream != Stream {
				return nil, fmt.Errorf("%w: %s", errOtherStream, ack.Stream)
			}
			if ack.Duplicate {
				again = append(again, entries[f.entry])
			}
		case err := <-f.Err():
			if errors.Is(err, jetstream.ErrStreamMessageExceedsMaximum) {
				b.stepOver(entries[f.entry], err)
				continue
			}
			return nil, err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	fault.Point("natsbus.window-acked")
	return again, nil
}

// stepOver leaves an event to the log: it would never get through, and holds up all that follow.
func (b *Bus) stepOver(e bus.Entry, err error) {
	b.logger.Warn("an event cannot travel over NATS; the handler sets read it from the log",
		"event", e.ID, "tenant", e.Tenant, "position", e.Position, "bytes", len(e.Data), "error", err)
}

const (
	insufficientResources jetstream.ErrorCode = 10023
	storageExceeded       jetstream.ErrorCode = 10047
	streamStoreFailed     jetstream.ErrorCode = 10077
)

func (b *Bus) publishFault(first bus.Entry, err error) error {
	what := fmt.Sprintf("publish from position %d to NATS", first.Position)
	var api jetstream.JetStreamError
	switch {
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: %w", what, err)
	case errors.As(err, &api) && api.APIError() != nil:
		switch api.APIError().ErrorCode {
		case insufficientResources, storageExceeded, streamStoreFailed:
			return domain.Errorf(domain.Unavailable, "NATS_FULL", "%s: stream %s is full: %w", what, Stream, err)
		}
	}
	return domain.Errorf(domain.Unavailable, "NATS_UNAVAILABLE", "%s: %w", what, err)
}
