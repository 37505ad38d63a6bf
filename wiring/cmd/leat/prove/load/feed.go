package load

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/leat-dev/leat/wiring/cmd/leat/prove/oracle"
)

// Feed is a client of the live feed that comes back whenever it is cut off, and goes on where it
// was.
type Feed struct {
	target func() string
	name   string
	tenant string

	mu     sync.Mutex
	frames []oracle.Frame
	at     int64 // the highest position that it was told
}

// NewFeed returns a client that watches the events of a tenant from the first on.
func NewFeed(name, tenant string, target func() string) *Feed {
	return &Feed{target: target, name: name, tenant: tenant}
}

// Told returns what the client was told so far.
func (f *Feed) Told() oracle.Feed {
	f.mu.Lock()
	defer f.mu.Unlock()
	return oracle.Feed{Client: f.name, Tenant: f.tenant, Frames: append([]oracle.Frame(nil), f.frames...)}
}

// Run watches until ctx ends.
func (f *Feed) Run(ctx context.Context) {
	for connection := 1; ctx.Err() == nil; connection++ {
		if address := f.target(); address != "" {
			f.watch(ctx, connection, address)
		}
		wait(ctx, 2*pause)
	}
}

func (f *Feed) watch(ctx context.Context, connection int, address string) {
	dialer := websocket.Dialer{Subprotocols: []string{"leat.v1"}, HandshakeTimeout: 5 * time.Second}
	conn, resp, err := dialer.DialContext(ctx, "ws://"+address+"/v1/ws", http.Header{"Leat-Tenant": {f.tenant}})
	if resp != nil {
		_ = resp.Body.Close()
	}
	if err != nil {
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer func() { _ = conn.Close() }()
	f.mu.Lock()
	after := f.at
	f.frames = append(f.frames, oracle.Frame{Connection: connection, Op: "resume", Position: after})
	f.mu.Unlock()
	if conn.WriteJSON(map[string]any{"op": "subscribe", "after": after}) != nil {
		return
	}
	for {
		var got struct {
			Op       string
			Position int64
			From, To int64
			Event    struct{ ID, TenantID string }
		}
		if conn.ReadJSON(&got) != nil {
			return
		}
		if got.Op == "hello" {
			continue // it tells how far the server is, not how far the client is
		}
		f.mu.Lock()
		f.frames = append(f.frames, oracle.Frame{
			Connection: connection, Op: got.Op, Position: got.Position, From: got.From, To: got.To,
			EventID: got.Event.ID, Tenant: got.Event.TenantID,
		})
		f.at = max(f.at, got.Position, got.To)
		f.mu.Unlock()
	}
}
