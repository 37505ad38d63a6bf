package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing/fstest"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/wneessen/go-mail"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/configs"
	"github.com/leat-dev/leat/handlers/email"
	"github.com/leat-dev/leat/handlers/notify"
	"github.com/leat-dev/leat/wiring"
)

func rowsP12() []Row {
	row := func(store, name string, guard float64) Row {
		note := "three transactions for each mail, one after the other, and four senders share a commit at best: committer 57 % of the CPU (statements 33 %, commits 21 %; claiming 18 %), sending itself 9 %"
		if store == "postgres" {
			note = "waiting for three transactions for each mail, each with its commit, four at once at best: the program is busy 37 % of one core, of which sending itself 8 %"
		}
		return Row{
			Note: note,

			ID: "P12", Variant: store,
			Work:    "a queue of mails on " + name + " → SMTP sink on loopback, 4 senders; each attempt and outcome recorded durably, the outcome's event published",
			Peer:    "go-mail dialling for every mail, 4 senders, the same text and sink, nothing recorded",
			AtLeast: 1.5, Guard: guard, N: 3_000, Ours: sendingQueue(store), Them: dialling(2),
		}
	}
	return []Row{row("sqlite", "SQLite", 0.12), row("postgres", "PostgreSQL", 0.03)}
}

const (
	mailSubject = "item-000001 was moved"
	mailText    = "Hello,\n\nitem-000001 was moved from warehouse-0123456789 to warehouse-9876543210.\n\nYours, the bench\n"
)

// mailTemplates make the text that the peer sends as it is.
func mailTemplates() fs.FS {
	return fstest.MapFS{
		"moved.subject.tmpl": {Data: []byte("{{.Data.key}} was moved")},
		"moved.txt.tmpl": {Data: []byte("Hello,\n\n{{.Data.key}} was moved from {{.Data.from}} to {{.Data.to}}.\n\n" +
			"Yours, the bench\n")},
	}
}

func mailAddress(i int) string { return fmt.Sprintf("somebody-%06d@example.com", i) }

// sink takes mails and remembers to whom they went.
type sink struct {
	listener net.Listener
	server   *smtp.Server
	served   chan error
	count    atomic.Int64

	mu   sync.Mutex
	seen map[string]int
}

func startSink() (*sink, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &sink{listener: l, served: make(chan error, 1), seen: map[string]int{}}
	s.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &sinkSession{sink: s}, nil }))
	s.server.Domain = "localhost"
	go func() { s.served <- s.server.Serve(l) }()
	return s, nil
}

func (s *sink) port() int { return s.listener.Addr().(*net.TCPAddr).Port }

func (s *sink) stop() {
	_ = s.server.Close()
	<-s.served
}

// check wants one mail for each of n people.
func (s *sink) check(n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.seen) != n || s.count.Load() != int64(n) {
		return fmt.Errorf("%d mails to %d people came, want %d", s.count.Load(), len(s.seen), n)
	}
	return nil
}

type sinkSession struct {
	sink *sink
	to   string
}

func (s *sinkSession) Reset()        {}
func (s *sinkSession) Logout() error { return nil }

func (s *sinkSession) Mail(string, *smtp.MailOptions) error { return nil }

func (s *sinkSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = to
	return nil
}

func (s *sinkSession) Data(r io.Reader) error {
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	s.sink.mu.Lock()
	s.sink.seen[s.to]++
	s.sink.mu.Unlock()
	s.sink.count.Add(1)
	return nil
}

