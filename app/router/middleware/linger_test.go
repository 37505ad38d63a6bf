package middleware_test

import (
	"errors"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/router/middleware"
)

// One goroutine handles message after message; each is answered when it has been handled, and a
// panic ends the goroutine with its message nacked.
func TestLinger(t *testing.T) {
	t.Parallel()
	again, stops := make(chan *message.Message), make(chan struct{})
	handle := middleware.Linger(again, stops)(func(m *message.Message) ([]*message.Message, error) {
		switch string(m.Payload) {
		case "fails":
			return nil, errors.New("no luck")
		case "panics":
			panic("boom")
		}
		return nil, nil
	})
	ended := make(chan any, 1)
	start := func(m *message.Message) {
		go func() {
			defer func() { ended <- recover() }()
			_, _ = handle(m)
		}()
	}
	answered := func(m *message.Message, acked bool) {
		t.Helper()
		yes, no := m.Acked(), m.Nacked()
		if !acked {
			yes, no = no, yes
		}
		select {
		case <-yes:
		case <-no:
			t.Fatalf("message %s: got the wrong answer", m.Payload)
		case <-time.After(10 * time.Second):
			t.Fatalf("message %s: got no answer", m.Payload)
		}
	}
	first, fails, second, panics := message.NewMessage("1", []byte("a")), message.NewMessage("2", []byte("fails")),
		message.NewMessage("3", []byte("b")), message.NewMessage("4", []byte("panics"))
	start(first)
	answered(first, true)
	again <- fails
	answered(fails, false)
	again <- second
	answered(second, true)
	again <- panics
	require.Equal(t, "boom", <-ended)
	answered(panics, false)

	fifth := message.NewMessage("5", nil)
	start(fifth)
	answered(fifth, true)
	close(stops)
	require.Nil(t, <-ended)
}
