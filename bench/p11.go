package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

func rowsP11() []Row {
	return []Row{{
		ID: "P11", Work: "POST /v1/events on SQLite, the event checked against its definition, durable; 64 keep-alive clients",
		Peer:    "net/http's server that reads the body and answers 202 without doing anything",
		AtLeast: 0.25, Guard: 0.07, N: 40_000, Note: "CPU: HTTP 41 % (of it publishing 16 %), committer 21 %, the clients 12 %; system calls are 16 % of all of it", Ours: postEvents, Them: postNothing,
	}}
}

func postEvents(ctx context.Context, env *Env, n int) (Figure, error) {
	w, err := env.open(ctx, setup{store: "sqlite", bus: "sql", listen: true, everything: true})
	if err != nil {
		return Figure{}, err
	}
	f, err := post(env, w.Servers.API.Addr(), n)
	if err == nil {
		err = w.holds(ctx, n)
	}
	return f, firstOf(err, w.stop())
}

func postNothing(_ context.Context, env *Env, n int) (Figure, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return Figure{}, err
	}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"status":"accepted"}`)
	})}
	go func() { _ = server.Serve(l) }()
	f, err := post(env, l.Addr().String(), n)
	return f, firstOf(err, server.Close())
}

// post sends n requests over 64 connections that stay open, as cheaply as one can.
func post(env *Env, address string, n int) (Figure, error) {
	const clients = 64
	type client struct {
		conn net.Conn
		in   *bufio.Reader
	}
	all := make([]client, clients)
	for i := range all {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return Figure{}, err
		}
		defer func() { _ = conn.Close() }()
		all[i] = client{conn, bufio.NewReader(conn)}
	}
	took := make([][]time.Duration, clients)
	m := env.begin()
	err := spreadOut(clients, n, func(worker, i int) error {
		c, key := all[worker], keyName(i%1000)
		body := fmt.Sprintf(`{"eventType":"item.moved","source":"clients","id":"e-%d","subject":%q,"data":{"key":%q,"number":%d,"from":"warehouse-0123456789","to":"warehouse-9876543210"}}`,
			i, key, key, i)
		start := time.Now()
		if _, err := fmt.Fprintf(c.conn, "POST /v1/events HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", address, len(body), body); err != nil {
			return err
		}
		resp, err := http.ReadResponse(c.in, nil)
		if err != nil {
			return err
		}
		answer, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		took[worker] = append(took[worker], time.Since(start))
		if err == nil && resp.StatusCode != http.StatusAccepted {
			err = fmt.Errorf("%s: %s", resp.Status, answer)
		}
		return err
	})
	f := m.end(n)
	f.latencies("", flat(took))
	return f, err
}
