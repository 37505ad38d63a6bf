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

// Publish sends the entries in their order, with no more than a window of them under way, and returns when
// the stream has all of them. After an error any of them may be there, so they are sent again. Messages carry
// no transport id: the server takes none for another, and remembers none. A full stream and a server that
// is down are domain.Unavailable.
func (b *Bus) Publish(ctx context.Context, entries []bus.Entry) error {
	b.publishing.Lock()
	defer b.publishing.Unlock()
	for restored := false; len(entries) > 0; {
		through, err := b.send(ctx, entries)
		if entries = entries[through:]; len(entries) == 0 {
			return nil // also when the last ack came just after something went wrong
		}
		restored = restored && through == 0
		if !gone(err) || restored {
			return b.publishFault(entries[0], err)
		}
		if err := b.restore(ctx); err != nil {
			return b.publishFault(entries[0], err)
		}
		restored = true
	}
	return nil
}

// gone tells whether nobody takes our messages, as when the stream was deleted.
func gone(err error) bool {
	return errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders) || errors.Is(err, errOtherStream)
}

// send sends the entries and waits for every ack. After an error, through tells how many from the first on are
// done with.
func (b *Bus) send(ctx context.Context, entries []bus.Entry) (through int, err error) {
	if !b.conn.IsConnected() {
		return 0, nats.ErrDisconnected
	}
	b.acks.begin(len(entries))
	defer func() {
		for _, r := range b.acks.refused() {
			b.stepOver(entries[r.message], r.err)
		}
	}()
	msg := &nats.Msg{}
	for i, e := range entries {
		switch waiting, err := b.acks.under(); {
		case err != nil:
			return b.acks.through(), err
		case waiting >= b.cfg.Window:
			if err := b.wait(ctx, b.cfg.Window/2); err != nil {
				return b.acks.through(), err
			}
		}
		msg.Reply = b.acks.sending(i)
		err := b.form.write(msg, e, b.identity)
		if err == nil {
			if err = b.conn.PublishMsg(msg); err == nil {
				continue
			}
			if !errors.Is(err, nats.ErrMaxPayload) {
				return b.acks.through(), err
			}
		}
		b.acks.left(i)
		b.stepOver(e, err)
	}
	if err := b.wait(ctx, 0); err != nil {
		return b.acks.through(), err
	}
	return len(entries), nil
}

// wait waits until no more than most of the messages that were sent have no ack.
func (b *Bus) wait(ctx context.Context, most int) error {
	fault.Point("natsbus.window-sent")
	if err := b.acks.wait(ctx, b.ctx, most, b.cfg.PublishWait); err != nil {
		return err
	}
	fault.Point("natsbus.window-acked")
	return nil
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
