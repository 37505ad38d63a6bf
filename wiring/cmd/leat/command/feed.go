package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/gorilla/websocket"
)

// The frames of the live feed.
const (
	opHello     = "hello"
	opSubscribe = "subscribe"
	opEvent     = "event"
	opPosition  = "position"
	opGap       = "gap"
	opError     = "error"
)

const (
	feedProtocol = "leat.v1"
	closeDenied  = 4401
	maxFrame     = 4 << 20
	pingEvery    = 20 * time.Second
	silence      = 3 * pingEvery // without a sign of life the connection counts as lost
	writeWait    = 10 * time.Second
)

// frame is any frame that a server sends.
type frame struct {
	Op         string          `json:"op"`
	Position   int64           `json:"position"`
	Unrecorded bool            `json:"unrecorded"` // the log did not take the event
	Event      json.RawMessage `json:"event"`
	From       int64           `json:"from"`
	To         int64           `json:"to"`
	Code       json.RawMessage `json:"code"`
	Message    string          `json:"message"`
}

// subscribeFrame asks for events.
type subscribeFrame struct {
	Op       string   `json:"op"`
	Types    []string `json:"types,omitempty"`
	Subjects []string `json:"subjects,omitempty"`
	After    *int64   `json:"after,omitempty"`
}

// lostError says that a connection which worked is no more.
type lostError struct{ err error }

func (e *lostError) Error() string { return "connection lost: " + e.err.Error() }
func (e *lostError) Unwrap() error { return e.err }

// feed follows the live feed over any number of connections.
type feed struct {
	client   *client
	types    []string
	subjects []string
	after    *int64 // where to go on; nil: with what comes
	greeted  bool   // a server has answered once
	early    recent // events that came before their position was known
}

// follow connects, subscribes, and calls show with each event and gap. It returns when ctx ends,
// when show fails, or with why the connection ended: a *lostError when it makes sense to come back.
func (f *feed) follow(ctx context.Context, show func(frame) error) error {
	conn, err := f.connect(ctx)
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	alive := make(chan struct{})
	go func() {
		defer close(alive)
		f.keepAlive(ctx, conn, ended)
	}()
	defer func() {
		close(ended)
		<-alive
	}()

	hello, err := f.read(conn)
	if err != nil {
		return err
	}
	if hello.Op != opHello {
		return fmt.Errorf("the feed began with %q; is it a Leat server?", hello.Op)
	}
	f.greeted = true
	subscribe := subscribeFrame{Op: opSubscribe, Types: f.types, Subjects: f.subjects, After: f.after}
	if f.after == nil {
		f.after = &hello.Position
	}
	if err := conn.SetWriteDeadline(time.Now().Add(writeWait)); err != nil {
		return &lostError{err}
	}
	if err := conn.WriteJSON(subscribe); err != nil {
		return &lostError{err}
	}
	for {
		got, err := f.read(conn)
		if err != nil {
			return err
		}
		if err := f.take(got, show); err != nil {
			return err
		}
	}
}

func (f *feed) connect(ctx context.Context) (*websocket.Conn, error) {
	to := f.client.url(nil, "ws")
	to.Scheme = map[string]string{"http": "ws", "https": "wss"}[to.Scheme]
	dialer := websocket.Dialer{
		Proxy: http.ProxyFromEnvironment, HandshakeTimeout: requestTimeout, Subprotocols: []string{feedProtocol},
	}
	conn, resp, err := dialer.DialContext(ctx, to.String(), f.client.header)
	if resp != nil && err != nil {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20)) // what cannot be read is not shown
		_ = resp.Body.Close()
		return nil, readAnswerError(resp, text)
	}
	if err != nil {
		return nil, f.client.unreachable(err)
	}
	conn.SetReadLimit(maxFrame)
	conn.SetPongHandler(func(string) error { return conn.SetReadDeadline(time.Now().Add(silence)) })
	return conn, nil
}

// keepAlive sends pings, and closes the connection when ctx or the reading of it has ended.
func (f *feed) keepAlive(ctx context.Context, conn *websocket.Conn, ended <-chan struct{}) {
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	defer conn.Close()
	for {
		select {
		case <-ctx.Done():
			bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
			_ = conn.WriteControl(websocket.CloseMessage, bye, time.Now().Add(time.Second))
			return
		case <-ended:
			return
		case <-ping.C:
			if conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(writeWait)) != nil {
				return
			}
		}
	}
}

func (f *feed) read(conn *websocket.Conn) (frame, error) {
	var got frame
	if err := conn.SetReadDeadline(time.Now().Add(silence)); err != nil {
		return got, &lostError{err}
	}
	_, text, err := conn.ReadMessage()
	var closed *websocket.CloseError
	switch {
	case errors.As(err, &closed) && closed.Code == closeDenied:
		return got, &codedError{code: exitNotAllowed, err: fmt.Errorf("the server closed the feed: %s", first(closed.Text, "no longer allowed"))}
	case err != nil:
		return got, &lostError{err}
	}
	if err := json.Unmarshal(text, &got); err != nil {
		return got, fmt.Errorf("read a frame of the feed: %w", err)
	}
	return got, nil
}

// take deals with one frame. Kinds of frames that it does not know are for newer clients.
func (f *feed) take(got frame, show func(frame) error) error {
	switch got.Op {
	case opEvent:
		e, err := readAttributes(got.Event)
		if err != nil {
			return err
		}
		id := e.Tenant + "\x00" + e.Source + "\x00" + e.ID
		known := f.early.has(id)
		if got.Position == 0 {
			f.early.add(id)
		} else {
			f.after = &got.Position
		}
		if known {
			return nil
		}
		return show(got)
	case opGap:
		f.after = &got.To
		return show(got)
	case opPosition:
		f.after = &got.Position
	case opError:
		code := string(got.Code)
		var name string
		if json.Unmarshal(got.Code, &name) == nil {
			code = name
		}
		return rejected("the feed answered %s: %s", code, first(got.Message, "no further explanation"))
	}
	return nil
}

// recent remembers the last few ids.
type recent struct {
	ids   map[string]bool
	order []string
}

const recentIDs = 4096

func (r *recent) has(id string) bool { return r.ids[id] }

func (r *recent) add(id string) {
	if r.ids == nil {
		r.ids = map[string]bool{}
	}
	if r.ids[id] {
		return
	}
	r.ids[id] = true
	r.order = append(r.order, id)
	if len(r.order) > recentIDs {
		delete(r.ids, r.order[0])
		r.order = r.order[1:]
	}
}
