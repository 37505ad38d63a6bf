package natsbus

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/leat-dev/leat/app/event"
)

// How much of a broadcast waits for a process that does not keep up, before the newest is dropped.
const (
	liveMessages = 1024
	liveBytes    = 8 << 20
)

// Broadcast sends an event to every process that listens now, this one included, at most once and
// without a trace on disk: the fast path beside the log, for events that shall be seen at once. An
// error is worth a warning only, for the reliable path brings the event too.
func (b *Bus) Broadcast(ctx context.Context, e event.Envelope) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !b.Connected() {
		return b.down(nats.ErrDisconnected)
	}
	msg, err := toNATS(LiveSubject(e), event.ToMessage(e))
	if err != nil {
		return fmt.Errorf("broadcast %s %s: %w", e.Type, e.ID, err)
	}
	if err := b.conn.PublishMsg(msg); err != nil {
		return fmt.Errorf("broadcast %s %s: %w", e.Type, e.ID, err)
	}
	return nil
}

// OnBroadcast calls f with every event that any process broadcasts from now on, one at a time. An
// event that went over Broadcast has no position. stop ends it, as Close does; a call under way
// may outlast stop.
func (b *Bus) OnBroadcast(f func(event.Envelope)) (stop func(), err error) {
	sub, err := b.conn.Subscribe(livePrefix+">", func(msg *nats.Msg) {
		m, err := fromNATS(msg)
		if err != nil {
			b.logger.Warn("stepped over a broadcast that cannot be read", "subject", msg.Subject, "error", err)
			return
		}
		e, err := event.FromMessage(m)
		if err != nil {
			b.logger.Warn("stepped over a broadcast that cannot be read", "subject", msg.Subject, "error", err)
			return
		}
		f(e)
	})
	if err != nil {
		return nil, fmt.Errorf("listen to broadcasts: %w", err)
	}
	if err := sub.SetPendingLimits(liveMessages, liveBytes); err != nil {
		return nil, fmt.Errorf("bound the broadcasts that wait: %w", err)
	}
	// The server knows of the subscription when this returns, so that no later broadcast is missed.
	if err := b.conn.FlushTimeout(apiWait); err != nil {
		_ = sub.Unsubscribe()
		return nil, fmt.Errorf("listen to broadcasts: %w", err)
	}
	return func() { _ = sub.Unsubscribe() }, nil
}
