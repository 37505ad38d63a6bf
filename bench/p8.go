package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/jonboulle/clockwork"

	"github.com/leat-dev/leat/adapters/wshub"
	"github.com/leat-dev/leat/app/event"
)

func rowsP8() []Row {
	const peer = "net/http and gorilla/websocket: "
	return []Row{
		{
			ID: "P8", Variant: "fan-out", Work: "an event pushed to 1,000 clients of the live feed, frames of 256 bytes; deliveries",
			Peer: peer + "a loop that writes a PreparedMessage of 256 bytes to each client", AtLeast: 0.9, Guard: 0.7, N: 800_000, Batch: 64 * feedClients,
			Note: "CPU: writing to the clients' sockets 75 %, the push itself 3 %; the clients' writers use both cores, the loop one",
			Ours: fanOut(startHub), Them: fanOut(startLoop),
		},
		{
			ID: "P8", Variant: "memory", Work: "heap and stacks of the server for each of 1,000 idle, subscribed clients", Measure: "memory",
			Peer: peer + "a goroutine that reads for each client", AtMost: 1.3, Guard: 1.5, N: 1,
			Note: "one goroutine each, the loop's with the stack of net/http; of the heap the buffer of who reads is 4 KiB, and the loop's has one for writing too",
			Ours: idleClients(startHub), Them: idleClients(startLoop),
		},
	}
}

const (
	feedClients = 1000
	frameBytes  = 256
	feedWindow  = 64 // events that may be on their way to the slowest client
)

// feedServer takes clients and sends each of them the events.
type feedServer struct {
	address string
	hello   string // what a client says first
	greets  int    // frames that come before the events
	send    func(i int) error
	stop    func() error
}

func serveFeed(handler http.Handler, stop func() error) (*feedServer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(l) }()
	return &feedServer{address: l.Addr().String(), stop: func() error { return errors.Join(stop(), server.Close()) }}, nil
}

// startHub is the live feed over an empty log.
func startHub() (*feedServer, error) {
	hub := wshub.New(wshub.Config{}, &memoryLog{}, clockwork.NewRealClock(), slog.New(slog.DiscardHandler), nil)
	s, err := serveFeed(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hub.ServeHTTP(w, r.WithContext(event.WithOrigin(r.Context(), event.Origin{Tenant: "b", Actor: "b"})))
	}), func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		return hub.Close(ctx)
	})
	if err != nil {
		return nil, err
	}
	s.hello, s.greets = `{"op":"subscribe"}`, 2 // hello and position
	e := event.Envelope{
		ID: "0", Type: "a.b", Source: "b", Tenant: "b", Time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), CorrelationID: "0",
		SchemaVersion: 1, Kind: event.Business, Data: []byte(`"` + strings.Repeat("x", 11) + `"`),
	}
	s.send = func(i int) error {
		e.Position = 100_000 + int64(i) // as many digits each
		return hub.Push(context.Background(), e)
	}
	return s, nil
}

// startLoop is the least there can be between a server and its clients.
func startLoop() (*feedServer, error) {
	var mu sync.Mutex
	var conns []*websocket.Conn
	upgrader := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	s, err := serveFeed(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		mu.Lock()
		conns = append(conns, conn)
		mu.Unlock()
		for err == nil {
			_, _, err = conn.NextReader()
		}
	}), func() error {
		mu.Lock()
		defer mu.Unlock()
		for _, conn := range conns {
			_ = conn.Close()
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	frame := []byte(strings.Repeat("x", frameBytes))
	s.send = func(int) error {
		msg, err := websocket.NewPreparedMessage(websocket.TextMessage, frame)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		for _, conn := range conns {
			if err := conn.WritePreparedMessage(msg); err != nil {
				return err
			}
		}
		return nil
	}
	return s, nil
}

// withClients connects clients from a process of its own.
func (s *feedServer) withClients(ctx context.Context) (*child, error) {
	return startChild(ctx, "child-feed", s.address, strconv.Itoa(feedClients), strconv.Itoa(s.greets), strconv.Itoa(feedWindow/2), s.hello)
}

func fanOut(start func() (*feedServer, error)) Side {
	return func(ctx context.Context, env *Env, n int) (f Figure, err error) {
		s, err := start()
		if err != nil {
			return Figure{}, err
		}
		defer func() { err = firstOf(err, s.stop()) }()
		clients, err := s.withClients(ctx)
		if err != nil {
			return Figure{}, err
		}
		defer clients.stop()
		events := n / feedClients
		events -= events % (feedWindow / 2)
		m := env.begin()
		// The clients say each time when all of them have got half a window more.
		for sent, got := 0, 0; got < events; {
			if sent < events && sent-got < feedWindow {
				if err := s.send(sent); err != nil {
					return Figure{}, err
				}
				sent++
				continue
			}
			text, err := clients.line()
			if err != nil {
				return Figure{}, fmt.Errorf("%d of %d events came: %w", got, events, err)
			}
			size, err := strconv.Atoi(text)
			if err != nil || size != frameBytes {
				return Figure{}, fmt.Errorf("the clients say %q, want frames of %d bytes", text, frameBytes)
			}
			got += feedWindow / 2
		}
		return m.end(events * feedClients), nil
	}
}

func idleClients(start func() (*feedServer, error)) Side {
	return func(ctx context.Context, env *Env, _ int) (f Figure, err error) {
		s, err := start()
		if err != nil {
			return Figure{}, err
		}
		defer func() { err = firstOf(err, s.stop()) }()
		heapBefore, stacksBefore := usedMemory()
		clients, err := s.withClients(ctx)
		if err != nil {
			return Figure{}, err
		}
		defer clients.stop()
		heap, stacks := usedMemory()
		heap, stacks = (heap-heapBefore)/feedClients/1024, (stacks-stacksBefore)/feedClients/1024
		if env.profile != nil {
			err = pprof.WriteHeapProfile(env.profile)
		}
		return Figure{Rate: 1 / (heap + stacks), Values: map[string]float64{"heap KiB": heap, "stacks KiB": stacks}}, err
	}
}

// usedMemory is what is in use in this process, in bytes.
func usedMemory() (heap, stacks float64) {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc), float64(m.StackInuse)
}
