package natsbus

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/gofrs/flock"
	"github.com/nats-io/nats-server/v2/server"

	"github.com/leat-dev/leat/domain"
)

// maxPayload is what an embedded server accepts in one message: an event's data and its headers.
const maxPayload = 1 << 20

// embedded is a server inside the process, the only one that uses its folder.
type embedded struct {
	server *server.Server
	lock   *flock.Flock
}

// startEmbedded returns a server that answers. It waits for that no longer than cfg.StartWait.
func startEmbedded(ctx context.Context, cfg Config, logger *slog.Logger) (*embedded, error) {
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("find the folder of the embedded NATS server: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the embedded NATS server: %w", err)
	}
	lock := flock.New(filepath.Join(dir, "leat.lock"))
	switch locked, err := lock.TryLock(); {
	case err != nil:
		return nil, fmt.Errorf("lock the folder of the embedded NATS server: %w", err)
	case !locked:
		return nil, domain.Errorf(domain.Conflict, "NATS_DIR_IN_USE",
			"nats.dir: %s is in use by another process; several processes share a server that one of them offers with nats.listen, or an external one, by nats.url", dir)
	}
	e := &embedded{lock: lock}
	if err := e.start(ctx, cfg, dir, logger); err != nil {
		e.stop()
		return nil, err
	}
	return e, nil
}

func (e *embedded) start(ctx context.Context, cfg Config, dir string, logger *slog.Logger) error {
	o := &server.Options{
		ServerName: "leat",
		DontListen: cfg.Listen == "",
		NoSigs:     true, // signals are the application's
		JetStream:  true,
		StoreDir:   dir,
		MaxPayload: maxPayload,
		// Beside the stream there are only consumers' states on disk; a log entry of the stream is
		// a little longer than the message that it counts.
		JetStreamMaxStore:  cfg.MaxBytes + cfg.MaxBytes/4 + 64<<20,
		JetStreamMaxMemory: cfg.MaxMemory,
		Username:           cfg.User, Password: cfg.Password, Authorization: cfg.Token,
	}
	if cfg.Listen != "" {
		host, port, err := net.SplitHostPort(cfg.Listen)
		if err != nil {
			return fmt.Errorf("nats.listen: %w", err)
		}
		o.Host = host
		if o.Port, err = strconv.Atoi(port); err != nil {
			return fmt.Errorf("nats.listen: port %q: %w", port, err)
		}
		if o.Port == 0 {
			o.Port = server.RANDOM_PORT
		}
		// The server ends the whole process when it cannot listen, so ask first.
		l, err := net.Listen("tcp", cfg.Listen)
		if err != nil {
			return domain.Errorf(domain.Conflict, "NATS_LISTEN", "nats.listen: %w", err)
		}
		if err := l.Close(); err != nil {
			return fmt.Errorf("nats.listen: %w", err)
		}
	}
	s, err := server.NewServer(o)
	if err != nil {
		return fmt.Errorf("make the embedded NATS server: %w", err)
	}
	fatal := make(chan string, 1)
	s.SetLogger(&serverLog{logger: logger.With("part", "nats-server"), fatal: fatal}, false, false)
	e.server = s
	s.Start()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.NewTimer(cfg.StartWait)
	defer deadline.Stop()
	for {
		if s.ReadyForConnections(time.Microsecond) && s.JetStreamEnabled() {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case text := <-fatal:
			return domain.Errorf(domain.Unavailable, "NATS_START", "the embedded NATS server in %s does not start: %s", dir, text)
		case <-deadline.C:
			return domain.Errorf(domain.Unavailable, "NATS_START", "the embedded NATS server in %s is not ready after %v", dir, cfg.StartWait)
		case <-tick.C:
		}
	}
}

// stop ends the server, waits for that, and frees the folder.
func (e *embedded) stop() {
	if e.server != nil {
		e.server.Shutdown()
		e.server.WaitForShutdown()
	}
	_ = e.lock.Unlock() // the process's end would do it too
}
