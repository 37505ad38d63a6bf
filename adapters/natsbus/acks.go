package natsbus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// acks takes what the stream answers to the messages of one call of Publish. Messages are numbered, and a
// reply's subject ends with the number. Numbers are never used twice, so that an answer to an earlier call is
// known for one.
//
// nats.go's own asynchronous publishing was not taken: it keeps a future, a timer and a place in a map for
// every message, and leaves a goroutine behind when a connection is closed soon after its first message.
type acks struct {
	prefix string // of the subjects of replies

	mu      sync.Mutex
	first   uint64 // the number of the call's first message
	done    []bool // by message: the stream has it, or it was stepped over
	waiting int    // messages that were sent and have no answer
	enough  int    // who waits is woken when no more than that are waiting
	count   uint64 // answers so far, to see progress
	err     error  // the first fault of the call
	never   []refusal
	wake    chan struct{}
}

func newAcks() acks { return acks{wake: make(chan struct{}, 1)} }

// listen has the answers come over the connection, for as long as it is open.
func (a *acks) listen(conn *nats.Conn) error {
	a.prefix = conn.NewInbox() + "."
	if _, err := conn.Subscribe(a.prefix+"*", a.hear); err != nil {
		return fmt.Errorf("listen to the acks of the stream: %w", err)
	}
	return nil
}

// begin starts a call with n messages.
func (a *acks) begin(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.first += uint64(len(a.done))
	a.done = append(a.done[:0], make([]bool, n)...)
	a.waiting, a.err, a.never = 0, nil, nil
}

// sending tells that a message is about to be sent, and returns where its answer shall go.
func (a *acks) sending(i int) (reply string) {
	a.mu.Lock()
	a.waiting++
	number := a.first + uint64(i)
	a.mu.Unlock()
	var buf [64]byte
	return string(strconv.AppendUint(append(buf[:0], a.prefix...), number, 10))
}

// left tells that a message was not sent and is done with.
func (a *acks) left(i int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.done[i] = true
	a.waiting--
}

// through returns how many messages, from the first on, are done with.
func (a *acks) through() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, done := range a.done {
		if !done {
			return i
		}
	}
	return len(a.done)
}

// under returns how many messages wait for an answer, and the first fault.
func (a *acks) under() (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.waiting, a.err
}

// lost ends the call when the connection is lost, for its answers do not come any more.
func (a *acks) lost(cause error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.waiting > 0 && a.err == nil {
		a.err = fmt.Errorf("%w: %w", nats.ErrDisconnected, cause)
		a.tell()
	}
}

// tell wakes who waits. a.mu is held.
func (a *acks) tell() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// hear takes an answer.
func (a *acks) hear(m *nats.Msg) {
	number, err := strconv.ParseUint(strings.TrimPrefix(m.Subject, a.prefix), 10, 64)
	if err != nil {
		return
	}
	err = readAck(m)
	a.mu.Lock()
	defer a.mu.Unlock()
	i := number - a.first
	if number < a.first || i >= uint64(len(a.done)) || a.done[i] {
		return // of an earlier call, which has ended with an error
	}
	a.count++
	switch {
	case errors.Is(err, jetstream.ErrStreamMessageExceedsMaximum):
		a.never = append(a.never, refusal{int(i), err})
	case err != nil:
		if a.err == nil {
			a.err = err
		}
		a.tell()
		return
	}
	a.done[i] = true
	if a.waiting--; a.waiting <= a.enough {
		a.tell()
	}
}

// refusal is the stream's answer to a message that it will never take.
type refusal struct {
	message int
	err     error
}

// refused returns the messages of the call that the stream will never take.
func (a *acks) refused() []refusal {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.never
}

// wait returns when no more than most messages are without an answer, or with a fault. Without any answer
// it ends after patience.
func (a *acks) wait(ctx, closed context.Context, most int, patience time.Duration) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for seen := uint64(0); ; {
		a.mu.Lock()
		a.enough = most
		enough, err, count := a.waiting <= most, a.err, a.count
		a.mu.Unlock()
		if err != nil || enough {
			return err
		}
		select {
		case <-a.wake:
		case <-ctx.Done():
			return ctx.Err()
		case <-closed.Done():
			return nats.ErrConnectionClosed
		case <-timer.C:
			if count == seen {
				return jetstream.ErrAsyncPublishTimeout
			}
			timer.Reset(patience)
		}
		seen = count
	}
}

var (
	errOtherStream = errors.New("another stream took the message")
	errRepeated    = errors.New("the stream took a new message for a repeated one")
)

// plainAck is how the server begins the ack of a message in our stream; the sequence and a brace follow.
var plainAck = []byte(`{"stream":"` + Stream + `","seq":`)

// readAck is nil when the message is in our stream.
func readAck(m *nats.Msg) error {
	if rest, ok := bytes.CutPrefix(m.Data, plainAck); ok && onlyNumber(rest) {
		return nil
	}
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		return jetstream.ErrNoStreamResponse
	}
	var ack struct {
		Error     *jetstream.APIError `json:"error"`
		Stream    string              `json:"stream"`
		Duplicate bool                `json:"duplicate"`
	}
	switch err := json.Unmarshal(m.Data, &ack); {
	case err != nil:
		return fmt.Errorf("%w: %w", jetstream.ErrInvalidJSAck, err)
	case ack.Error != nil:
		return ack.Error
	case ack.Stream == "":
		return jetstream.ErrInvalidJSAck
	case ack.Stream != Stream:
		return fmt.Errorf("%w: %s", errOtherStream, ack.Stream)
	case ack.Duplicate:
		return errRepeated
	}
	return nil
}

// onlyNumber tells whether text is a number and a brace.
func onlyNumber(text []byte) bool {
	n := len(text) - 1
	if n < 1 || text[n] != '}' {
		return false
	}
	for _, c := range text[:n] {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
