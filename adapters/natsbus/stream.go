package natsbus

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/leat-dev/leat/app/fault"
	"github.com/leat-dev/leat/domain"
)

// Stream is the name of the stream that carries the events.
const Stream = "LEAT_EVENTS"

// duplicates is how long the server remembers transport ids. Ours have none; this bounds what it costs the
// server to remember those of others.
const duplicates = 10 * time.Second

func (b *Bus) streamConfig() jetstream.StreamConfig {
	c := jetstream.StreamConfig{
		Name:        Stream,
		Description: "Events on their way to handler sets. The event log holds them all.",
		Subjects:    []string{eventSubjects},
		Retention:   jetstream.LimitsPolicy,
		Storage:     jetstream.FileStorage,
		Replicas:    b.cfg.Replicas,
		MaxBytes:    b.cfg.MaxBytes,
		MaxAge:      b.cfg.MaxAge,
		Duplicates:  duplicates,
		Discard:     jetstream.DiscardOld,

		MaxMsgs: -1, MaxMsgsPerSubject: -1, MaxMsgSize: -1, MaxConsumers: -1,
	}
	if b.cfg.Discard == DiscardNew {
		c.Discard = jetstream.DiscardNew
	}
	if b.identity != "" {
		c.Metadata = map[string]string{ownerKey: b.identity}
	}
	return c
}

// openStream makes or checks the stream, and waits no longer than StartWait for a server that
// cannot answer yet.
func (b *Bus) openStream(ctx context.Context) error {
	deadline, cancel := context.WithTimeout(ctx, b.cfg.StartWait)
	defer cancel()
	for {
		stream, _, differences, err := b.ensureStream(deadline)
		if err == nil {
			err = b.checkOwner(stream) // first: another log's settings are of no matter
		}
		switch {
		case err == nil && len(differences) > 0:
			return domain.Errorf(domain.Conflict, "NATS_STREAM_DIFFERS",
				"stream %s at %s has other settings than the configuration: %s. Set nats.* to what the stream has, or edit the stream (nats stream edit %s), or delete it: every event is in the log",
				Stream, b.address(), strings.Join(differences, "; "), Stream)
		case err == nil:
			return nil
		case domain.KindOf(err) == domain.Conflict:
			return err
		case !transient(err):
			return b.streamFault(err)
		}
		pause := time.NewTimer(100 * time.Millisecond)
		select {
		case <-pause.C:
		case <-deadline.Done():
			pause.Stop()
			return domain.Errorf(domain.Unavailable, "NATS_UNAVAILABLE", "JetStream at %s is not ready after %v: %w", b.address(), b.cfg.StartWait, err)
		}
	}
}

func (b *Bus) streamFault(err error) error {
	if errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
		return domain.Errorf(domain.Invalid, "NATS_NO_JETSTREAM", "the NATS server at %s has no JetStream for this account: %w", b.address(), err)
	}
	return domain.Errorf(domain.Invalid, "NATS_STREAM", "make stream %s at %s: %w", Stream, b.address(), err)
}

// ensureStream makes the stream when it is missing, and tells how one that is there differs from
// what is wanted.
func (b *Bus) ensureStream(ctx context.Context) (stream jetstream.Stream, made bool, differences []string, err error) {
	b.provision.Lock()
	defer b.provision.Unlock()
	ctx, cancel := context.WithTimeout(ctx, apiWait)
	defer cancel()
	want := b.streamConfig()
	stream, err = b.js.Stream(ctx, Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if stream, err = b.js.CreateStream(ctx, want); err == nil {
			fault.Point("natsbus.stream-made")
			b.logger.Info("made the NATS stream", "stream", Stream, "replicas", want.Replicas, "max_bytes", want.MaxBytes, "max_age", want.MaxAge)
			return stream, true, nil, nil
		}
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // by another process, just now
			stream, err = b.js.Stream(ctx, Stream)
		}
	}
	if err != nil {
		return nil, false, nil, err
	}
	return stream, false, compare(stream.CachedInfo().Config, want), nil
}

// compare names what of the stream is not as wanted. What is not compared (description, placement,
// compression, metadata) is the operator's to choose.
func compare(have, want jetstream.StreamConfig) []string {
	var differences []string
	field := func(name string, have, want any) {
		if !reflect.DeepEqual(have, want) {
			differences = append(differences, fmt.Sprintf("%s is %v, want %v", name, have, want))
		}
	}
	field("subjects", have.Subjects, want.Subjects)
	field("retention", strings.ToLower(have.Retention.String()), strings.ToLower(want.Retention.String()))
	field("storage", strings.ToLower(have.Storage.String()), strings.ToLower(want.Storage.String()))
	field("replicas (nats.replicas)", have.Replicas, want.Replicas)
	field("discard (nats.discard)", discardName(have.Discard), discardName(want.Discard))
	field("max_bytes (nats.max_bytes)", have.MaxBytes, want.MaxBytes)
	field("max_age (nats.max_age)", have.MaxAge, want.MaxAge)
	field("max_msgs", have.MaxMsgs, want.MaxMsgs)
	field("max_msgs_per_subject", have.MaxMsgsPerSubject, want.MaxMsgsPerSubject)
	field("max_msg_size", have.MaxMsgSize, want.MaxMsgSize)
	field("max_consumers", have.MaxConsumers, want.MaxConsumers)
	field("no_ack", have.NoAck, want.NoAck)
	field("sealed", have.Sealed, want.Sealed)
	field("duplicate_window", have.Duplicates, want.Duplicates)
	field("mirror", have.Mirror != nil, false)
	field("sources", len(have.Sources), 0)
	field("subject_transform", have.SubjectTransform != nil, false)
	return differences
}

func discardName(p jetstream.DiscardPolicy) string {
	if p == jetstream.DiscardNew {
		return DiscardNew
	}
	return DiscardOld
}

// restore makes the stream again when it is gone, and has every subscription look at its consumer.
func (b *Bus) restore(ctx context.Context) error {
	stream, made, differences, err := b.ensureStream(ctx)
	if err == nil {
		err = b.checkOwner(stream)
	}
	if err != nil {
		return err
	}
	if made {
		b.logger.Warn("the NATS stream was gone and is made again; what it held is read from the log", "stream", Stream)
		b.lookAgain()
	}
	if len(differences) > 0 {
		b.logger.Error("the NATS stream was changed while it was used", "stream", Stream, "differences", strings.Join(differences, "; "))
	}
	return nil
}

// transient tells whether an answer may be another one soon, as while a cluster elects its leaders.
func transient(err error) bool {
	var api jetstream.JetStreamError
	if errors.As(err, &api) && api.APIError() != nil {
		switch api.APIError().ErrorCode {
		case jetstream.JSErrCodeJetStreamNotEnabled, jetstream.JSErrCodeJetStreamNotEnabledForAccount:
			return false
		}
		return api.APIError().Code >= 500 || api.APIError().ErrorCode == noSuitablePeers
	}
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, nats.ErrNoResponders) ||
		errors.Is(err, nats.ErrReconnectBufExceeded) || errors.Is(err, nats.ErrDisconnected) || errors.Is(err, nats.ErrConnectionReconnecting) ||
		errors.Is(err, jetstream.ErrNoStreamResponse)
}

const noSuitablePeers jetstream.ErrorCode = 10005
