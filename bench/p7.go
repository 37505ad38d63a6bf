package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/leat-dev/leat/adapters/wshub"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/configs"
)

func rowsP7() []Row {
	const work = "from the call of publish to the WebSocket client that has read the frame, at 1,000 events a second, over HTTP on loopback; "
	row := func(variant, what string, limits []Limit, side Side) Row {
		note := "the commit: committer 26 % of the CPU (fsync 10 %), publish 17 %; the program is busy 28 % of one core"
		switch {
		case strings.HasPrefix(variant, "postgres"):
			note = "waiting for the server, whose commit is waited for twice: for the insert and for the position; the program is busy 26 % of one core (appending 18 %, the sequencer 13 %, scheduling 26 %)"
		case variant == "nats":
			note = "the commit, then the stream's: committer 35 % of the CPU, router and chain 10 %, publishing to the stream 8 %; the program is busy 29 % of one core"
		}
		return Row{ID: "P7", Variant: variant, Note: note, Work: work + what, Peer: "–", Limits: limits, N: 5_000, Ours: side}
	}
	fast, far := []Limit{{Name: "p50 ms", Below: 0.7}, {Name: "p99 ms", Below: 3}}, []Limit{{Name: "p99 ms", Below: 10}}
	return []Row{
		row("embedded", "embedded defaults: SQLite, bus sql", fast, feeding("sqlite", "sql", false, false)),
		row("embedded-realtime", "embedded defaults, an event that is defined as real-time", fast, feeding("sqlite", "sql", false, true)),
		row("postgres", "PostgreSQL, bus sql", far, feeding("postgres", "sql", false, false)),
		row("nats", "SQLite, a NATS server in a process of its own", far, feeding("sqlite", "nats", true, false)),
		row("postgres-nats", "PostgreSQL, a NATS server in a process of its own", far, feeding("postgres", "nats", true, false)),
	}
}

// feeding publishes an event each millisecond while a client listens.
func feeding(store, busKind string, outside, realtime bool) Side {
	return func(ctx context.Context, env *Env, n int) (f Figure, err error) {
		s := setup{store: store, bus: busKind, listen: true, everything: true}
		if realtime {
			s.options = []event.Option{event.Realtime()}
		}
		if outside {
			url, stop, err := startNATSProcess(ctx, env)
			if err != nil {
				return Figure{}, err
			}
			defer stop()
			s.change = func(cfg *configs.Config) { cfg.NATS.URL = url }
		}
		w, err := env.open(ctx, s)
		if err != nil {
			return Figure{}, err
		}
		defer func() { err = firstOf(err, w.stop()) }()
		conn, err := listenToFeed(ctx, w.Servers.API.Addr(), tenant)
		if err != nil {
			return Figure{}, err
		}
		defer func() { _ = conn.Close() }()

		published, read := make([]time.Time, n), make([]time.Time, n)
		ended := make(chan error, 1)
		go func() { ended <- readFeed(conn, read) }()
		m := env.begin()
		start := time.Now()
		err = spreadOut(8, n, func(_, i int) error {
			time.Sleep(time.Until(start.Add(time.Duration(i) * time.Millisecond)))
			published[i] = time.Now()
			_, err := w.Publisher.Publish(w.ctx, draftOf(i%1000, i))
			return err
		})
		f = m.end(n)
		if err != nil {
			return f, err
		}
		select {
		case err = <-ended:
		case <-time.After(20 * time.Second):
			err = errors.New("the client has not got every event")
		}
		if err != nil {
			return f, err
		}
		took := make([]time.Duration, n)
		for i := range took {
			took[i] = read[i].Sub(published[i])
		}
		f.latencies("", took)
		return f, nil
	}
}

// listenToFeed connects a client and returns when it gets what is published from now on.
func listenToFeed(ctx context.Context, address, tenant string) (*websocket.Conn, error) {
	dialer := websocket.Dialer{Subprotocols: []string{wshub.Subprotocol}, HandshakeTimeout: 10 * time.Second}
	conn, resp, err := dialer.DialContext(ctx, "ws://"+address+"/v1/ws", http.Header{"Leat-Tenant": {tenant}})
	if err != nil {
		return nil, err
	}
	_ = resp.Body.Close()
	err = conn.WriteMessage(websocket.TextMessage, []byte(`{"op":"subscribe"}`))
	for err == nil {
		var frame feedFrame
		if err = conn.ReadJSON(&frame); err == nil && frame.Op == "position" {
			return conn, nil
		}
	}
	return nil, errors.Join(err, conn.Close())
}

type feedFrame struct {
	Op       string `json:"op"`
	Position int64  `json:"position"`
	Event    struct {
		Data moved `json:"data"`
	} `json:"event"`
}

// readFeed notes when each event came: each once, and those with positions in their order.
func readFeed(conn *websocket.Conn, read []time.Time) error {
	var last int64
	for left := len(read); left > 0; {
		_, text, err := conn.ReadMessage()
		now := time.Now()
		if err != nil {
			return err
		}
		var frame feedFrame
		if err := json.Unmarshal(text, &frame); err != nil {
			return err
		}
		if frame.Op == "position" {
			continue
		}
		number := frame.Event.Data.Number
		if frame.Op != "event" || number >= len(read) || !read[number].IsZero() {
			return fmt.Errorf("the client got %s", text)
		}
		if frame.Position > 0 && frame.Position <= last {
			return fmt.Errorf("position %d came after %d", frame.Position, last)
		}
		last = max(last, frame.Position)
		read[number] = now
		left--
	}
	return nil
}
