package devinbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/jonboulle/clockwork"
)

// MaxSize is the size of the largest mail that is taken, in bytes.
const MaxSize = 10 << 20

// Inbox takes mails and keeps them. It is safe for concurrent use.
type Inbox struct {
	cfg   Config
	clock clockwork.Clock
	log   *slog.Logger
	box   *mailbox

	mu       sync.Mutex
	listener *connections // nil until Listen
}

// New returns an inbox that Run starts. The error joins every fault of the configuration.
func New(cfg Config, clock clockwork.Clock, logger *slog.Logger) (*Inbox, error) {
	if err := errors.Join(cfg.Validate()...); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	return &Inbox{cfg: cfg, clock: clock, log: logger, box: newMailbox(cfg.Keep)}, nil
}

// Listen takes the address, so that Addr is known and connections wait for Run. Run does it when
// nobody has. A second call changes nothing.
func (i *Inbox) Listen() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.listener != nil {
		return nil
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", i.cfg.Listen)
	if err != nil {
		return fmt.Errorf("inbox.listen: %w", err)
	}
	if tcp, ok := l.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() { // "localhost" may be anything
		return errors.Join(fmt.Errorf("inbox.listen: %q is the address %s, which can be reached from elsewhere", i.cfg.Listen, l.Addr()), l.Close())
	}
	i.listener = &connections{Listener: l, open: map[*tracked]struct{}{}}
	return nil
}

// Addr returns host and port where the inbox listens, "" before Listen.
func (i *Inbox) Addr() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.listener == nil {
		return ""
	}
	return i.listener.Addr().String()
}

// Run takes mails until ctx ends, and returns when no connection is left; senders in the middle of
// a mail are cut off and have to send it again. It may be called once.
func (i *Inbox) Run(ctx context.Context) error {
	if err := i.Listen(); err != nil {
		return err
	}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &session{inbox: i}, nil
	}))
	server.Domain = "localhost"
	server.MaxMessageBytes = MaxSize
	server.MaxRecipients = 1000
	server.ReadTimeout = 5 * time.Minute
	server.WriteTimeout = 30 * time.Second
	server.EnableSMTPUTF8 = true
	server.ErrorLog = errorLog{i.log}

	served := make(chan error, 1)
	go func() { served <- server.Serve(i.listener) }()
	var err error
	select {
	case err = <-served: // something has happened to the listener
		i.listener.cut()
	case <-ctx.Done():
		i.listener.cut()
		if e := <-served; !errors.Is(e, net.ErrClosed) {
			err = e
		}
	}
	_ = server.Shutdown(context.WithoutCancel(ctx)) // waits for what served the connections; the listener is closed already
	if err != nil {
		return fmt.Errorf("inbox %s: %w", i.Addr(), err)
	}
	return nil
}

// connections is a listener that knows its open connections.
type connections struct {
	net.Listener
	mu   sync.Mutex
	open map[*tracked]struct{}
	over bool
}

// Accept implements net.Listener.
func (c *connections) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	t := &tracked{Conn: conn, of: c}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		_ = conn.Close()
	}
	c.open[t] = struct{}{}
	return t, nil
}

// cut closes the listener and its connections.
func (c *connections) cut() {
	_ = c.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	for conn := range c.open {
		_ = conn.Conn.Close()
	}
}

type tracked struct {
	net.Conn
	of *connections
}

// Close implements net.Conn.
func (t *tracked) Close() error {
	t.of.mu.Lock()
	delete(t.of.open, t)
	t.of.mu.Unlock()
	return t.Conn.Close()
}

// errorLog takes what go-smtp has to say; senders that break off are nothing to worry about.
type errorLog struct{ log *slog.Logger }

// Printf implements smtp.Logger.
func (l errorLog) Printf(format string, v ...any) { l.log.Debug("inbox: " + fmt.Sprintf(format, v...)) }

// Println implements smtp.Logger.
func (l errorLog) Println(v ...any) { l.log.Debug("inbox: " + fmt.Sprint(v...)) }

// Close lets go of the address when Run has not taken it over, as when a start fails half-way.
func (i *Inbox) Close() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.listener == nil {
		return nil
	}
	if err := i.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("inbox.listen: %w", err)
	}
	return nil
}
