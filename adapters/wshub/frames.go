package wshub

import (
	"fmt"
	"strconv"
	"sync"

	"github.com/gorilla/websocket"

	"github.com/leat-dev/leat/app/event"
)

// Subprotocol is the name of the conversation; a client that names subprotocols must name it.
const Subprotocol = "leat.v1"

// Close codes of our own; see the package comment for the others.
const (
	CloseNotAllowed = 4401 // the client may no longer see what it subscribed to
	CloseTooSlow    = 4408 // the client does not take its frames
)

type positionFrame struct {
	Op       string `json:"op"` // "hello" or "position"
	Position int64  `json:"position"`
}

type gapFrame struct {
	Op   string `json:"op"`
	From int64  `json:"from"`
	To   int64  `json:"to"`
}

type errorFrame struct {
	Op      string `json:"op"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// encodeEvent returns the event's frame. It is put together by hand because the event is encoded
// JSON already, which json.Marshal would go through once more.
func encodeEvent(e event.Envelope) ([]byte, error) {
	body, err := e.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("encode %s for the live feed: %w", e.Type, err)
	}
	b := make([]byte, 0, len(body)+64)
	b = append(b, `{"op":"event",`...)
	if e.Position > 0 {
		b = append(b, `"position":`...)
		b = strconv.AppendInt(b, e.Position, 10)
		b = append(b, ',')
	} else if e.Unrecorded {
		b = append(b, `"unrecorded":true,`...)
	}
	b = append(b, `"event":`...)
	b = append(b, body...)
	return append(b, '}'), nil
}

// frame is one pushed event on its way to clients. It is encoded when the first of them wants it,
// once for all.
type frame struct {
	event  event.Envelope
	key    eventKey
	encode func() (*websocket.PreparedMessage, error)
}

func newFrame(e event.Envelope) *frame {
	return &frame{event: e, key: keyOf(e), encode: sync.OnceValues(func() (*websocket.PreparedMessage, error) {
		b, err := encodeEvent(e)
		if err != nil {
			return nil, err
		}
		return websocket.NewPreparedMessage(websocket.TextMessage, b)
	})}
}
