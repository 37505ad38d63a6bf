package natsbus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	pullExpiry    = 20 * time.Second
	pullHeartbeat = 2 * time.Second // a consumer that is gone is found out after two of them
)

// pull takes messages from a consumer until ctx ends, news come, or the consumer does not answer,
// which is the error it returns. What has arrived when ctx ends is given back.
func pull(ctx context.Context, consumer jetstream.Consumer, most int, news <-chan struct{}, take, giveBack func(jetstream.Msg)) error {
	messages, err := consumer.Messages(jetstream.PullMaxMessages(most), jetstream.PullExpiry(pullExpiry),
		jetstream.PullHeartbeat(pullHeartbeat), jetstream.WithMessagesErrOnMissingHeartbeat(true))
	if err != nil {
		return fmt.Errorf("pull from consumer %s: %w", consumer.CachedInfo().Name, err)
	}
	until, cancel := context.WithCancel(ctx)
	defer cancel()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-news:
			cancel()
		case <-until.Done():
		}
	}()
	for err == nil {
		var msg jetstream.Msg
		if msg, err = messages.Next(jetstream.NextContext(until)); err == nil {
			take(msg)
		}
	}
	if until.Err() != nil {
		err = nil
	}
	cancel()
	<-watched
	messages.Drain()
	rest, stop := context.WithTimeout(context.WithoutCancel(ctx), closeWait)
	defer stop()
	for {
		msg, failed := messages.Next(jetstream.NextContext(rest))
		switch {
		case failed == nil && ctx.Err() == nil:
			take(msg)
		case failed == nil:
			giveBack(msg)
		case errors.Is(failed, jetstream.ErrMsgIteratorClosed) || rest.Err() != nil:
			return err
		}
	}
}
