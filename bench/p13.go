package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/leat-dev/leat/adapters/natsbus"
	"github.com/leat-dev/leat/app/bus"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/wiring"
)

func rowsP13() []Row {
	return []Row{{
		ID: "P13", Work: "log on SQLite → bus nats (embedded) → lanes of one set, sequencing and the record of each outcome included; published in batches of 100",
		Peer:    "PublishAsync in windows of 256 and a pull consumer with acks, same server and stream, same bytes",
		AtLeast: 0.25, Guard: 0.04, N: 20_000, Batch: 100, Note: "CPU: router and chain 15 %, committer 12 %, publishing to the stream 10 %, metadata 9 %, reading the log where lanes fell behind 6 %", Ours: throughNATS, Them: rawNATS,
	}}
}

func throughNATS(ctx context.Context, env *Env, n int) (Figure, error) {
	w, err := env.open(ctx, setup{store: "sqlite", bus: "nats", sets: []string{"reader"}, build: func(context.Context, wiring.Kit) (wiring.Parts, error) {
		return wiring.Parts{Sets: []handler.Set{handler.NewSet("reader", handler.On(func(context.Context, moved) error { return nil }))}}, nil
	}})
	if err != nil {
		return Figure{}, err
	}
	m := env.begin()
	err = w.publishAll(n, 1000, 100)
	if err == nil {
		err = w.count.wait(ctx, n)
	}
	f := m.end(n)
	return f, firstOf(err, w.stop())
}

// startNATS runs a server as natsbus does, with its stream.
func startNATS(ctx context.Context, env *Env) (jetstream.JetStream, *nats.Conn, func(), error) {
	s, err := server.NewServer(&server.Options{
		ServerName: "bench", DontListen: true, NoSigs: true, JetStream: true, StoreDir: env.Dir, MaxPayload: 1 << 20, NoLog: true,
		JetStreamMaxStore: 2 << 30, JetStreamMaxMemory: 64 << 20,
	})
	if err != nil {
		return nil, nil, nil, err
	}
	s.Start()
	if !s.ReadyForConnections(30 * time.Second) {
		return nil, nil, nil, fmt.Errorf("the NATS server is not ready")
	}
	conn, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		return nil, nil, nil, err
	}
	js, err := jetstream.New(conn)
	return js, conn, func() { conn.Close(); s.Shutdown(); s.WaitForShutdown() }, err
}

func rawNATS(ctx context.Context, env *Env, n int) (Figure, error) {
	js, _, stop, err := startNATS(ctx, env)
	if err != nil {
		return Figure{}, err
	}
	defer stop()
	stream, err := js.CreateStream(ctx, leatStream())
	if err != nil {
		return Figure{}, err
	}
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: "reader", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 1024, AckWait: 30 * time.Second,
	})
	if err != nil {
		return Figure{}, err
	}
	messages, err := natsMessages(n)
	if err != nil {
		return Figure{}, err
	}
	var got atomic.Int64
	all := make(chan struct{})
	consuming, err := consumer.Consume(func(m jetstream.Msg) {
		_ = m.Ack()
		if got.Add(1) == int64(n) {
			close(all)
		}
	})
	if err != nil {
		return Figure{}, err
	}
	defer consuming.Stop()
	m := env.begin()
	if err := publishInWindows(js, messages); err != nil {
		return Figure{}, err
	}
	select {
	case <-all:
	case <-ctx.Done():
		return Figure{}, fmt.Errorf("%d of %d messages came: %w", got.Load(), n, ctx.Err())
	}
	return m.end(n), nil
}

// leatStream is the stream as natsbus makes it.
func leatStream() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: natsbus.Stream, Subjects: []string{"leat.events.>"}, Storage: jetstream.FileStorage, MaxBytes: 1 << 30, MaxAge: 24 * time.Hour,
		Duplicates: 10 * time.Second,
	}
}

// publishInWindows sends 256 messages at a time and waits for their acks.
func publishInWindows(js jetstream.JetStream, messages []*nats.Msg) error {
	for len(messages) > 0 {
		window := messages[:min(256, len(messages))]
		messages = messages[len(window):]
		futures := make([]jetstream.PubAckFuture, 0, len(window))
		for _, msg := range window {
			f, err := js.PublishMsgAsync(msg)
			if err != nil {
				return err
			}
			futures = append(futures, f)
		}
		for _, f := range futures {
			select {
			case <-f.Ok():
			case err := <-f.Err():
				return err
			}
		}
	}
	return nil
}

// natsMessages are what our bus would send: subject, headers and data.
func natsMessages(n int) ([]*nats.Msg, error) {
	catalogue, err := event.NewCatalogue(event.Definitions{event.Define[moved](event.Business)})
	if err != nil {
		return nil, err
	}
	entries, err := entriesOf(catalogue, n, 1000)
	if err != nil {
		return nil, err
	}
	messages := make([]*nats.Msg, n)
	for i, e := range entries {
		encoded := bus.Encode(e)
		msg := nats.NewMsg(natsbus.Subject(e.Envelope))
		for name, value := range encoded.Metadata {
			msg.Header.Set(name, value)
		}
		msg.Header.Set(nats.MsgIdHdr, fmt.Sprintf("%d.bench.%d", e.Position, i))
		msg.Data = encoded.Payload
		messages[i] = msg
	}
	return messages, nil
}
