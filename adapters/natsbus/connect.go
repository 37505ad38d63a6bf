package natsbus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/leat-dev/leat/domain"
)

// connect returns a connection that is up, and that is taken up again for ever when it is lost.
// lost is called when it is lost, with the reason, and changed when it is up again.
func connect(ctx context.Context, cfg Config, inside *embedded, logger *slog.Logger, lost func(error), changed func()) (*nats.Conn, error) {
	dialer := &noting{Dialer: net.Dialer{Timeout: connectTimeout(cfg)}}
	options, err := connectOptions(cfg, inside, logger, lost, changed)
	if err != nil {
		return nil, err
	}
	options = append(options, nats.SetCustomDialer(dialer))
	url := cfg.URL
	if inside != nil {
		url = "nats://embedded"
	}
	deadline := time.NewTimer(cfg.StartWait)
	defer deadline.Stop()
	for told := false; ; told = true {
		conn, err := nats.Connect(url, options...)
		if err == nil {
			return conn, nil
		}
		if last := dialer.why(); last != nil && errors.Is(err, nats.ErrNoServers) {
			err = fmt.Errorf("%w: %w", err, last)
		}
		if refused(err) {
			return nil, domain.Errorf(domain.Forbidden, "NATS_REFUSED",
				"the NATS server at %s refuses the log-in (nats.user, nats.password, nats.token, nats.creds_file): %w", address(url), err)
		}
		if broken(err) {
			return nil, domain.Errorf(domain.Invalid, "NATS_CONFIG", "connect to the NATS server at %s: %w", address(url), err)
		}
		if !told {
			logger.Warn("the NATS server does not answer yet", "url", address(url), "wait", cfg.StartWait, "error", err)
		}
		pause := time.NewTimer(min(cfg.ReconnectWait, 250*time.Millisecond))
		select {
		case <-pause.C:
			continue
		case <-ctx.Done():
			err = ctx.Err()
		case <-deadline.C:
		}
		pause.Stop()
		return nil, domain.Errorf(domain.Unavailable, "NATS_UNAVAILABLE", "the NATS server at %s does not answer: %w", address(url), err)
	}
}

// noting keeps the last reason why a server could not be reached: the client does not tell it.
type noting struct {
	net.Dialer
	mu   sync.Mutex
	last error
}

// Dial implements nats.CustomDialer.
func (n *noting) Dial(network, address string) (net.Conn, error) {
	conn, err := n.Dialer.Dial(network, address)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.last = err
	return conn, err
}

func (n *noting) why() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.last
}

func connectTimeout(cfg Config) time.Duration {
	return min(max(cfg.StartWait/5, 250*time.Millisecond), 2*time.Second)
}

// refused tells whether waiting is no use, because the server knows us not.
func refused(err error) bool {
	return errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) || errors.Is(err, nats.ErrAuthRevoked) ||
		errors.Is(err, nats.ErrAccountAuthExpired) || errors.Is(err, nats.ErrPermissionViolation)
}

// broken tells whether waiting is no use, because what we were given cannot work.
func broken(err error) bool {
	return errors.Is(err, nats.ErrSecureConnRequired) || errors.Is(err, nats.ErrSecureConnWanted) || certificateFault(err)
}

func connectOptions(cfg Config, inside *embedded, logger *slog.Logger, lost func(error), changed func()) ([]nats.Option, error) {
	where := "embedded"
	if inside == nil {
		where = address(cfg.URL)
	}
	options := []nats.Option{
		nats.Name("leat"),
		nats.Timeout(connectTimeout(cfg)),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(cfg.ReconnectWait),
		nats.IgnoreAuthErrorAbort(), // a password may come right again
		// What is published while the connection is down fails at once; the sequencer sends it again.
		nats.ReconnectBufSize(-1),
		nats.PingInterval(10 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil { // nil: closed by us
				lost(err)
				logger.Warn("the connection to NATS is down; events are kept in the log", "url", where, "error", err)
			}
		}),
		nats.ReconnectHandler(func(c *nats.Conn) {
			logger.Info("the connection to NATS is up again", "url", c.ConnectedUrlRedacted())
			changed()
		}),
		nats.ErrorHandler(func(_ *nats.Conn, s *nats.Subscription, err error) {
			subject := ""
			if s != nil {
				subject = s.Subject
			}
			logger.Warn("NATS reports an error", "subject", subject, "error", err)
		}),
	}
	switch {
	case cfg.Token != "":
		options = append(options, nats.Token(cfg.Token))
	case cfg.User != "":
		options = append(options, nats.UserInfo(cfg.User, cfg.Password))
	case cfg.CredsFile != "":
		options = append(options, nats.UserCredentials(cfg.CredsFile))
	}
	if inside != nil {
		return append(options, nats.InProcessServer(inside.server)), nil
	}
	if cfg.TLS.used() {
		secure, err := cfg.TLS.config()
		if err != nil {
			return nil, err
		}
		options = append(options, nats.Secure(secure))
	}
	return options, nil
}
