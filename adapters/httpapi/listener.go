package httpapi

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// listener is an http.Server with a life cycle: Listen, then Run until the context ends.
type listener struct {
	key      string // of the configuration, for errors
	address  string
	shutdown time.Duration
	server   *http.Server
	logger   *slog.Logger

	mu sync.Mutex
	ln net.Listener
}

// Listen takes the address. Its error names the key of the configuration and the address. Who
// calls it must call Run or Close.
func (l *listener) Listen() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ln != nil {
		return nil
	}
	ln, err := net.Listen("tcp", l.address)
	if err != nil {
		return fmt.Errorf("%s: listen on %s: %w", l.key, l.address, err)
	}
	l.ln = ln
	return nil
}

// Addr returns the address that Listen took, "" before.
func (l *listener) Addr() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ln == nil {
		return ""
	}
	return l.ln.Addr().String()
}

// Close lets go of an address that is not served.
func (l *listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ln == nil {
		return nil
	}
	return l.ln.Close()
}

// Run serves until ctx ends, then takes no more requests and returns when those in hand are
// answered. Their contexts stay alive meanwhile. Requests that are still in hand when the shutdown
// timeout has passed are cut off and reported as an error. It listens if Listen was not called.
// Run may be called once.
func (l *listener) Run(ctx context.Context) error {
	if err := l.Listen(); err != nil {
		return err
	}
	requests, cutOff := context.WithCancel(context.WithoutCancel(ctx))
	defer cutOff()
	l.server.BaseContext = func(net.Listener) context.Context { return requests }

	served := make(chan error, 1)
	go func() { served <- l.server.Serve(l.ln) }()
	l.logger.Info("listening", "key", l.key, "address", l.Addr())

	select {
	case err := <-served:
		return fmt.Errorf("%s: serve %s: %w", l.key, l.address, err)
	case <-ctx.Done():
	}
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.shutdown)
	defer cancel()
	err := l.server.Shutdown(deadline)
	if err != nil {
		cutOff()
		_ = l.server.Close() // what it could say is less than what Shutdown said
		err = fmt.Errorf("%s: requests were still in hand after %s: %w", l.key, l.shutdown, err)
	}
	<-served //nolint:errcheck // http.ErrServerClosed, since Shutdown or Close was called
	return err
}