// sendingQueue fills the queue while nobody sends, and takes the time from the start of a process
// that sends until the last outcome is committed.
func sendingQueue(store string) Side {
	return func(ctx context.Context, env *Env, n int) (f Figure, err error) {
		smtpSink, err := startSink()
		if err != nil {
			return Figure{}, err
		}
		defer smtpSink.stop()
		mailing := setup{
			store: store, bus: "sql", sets: []string{"notify"}, mails: true, keep: env.row,
			build: func(context.Context, wiring.Kit) (wiring.Parts, error) {
				return wiring.Parts{Templates: []fs.FS{mailTemplates()}}, nil
			},
			change: func(cfg *configs.Config) {
				cfg.SMTP.Host, cfg.SMTP.Port, cfg.SMTP.TLS = "127.0.0.1", smtpSink.port(), "none"
				cfg.SMTP.From = "bench@example.com"
			},
		}
		w, err := env.open(ctx, mailing)
		if err != nil {
			return Figure{}, err
		}
		// The database is kept for the process that sends.
		defer func() { err = firstOf(err, w.remove()) }()
		if err := w.requestMails(ctx, n); err != nil {
			return Figure{}, firstOf(err, w.stop())
		}
		if err := w.stop(); err != nil {
			return Figure{}, err
		}

		first := w.lastPosition
		mailing.url, mailing.sets, mailing.keep = w.cfg.Store.URL, nil, nil
		change := mailing.change
		mailing.change = func(cfg *configs.Config) {
			change(cfg)
			cfg.Roles = append(cfg.Roles, configs.RoleEmail)
		}
		m := env.begin()
		sending, err := env.open(ctx, mailing)
		if err != nil {
			return Figure{}, err
		}
		err = sending.outcomes(ctx, first, n)
		f = m.end(n)
		if err == nil {
			err = smtpSink.check(n)
		}
		return f, firstOf(err, sending.stop())
	}
}

// requestMails publishes notifications for n people, 100 in each, and waits until they are queued.
func (w *world) requestMails(ctx context.Context, n int) error {
	requests := 0
	for first := 0; first < n; first += 100 {
		var to []notify.Recipient
		for i := first; i < min(n, first+100); i++ {
			to = append(to, notify.Recipient{Address: mailAddress(i)})
		}
		if _, err := w.Publisher.Publish(w.ctx, event.Draft{Subject: keyName(first), Event: notify.Requested{
			Channel: notify.Email, Template: "moved", Recipients: to,
			Data: []byte(`{"key":"item-000001","from":"warehouse-0123456789","to":"warehouse-9876543210"}`),
		}}); err != nil {
			return err
		}
		requests++
	}
	if err := w.count.wait(ctx, requests); err != nil {
		return err
	}
	_, last, err := w.Store.Bounds(ctx)
	w.lastPosition = last
	return err
}

// outcomes waits until n events after the position tell of a mail that was sent.
func (w *world) outcomes(ctx context.Context, after int64, n int) error {
	for sent := 0; sent < n; {
		changed := w.Store.Appended()
		events, through, err := w.Store.Read(ctx, after, 0, 1000)
		if err != nil {
			return err
		}
		for _, e := range events {
			if e.Type != (email.Sent{}).EventType() {
				return fmt.Errorf("%s instead of a mail that was sent: %s", e.Type, e.Data)
			}
			sent++
		}
		if after = through; len(events) > 0 {
			continue
		}
		select {
		case <-changed:
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%d of %d outcomes: %w", sent, n, ctx.Err())
		}
	}
	return nil
}

// dialling is the peer. It does a share of the work.
func dialling(share int) Side {
	return func(ctx context.Context, env *Env, n int) (Figure, error) {
		n = max(4, n/share)
		smtpSink, err := startSink()
		if err != nil {
			return Figure{}, err
		}
		defer smtpSink.stop()
		clients := make([]*mail.Client, 4)
		for i := range clients {
			if clients[i], err = mail.NewClient("127.0.0.1", mail.WithPort(smtpSink.port()), mail.WithTLSPolicy(mail.NoTLS)); err != nil {
				return Figure{}, err
			}
		}
		m := env.begin()
		err = spreadOut(len(clients), n, func(worker, i int) error {
			msg := mail.NewMsg()
			if err := msg.From("bench@example.com"); err != nil {
				return err
			}
			if err := msg.To(mailAddress(i)); err != nil {
				return err
			}
			msg.Subject(mailSubject)
			msg.SetMessageIDWithValue(strconv.Itoa(i) + "@example.com")
			msg.SetBodyString(mail.TypeTextPlain, mailText)
			return clients[worker].DialAndSendWithContext(ctx, msg)
		})
		f := m.end(n)
		if err == nil {
			err = smtpSink.check(n)
		}
		return f, err
	}
}
