package postgres

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	notifyPause    = 10 * time.Millisecond // between two notifications: each takes a lock of the whole cluster at its commit
	listenPause    = time.Second           // before the listening connection is made again
	notifyPatience = 5 * time.Second
	listenFor      = 15 * time.Second // without a word, before the listening connection is asked whether it is there
)

// notifier tells other processes which topics changed, and listens for what they tell. It sends
// beside the transactions that changed something: a notification that is lost, with its process or
// its connection, is made good by whoever polls.
type notifier struct {
	db      *DB
	conf    *pgx.ConnConfig
	channel string
	self    string // in every payload, for what a process tells comes back to it

	mu     sync.Mutex
	topics map[string]string // to tell, with what to say
	wake   chan struct{}
	wg     sync.WaitGroup
}

// newNotifier returns one that listens already.
func newNotifier(ctx context.Context, db *DB, conf *pgx.ConnConfig, self string) (*notifier, error) {
	n := &notifier{db: db, conf: conf, channel: db.prefix + "changed", self: self, topics: map[string]string{}, wake: make(chan struct{}, 1)}
	conn, err := n.connect(ctx)
	if err != nil {
		return nil, err
	}
	n.wg.Add(2)
	go n.send()
	go n.listen(conn)
	return n, nil
}

// close waits for the end of the goroutines, which end with db.ctx.
func (n *notifier) close() { n.wg.Wait() }

// tell sends the topic, a little later, to the other processes. What is told of a topic meanwhile
// replaces it.
func (n *notifier) tell(topic, what string) {
	n.mu.Lock()
	n.topics[topic] = what
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

func (n *notifier) send() {
	defer n.wg.Done()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-n.db.ctx.Done():
			return
		case <-n.wake:
		}
		n.mu.Lock()
		topics := n.topics
		n.topics = map[string]string{}
		n.mu.Unlock()
		b := &pgx.Batch{}
		for topic, what := range topics {
			// It is not worth waiting for the disk.
			b.Queue("SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)", n.channel, n.self+" "+what+" "+topic)
		}
		ctx, cancel := context.WithTimeout(n.db.ctx, notifyPatience)
		if err := n.db.appends.SendBatch(ctx, b).Close(); err != nil && n.db.ctx.Err() == nil {
			n.db.logger.Debug("tell other processes of changes", "error", err)
		}
		cancel()
		pause.Reset(notifyPause)
		select {
		case <-n.db.ctx.Done():
			return
		case <-pause.C:
		}
	}
}

func (n *notifier) listen(conn *pgx.Conn) {
	defer n.wg.Done()
	for {
		err := n.follow(n.db.ctx, conn)
		for conn = nil; conn == nil; {
			if n.db.ctx.Err() != nil {
				return
			}
			n.db.logger.Warn("the connection that listens for changes is lost; polling goes on", "at", n.db.where, "error", err)
			select {
			case <-n.db.ctx.Done():
				return
			case <-time.After(listenPause):
			}
			conn, err = n.connect(n.db.ctx)
		}
		// Something may have been told while nobody listened.
		n.db.topics.announceAll()
	}
}

// connect returns a connection that listens.
func (n *notifier) connect(ctx context.Context) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, greetPatience)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, n.conf.Copy())
	if err != nil {
		return nil, err
	}
	if _, err := conn.Exec(ctx, "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3; SET idle_session_timeout = 0; LISTEN "+
		pgx.Identifier{n.channel}.Sanitize()); err != nil {
		n.hangUp(conn)
		return nil, err
	}
	return conn, nil
}

func (n *notifier) hangUp(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}

// next returns the next notification, or nil after a while without one, in which the server has
// said that it is there: who only listens would not notice that nobody speaks any more.
func (n *notifier) next(ctx context.Context, conn *pgx.Conn) (*pgconn.Notification, error) {
	waiting, cancel := context.WithTimeout(ctx, listenFor)
	defer cancel()
	got, err := conn.WaitForNotification(waiting)
	if err == nil || waiting.Err() == nil || ctx.Err() != nil || conn.IsClosed() {
		return got, err
	}
	ping, cancel := context.WithTimeout(ctx, pingPatience)
	defer cancel()
	return nil, conn.Ping(ping)
}

// follow listens until the connection is lost.
func (n *notifier) follow(ctx context.Context, conn *pgx.Conn) error {
	defer n.hangUp(conn)
	for {
		got, err := n.next(ctx, conn)
		if err != nil {
			return err
		}
		if got == nil {
			continue
		}
		self, rest, _ := strings.Cut(got.Payload, " ")
		what, topic, _ := strings.Cut(rest, " ")
		if self == n.self {
			continue
		}
		if topic != TopicLog {
			n.db.topics.announce(topic)
		} else if head, err := strconv.ParseInt(what, 10, 64); err == nil {
			n.db.topics.saw(head)
		}
	}
}
