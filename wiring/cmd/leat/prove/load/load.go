package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leat-dev/leat/wiring/cmd/leat/prove/oracle"
)

// Config says what the clients do. The zero value of a share is none.
type Config struct {
	Seed     uint64
	Clients  int
	Tenants  []string // at least one
	Keys     int      // of each tenant; all clients use all of them
	Journals string   // the folder of the journals

	Batches  float64 // the share of calls that are batches
	Commands float64 // that are commands to the reference service
	Mails    float64 // of the entries, those that lead to a mail
	Fails    float64 // that fail at first, and some that do so until they are dead letters
	Flags    float64 // the share of calls that publish what live clients see at once
	GiveUp   float64 // of the unanswered calls, those that are not made again

	Stranger *Stranger // may be nil
	Strange  float64   // the share of calls that are its messages

	Patience time.Duration // how long a call may take; default 10s
}

// Load is the clients.
type Load struct {
	cfg     Config
	target  func() string
	http    *http.Client
	clients []*client
	budget  atomic.Int64
	taken   atomic.Int64
	answers answers
}

// New returns clients of the program at the address that target returns; "" while there is none.
func New(cfg Config, target func() string) (*Load, error) {
	if cfg.Patience == 0 {
		cfg.Patience = 10 * time.Second
	}
	l := &Load{cfg: cfg, target: target, http: &http.Client{
		Timeout:   cfg.Patience,
		Transport: &http.Transport{MaxIdleConnsPerHost: cfg.Clients},
	}}
	for n := range cfg.Clients {
		name := fmt.Sprintf("c%d", n)
		journal, err := oracle.OpenJournal(cfg.Journals, name)
		if err != nil {
			return nil, errors.Join(err, l.Close())
		}
		l.clients = append(l.clients, &client{
			load: l, name: name, journal: journal, random: rand.New(rand.NewPCG(cfg.Seed, uint64(n))),
		})
	}
	return l, nil
}

// Run lets the clients make so many calls more, those that are repeated counted once, and returns when
// they have, or when ctx has ended. What had no answer then may be asked for again by the next Run.
// The error is that of a journal.
func (l *Load) Run(ctx context.Context, calls int) error {
	l.budget.Store(int64(calls))
	errs := make(chan error, len(l.clients))
	var wg sync.WaitGroup
	for _, c := range l.clients {
		wg.Go(func() { errs <- c.run(ctx) })
	}
	wg.Wait()
	close(errs)
	var all error
	for err := range errs {
		all = errors.Join(all, err)
	}
	return all
}

// Taken is how many calls were accepted.
func (l *Load) Taken() int { return int(l.taken.Load()) }

// Close closes the journals.
func (l *Load) Close() error {
	var all error
	for _, c := range l.clients {
		all = errors.Join(all, c.journal.Close())
	}
	l.http.CloseIdleConnections()
	return all
}

// pause is how long a client waits when nobody answers.
const pause = 3 * time.Millisecond

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
