package wshub

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/gorilla/websocket"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/domain"
)

var (
	errNobody = &domain.Error{Kind: domain.Forbidden, Code: "UNAUTHENTICATED", Message: "the live feed needs a credential"}
	errOrigin = &domain.Error{Kind: domain.Forbidden, Code: "ORIGIN_NOT_ALLOWED", Message: "pages of this origin may not connect"}
	errClosed = &domain.Error{Kind: domain.Unavailable, Code: "SHUTTING_DOWN", Message: "the server is shutting down"}
	errFull   = &domain.Error{Kind: domain.Unavailable, Code: "TOO_MANY_CLIENTS", Message: "the live feed has no room for another client"}
	errLog    = &domain.Error{Kind: domain.Unavailable, Code: "LOG_UNAVAILABLE", Message: "the event log cannot be read now"}
)

// ServeHTTP makes a request a client of the live feed and returns when it is one: then the connection is the
// hub's, and nothing of the request's is held for it. The tenant is the one that the request's context carries
// (event.OriginFrom); without one the answer is 401. What is refused before the upgrade is answered with a JSON
// error.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	origin := event.OriginFrom(r.Context())
	if origin.Tenant == "" {
		answer(w, http.StatusUnauthorized, errNobody.Code, errNobody.Message)
		return
	}
	if !h.originAllowed(r) {
		answer(w, http.StatusForbidden, errOrigin.Code, errOrigin.Message)
		return
	}
	if err := h.reserve(); err != nil {
		unavailable(w, err)
		return
	}
	begun := false
	defer func() {
		if !begun {
			h.release()
		}
	}()
	position, err := h.position(r.Context())
	if err != nil {
		h.logger.Error("read the bounds of the log for a client of the live feed", "tenant", origin.Tenant, "error", err)
		unavailable(w, errLog)
		return
	}
	conn, err := h.upgrader.Upgrade(hijacker{w}, r, nil)
	if err != nil {
		return // the upgrader has answered
	}
	// The request's deadline is not the connection's; its values stay.
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	c := newClient(ctx, h, conn, origin, r.RemoteAddr, position, cancel)
	h.enter(c)
	begun = true
	go c.serve(ctx)
}

// position is where a new client stands: the last event pushed here, or, before the first push, the
// last of the log.
func (h *Hub) position(ctx context.Context) (int64, error) {
	if head := h.head.Load(); head > 0 {
		return head, nil
	}
	_, last, err := h.feed.Bounds(ctx)
	return last, err
}

func (h *Hub) newUpgrader() websocket.Upgrader {
	return websocket.Upgrader{
		Subprotocols: []string{Subprotocol},
		// Else each connection would keep the buffer of net/http, though hardly any is about to write.
		WriteBufferPool: &sync.Pool{},
		CheckOrigin:     func(*http.Request) bool { return true }, // ServeHTTP has done so
		Error: func(w http.ResponseWriter, _ *http.Request, status int, reason error) {
			if status == http.StatusBadRequest {
				w.Header().Set("Sec-Websocket-Version", "13")
			}
			answer(w, status, "NOT_A_WEBSOCKET_REQUEST", reason.Error())
		},
	}
}

// originAllowed tells whether the page whose script makes the request may do so. Only browsers say
// which page it is, and they always do.
func (h *Hub) originAllowed(r *http.Request) bool {
	header := r.Header.Values("Origin")
	if len(header) == 0 {
		return true
	}
	if len(header) > 1 {
		return false
	}
	if u, err := url.Parse(header[0]); err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host) {
		return true
	}
	for _, allowed := range h.cfg.AllowedOrigins {
		if allowed == "*" || strings.EqualFold(allowed, header[0]) {
			return true
		}
	}
	return false
}

func unavailable(w http.ResponseWriter, err error) {
	var e *domain.Error
	if !errors.As(err, &e) {
		e = errLog
	}
	w.Header().Set("Retry-After", "1")
	answer(w, http.StatusServiceUnavailable, e.Code, e.Message)
}

// answer writes the error body that every call of the API answers with.
func answer(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(struct {
		Status    string `json:"status"`
		ErrorCode string `json:"errorCode"`
		Message   string `json:"message"`
	}{"error", code, message})
}

// hijacker finds the connection under response writers that others wrapped.
type hijacker struct{ http.ResponseWriter }

func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(h.ResponseWriter).Hijack()
}
