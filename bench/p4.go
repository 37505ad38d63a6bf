package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/ThreeDotsLabs/watermill"
	wmnats "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/leat-dev/leat/adapters/natsbus"
	"github.com/leat-dev/leat/app/bus"
	"github.com/leat-dev/leat/app/event"
)

func rowsP4() []Row {
	const (
		work     = "our JetStream publishing of events from memory, batches of 100, every ack awaited; "
		auto     = "watermill-nats publisher with AutoProvision, a message in a call, same server, same bytes"
		plain    = "watermill-nats publisher without AutoProvision, same server, same bytes"
		outside  = "server in a process of its own"
		embedded = "server in the process"
	)
	row := func(variant, work, peer string, atLeast, guard float64, ours, them Side) Row {
		note := "waiting for the server, a batch at a time: the program is busy 29 % of one core, of which publishing 59 % (writing messages 20 %), reading acks 16 %"
		if strings.HasSuffix(work, embedded) {
			note = "CPU: the server's stream 40 % (writing its file 18 %) and its reading 17 %, publishing 26 % (writing messages 10 %), GC 8 %; the peer pays the same to the server for each message"
		}
		return Row{ID: "P4", Variant: variant, Note: note, Work: work, Peer: peer, AtLeast: atLeast, Guard: guard, N: 60_000, Batch: 100, Ours: ours, Them: them}
	}
	return []Row{
		row("auto-provision", work+outside, auto, 20, 5, publishingToNATS(true), stockNATS(overTCP, true, 60)),
		row("plain", work+outside, plain, 6, 1.5, publishingToNATS(true), stockNATS(overTCP, false, 20)),
		row("auto-provision-embedded", work+embedded, auto+" by its URL", 20, 2, publishingToNATS(false), stockNATS(embeddedByURL, true, 60)),
		row("plain-embedded", work+embedded, plain+" by its URL", 6, 0.4, publishingToNATS(false), stockNATS(embeddedByURL, false, 20)),
		row("plain-in-process", work+embedded, plain+" at its best, with a connection inside the process", 6, 0.15, publishingToNATS(false), stockNATS(inProcess, false, 20)),
		row("raw", work+outside, "PublishAsync of the same messages, made beforehand, in windows of 256, same server", 0, 0, publishingToNATS(true), rawPublishing),
	}
}

// benchLog is what a bus asks of a log: this one holds what is about to be published.
type benchLog struct{ memoryLog }

func (*benchLog) Identity(context.Context) (string, error) { return "bench", nil }

func publishingToNATS(outside bool) Side {
	return func(ctx context.Context, env *Env, n int) (f Figure, err error) {
		cfg := natsbus.Config{Dir: filepath.Join(env.Dir, "nats"), Listen: "127.0.0.1:0"}
		if outside {
			url, stop, err := startNATSProcess(ctx, env)
			if err != nil {
				return Figure{}, err
			}
			defer stop()
			cfg = natsbus.Config{URL: url}
		}
		log := &benchLog{}
		b, err := natsbus.Open(ctx, cfg, natsbus.Hooks{Log: log}, slog.New(slog.DiscardHandler))
		if err != nil {
			return Figure{}, err
		}
		defer func() { err = firstOf(err, b.Close()) }()
		catalogue, err := event.NewCatalogue(event.Definitions{event.Define[moved](event.Business)})
		if err != nil {
			return Figure{}, err
		}
		entries, err := entriesOf(catalogue, n, 1000)
		if err != nil {
			return Figure{}, err
		}
		log.add(entries)
		m := env.begin()
		for first := 0; first < n; first += 100 {
			if err := b.Publish(ctx, entries[first:min(n, first+100)]); err != nil {
				return Figure{}, err
			}
		}
		f = m.end(n)
		url := cfg.URL
		if url == "" {
			url = b.URL()
		}
		conn, err := nats.Connect(url)
		if err != nil {
			return f, err
		}
		defer conn.Close()
		return f, streamHolds(ctx, conn, natsbus.Stream, n)
	}
}

// streamHolds checks that a stream has n messages.
func streamHolds(ctx context.Context, conn *nats.Conn, name string, n int) error {
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return err
	}
	info, err := stream.Info(ctx)
	if err != nil {
		return err
	}
	if info.State.Msgs != uint64(n) {
		return fmt.Errorf("the stream holds %d messages, want %d", info.State.Msgs, n)
	}
	return nil
}

// connection is how the peer reaches its server.
type connection int

const (
	overTCP       connection = iota // a server in a process of its own
	embeddedByURL                   // one in this process, over loopback
	inProcess                       // one in this process, without the network
)

func connectNATS(ctx context.Context, env *Env, how connection) (conn *nats.Conn, stop func(), err error) {
	if how == inProcess {
		_, conn, stop, err := startNATS(ctx, env)
		return conn, stop, err
	}
	var url string
	var end func()
	if how == overTCP {
		url, end, err = startNATSProcess(ctx, env)
	} else {
		url, end, err = startNATSServer(env.Dir)
	}
	if err != nil {
		return nil, nil, err
	}
	if conn, err = nats.Connect(url); err != nil {
		end()
		return nil, nil, err
	}
	return conn, func() { conn.Close(); end() }, nil
}

// stockNATS does a share of the work, as it is slow.
func stockNATS(how connection, autoProvision bool, share int) Side {
	return func(ctx context.Context, env *Env, n int) (Figure, error) {
		n = max(1, n/share)
		conn, stop, err := connectNATS(ctx, env, how)
		if err != nil {
			return Figure{}, err
		}
		defer stop()
		const topic = "events"
		if !autoProvision {
			js, err := jetstream.New(conn)
			if err != nil {
				return Figure{}, err
			}
			if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: topic, Subjects: []string{topic}, Storage: jetstream.FileStorage}); err != nil {
				return Figure{}, err
			}
		}
		p, err := wmnats.NewPublisherWithNatsConn(conn, wmnats.PublisherPublishConfig{
			Marshaler: &wmnats.NATSMarshaler{}, SubjectCalculator: wmnats.DefaultSubjectCalculator,
			JetStream: wmnats.JetStreamConfig{AutoProvision: autoProvision},
		}, watermill.NopLogger{})
		if err != nil {
			return Figure{}, err
		}
		catalogue, err := event.NewCatalogue(event.Definitions{event.Define[moved](event.Business)})
		if err != nil {
			return Figure{}, err
		}
		entries, err := entriesOf(catalogue, n, 1000)
		if err != nil {
			return Figure{}, err
		}
		m := env.begin()
		for _, e := range entries {
			if err := p.Publish(topic, bus.Encode(e)); err != nil {
				return Figure{}, err
			}
		}
		f := m.end(n)
		return f, streamHolds(ctx, conn, topic, n)
	}
}

func rawPublishing(ctx context.Context, env *Env, n int) (Figure, error) {
	conn, stop, err := connectNATS(ctx, env, overTCP)
	if err != nil {
		return Figure{}, err
	}
	defer stop()
	js, err := jetstream.New(conn)
	if err != nil {
		return Figure{}, err
	}
	if _, err := js.CreateStream(ctx, leatStream()); err != nil {
		return Figure{}, err
	}
	messages, err := natsMessages(n)
	if err != nil {
		return Figure{}, err
	}
	m := env.begin()
	if err := publishInWindows(js, messages); err != nil {
		return Figure{}, err
	}
	f := m.end(n)
	return f, streamHolds(ctx, conn, natsbus.Stream, n)
}
