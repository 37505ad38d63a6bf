package natsbus

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/leat-dev/leat/app/event"
)

// How much of a broadcast waits for a process that does not keep up, before the newest is dropped.
const (
	liveMessages = 1024
	liveBytes    = 8 << 20
	flushWait    = 2 * time.Second
)

// headerFrom names the process that broadcasts, which does not listen to itself.
const headerFrom = "Leat-From"

// Broadcast sends an event to every other process that listens now, at most once and without a trace
// on disk: the fast path beside the log, for events that shall be seen at once. An error is worth a
// warning only, for the reliable path brings the event too. An event that is not recorded has no other
// path: for it, Broadcast returns nil only when the server has it.
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
	msg.Header.Set(headerFrom, b.run)
	if err = b.conn.PublishMsg(msg); err == nil && e.Unrecorded {
		ctx, cancel := context.WithTimeout(ctx, flushWait)
		defer cancel()
		err = b.conn.FlushWithContext(ctx)
	}
	if err != nil {
		return fmt.Errorf("broadcast %s %s: %w", e.Type, e.ID, err)
	}
	return nil
}

// OnBroadcast calls f with every event that another process broadcasts from now on, one at a time. An
// event that went over Broadcast has no position. While the connection is down nothing is heard;
// when it is up again, so is this. stop ends it, as Close does; a call under way may outlast stop.
func (b *Bus) OnBroadcast(f func(event.Envelope)) (stop func(), err error) {
	sub, err := b.conn.Subscribe(livePrefix+">", func(msg *nats.Msg) {
		if msg.Header.Get(headerFrom) == b.run {
			return
		}
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
		e.Position, e.Recorded = 0, time.Time{} // only the log gives them, whatever others put on the subject
		f(e)
	})
	if err != nil {
		return nil, fmt.Errorf("listen to broadcasts: %w", err)
	}
	if err := sub.SetPendingLimits(liveMessages, liveBytes); err != nil {
		return nil, fmt.Errorf("bound the broadcasts that wait: %w", err)
	}
	// Where it can be reached, the server knows of the subscription when this returns, so that no later
	// broadcast is missed.
	if err := b.conn.FlushTimeout(apiWait); err != nil && b.conn.IsClosed() {
		_ = sub.Unsubscribe()
		return nil, fmt.Errorf("listen to broadcasts: %w", err)
	}
	return func() { _ = sub.Unsubscribe() }, nil
}
