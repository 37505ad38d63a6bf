package postgres

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/app/fault"
	"github.com/leat-dev/leat/domain"
)

const (
	appendWorkers = 3   // how many commits of shared appends are under way at once
	appendBatch   = 512 // how many events share a commit, more or less
	// A statement costs the server as much as dozens of rows, so one worker with large groups is better than
	// several with small ones. Another helps when so many callers wait, or the commit takes so long.
	helpCallers = 128
	helpAfter   = 10 * time.Millisecond
	// With so many callers in the commit before, and fewer now, the others are likely to come: they have just
	// been told. They are waited for as long as some come.
	companyMin = 8
	companyFor = 300 * time.Microsecond
	// appendPatience is how long callers who share a commit wait for somebody else's transaction
	// that holds the id of one of them. Then each goes on alone.
	appendPatience = 200 * time.Millisecond
	aloneWait      = 30 * time.Second
)

// Append implements eventlog.Appender. Recorded is the clock's time, cut to microseconds. The
// position comes some milliseconds after the commit. When ctx ends while an append that shares a
// commit is under way, the events may be in the log all the same.
//
// Inside a transaction a failed Append leaves the transaction aborted, unless it ran in a nested one.
func (db *DB) Append(ctx context.Context, events []event.Envelope) ([]eventlog.Receipt, error) {
	if len(events) == 0 {
		return nil, nil
	}
	t, err := db.txOf(ctx)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, doing("append to the log", err)
	}
	call := &appendCall{events: events, now: db.now(), done: make(chan struct{})}
	if t == nil {
		return db.appender.append(ctx, call)
	}
	added, err := db.insert(t.ctx(ctx), t.conn, call)
	fault.Point("postgres.inserted")
	if err != nil {
		return nil, doing("append to the log", err)
	}
	if added {
		t.touch(topicUnsequenced)
	}
	return call.receipts, nil
}

// appendCall is one caller's events on their way.
type appendCall struct {
	events   []event.Envelope
	now      int64
	receipts []eventlog.Receipt
	err      error
	done     chan struct{}
}

// appender lets concurrent callers share commits: what comes while its workers are busy waits and goes
// together. Workers are there only while there is work.
type appender struct {
	db      *DB
	mu      sync.Mutex
	pending []*appendCall
	before  int // how many callers shared the last commit
	company int // so many callers are worth telling a worker that waits; 0 when none does
	enough  chan struct{}
	workers int
	closed  bool
	wg      sync.WaitGroup
}

func newAppender(db *DB) *appender { return &appender{db: db, enough: make(chan struct{}, 1)} }

func (a *appender) append(ctx context.Context, call *appendCall) ([]eventlog.Receipt, error) {
	a.mu.Lock()
	if a.closed {
		a.mu.Unlock()
		return nil, ErrClosed
	}
	a.pending = append(a.pending, call)
	switch {
	case a.workers == 0, len(a.pending) >= helpCallers:
		a.start()
	case a.company > 0 && len(a.pending) >= a.company:
		a.company = 0
		a.enough <- struct{}{}
	}
	a.mu.Unlock()
	select {
	case <-call.done:
		return call.receipts, doing("append to the log", call.err)
	case <-ctx.Done():
		return nil, doing("append to the log", ctx.Err())
	}
}

// start begins one more worker, when there may be one. The caller holds mu.
func (a *appender) start() {
	if a.workers < appendWorkers {
		a.workers++
		a.wg.Add(1)
		go a.work()
	}
}

// help begins one more worker for those who wait behind a commit that takes long.
func (a *appender) help() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.pending) > 0 {
		a.start()
	}
}

func (a *appender) work() {
	defer a.wg.Done()
	for {
		a.gather()
		calls := a.take()
		if len(calls) == 0 {
			return
		}
		late := time.AfterFunc(helpAfter, a.help) // of the machine, as all here
		a.flush(calls)
		late.Stop()
	}
}

// gather waits a little for those who shared the commit before, where those were many.
func (a *appender) gather() {
	a.mu.Lock()
	want := min(a.before, appendBatch)
	if a.workers > 1 || want < companyMin || len(a.pending) >= want {
		a.mu.Unlock()
		return
	}
	a.company = want
	a.mu.Unlock()
	timer := time.NewTimer(companyFor)
	defer timer.Stop()
	for seen := 0; ; timer.Reset(companyFor) {
		select {
		case <-a.enough:
			return
		case <-timer.C:
		}
		if more := a.more(seen); more > seen {
			seen = more
		} else {
			return
		}
	}
}

// more returns how many callers wait, and ends the wait for company when they are no more than before, or
// enough.
func (a *appender) more(before int) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch n := len(a.pending); {
	case a.company == 0: // just now
		<-a.enough
	case n <= before:
		a.company = 0
	default:
		return n
	}
	return before
}

// take returns the calls that go next, none when the worker may end.
func (a *appender) take() []*appendCall {
	a.mu.Lock()
	defer a.mu.Unlock()
	n, events := 0, 0
	for n < len(a.pending) && events < appendBatch {
		events += len(a.pending[n].events)
		n++
	}
	calls := a.pending[:n:n]
	if a.pending = a.pending[n:]; len(a.pending) == 0 {
		a.pending = nil
	}
	a.before = n
	if n == 0 {
		a.workers--
	}
	return calls
}

func (a *appender) close() {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.wg.Wait()
}

// flush commits the calls together. When the server refuses that, each goes alone: one that is at
// fault, or waits for somebody else's transaction, takes nobody along.
func (a *appender) flush(calls []*appendCall) {
	ctx, cancel := context.WithTimeout(context.Background(), aloneWait)
	defer cancel()
	fault.Point("postgres.appending")
	added, err := a.db.insert(ctx, a.db.appends, calls...)
	fault.Point("postgres.appended")
	if err != nil && sqlState(err) != "" && (len(calls) > 1 || passing(err)) {
		for _, call := range calls {
			a.wg.Add(1)
			go func() {
				defer a.wg.Done()
				a.alone(call)
			}()
		}
		return
	}
	err = outcomeOf(err)
	a.finish(added, err, calls...)
}

func (a *appender) alone(call *appendCall) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*aloneWait)
	defer cancel()
	added, err := a.db.insert(ctx, a.db.pool, call)
	for tries := 0; tries < 3 && sqlState(err) == deadlockDetected; tries++ {
		added, err = a.db.insert(ctx, a.db.pool, call)
	}
	err = outcomeOf(err)
	a.finish(added, err, call)
}

// outcomeOf tells a connection that was lost on the way from one that was never there.
func outcomeOf(err error) error {
	var connect *pgconn.ConnectError
	if err == nil || sqlState(err) != "" || !isConnection(err) || errors.As(err, &connect) || pgconn.SafeToRetry(err) {
		return err
	}
	return outcomeUnknown(err)
}

func (a *appender) finish(added bool, err error, calls ...*appendCall) {
	if added {
		a.db.topics.announce(topicUnsequenced, TopicCommit)
	}
	for _, call := range calls {
		call.err = err
		close(call.done)
	}
}

type identity struct{ id, source, tenant string }

func identityOf(e *event.Envelope) identity { return identity{e.ID, e.Source, e.Tenant} }

// insert puts the events of the calls into the log in one statement, and makes the receipts. added
// tells whether any was new.
func (db *DB) insert(ctx context.Context, q statements, calls ...*appendCall) (added bool, err error) {
	type place struct{ call, event int }
	var todo []place
	for c, call := range calls {
		call.receipts = make([]eventlog.Receipt, len(call.events))
		for i := range call.events {
			todo = append(todo, place{c, i})
		}
	}
	// More than one round is needed only when an event that was there is pruned meanwhile.
	for round := 0; len(todo) > 0; round++ {
		if round == 3 {
			return added, domain.Errorf(domain.Unavailable, "STORE_UNAVAILABLE", "events of the log come and go")
		}
		r := rowsFor(len(todo))
		for _, p := range todo {
			r.add(&calls[p.call].events[p.event], calls[p.call].now)
		}
		n, fresh, err := r.insert(ctx, q, db.q.appendEvents)
		if err != nil {
			return added, err
		}
		added = added || n > 0
		var known map[identity]int64
		if n < len(todo) {
			if known, err = r.recordedBefore(ctx, q, db.q.firstRecorded); err != nil {
				return added, err
			}
		}
		var again []place
		for _, p := range todo {
			call := calls[p.call]
			e := &call.events[p.event]
			key := identityOf(e)
			receipt := eventlog.Receipt{EventID: e.ID, Receipt: receipt(e.Tenant, e.Source, e.ID)}
			if _, isNew := fresh[key]; isNew || n == len(todo) {
				delete(fresh, key) // the first of the same in one statement is the new one
				receipt.Recorded = fromMicros(call.now)
			} else if recorded, there := known[key]; there {
				receipt.Recorded, receipt.Duplicate = fromMicros(recorded), true
			} else {
				again = append(again, p)
				continue
			}
			call.receipts[p.event] = receipt
		}
		todo = again
	}
	return added, nil
}

// rows holds events column by column, as unnest takes them.
type rows struct {
	slot                                                    []int16
	id, source, tenant, typ, kind, severity, subject, actor []string
	partitionKey, correlationID, causationID, traceParent   []string
	schemaVersion, depth                                    []int32
	time, recorded                                          []int64
	data                                                    [][]byte
}

func rowsFor(n int) *rows {
	texts := make([]string, 12*n)
	column := func() []string {
		c := texts[0:0:n]
		texts = texts[n:]
		return c
	}
	return &rows{
		slot: make([]int16, 0, n),
		id:   column(), source: column(), tenant: column(), typ: column(), kind: column(), severity: column(), subject: column(), actor: column(),
		partitionKey: column(), correlationID: column(), causationID: column(), traceParent: column(),
		schemaVersion: make([]int32, 0, n), depth: make([]int32, 0, n), time: make([]int64, 0, n), recorded: make([]int64, 0, n), data: make([][]byte, 0, n),
	}
}

func (r *rows) add(e *event.Envelope, now int64) {
	data := e.Data
	if data == nil {
		data = []byte{}
	}
	r.slot = append(r.slot, int16(event.SlotOf(e.Tenant, e.PartitionKey)))
	r.id, r.source, r.tenant = append(r.id, e.ID), append(r.source, e.Source), append(r.tenant, e.Tenant)
	r.typ, r.kind, r.severity = append(r.typ, e.Type), append(r.kind, string(e.Kind)), append(r.severity, string(e.Severity))
	r.subject, r.actor = append(r.subject, e.Subject), append(r.actor, e.Actor)
	r.partitionKey, r.correlationID = append(r.partitionKey, e.PartitionKey), append(r.correlationID, e.CorrelationID)
	r.causationID, r.traceParent = append(r.causationID, e.CausationID), append(r.traceParent, e.TraceParent)
	r.schemaVersion, r.depth = append(r.schemaVersion, int32(e.SchemaVersion)), append(r.depth, int32(e.Depth))
	r.time, r.recorded, r.data = append(r.time, micros(e.Time)), append(r.recorded, now), append(r.data, data)
}

// insert returns how many events were new, and which when not all were.
func (r *rows) insert(ctx context.Context, q statements, query string) (n int, fresh map[identity]struct{}, err error) {
	got, err := q.Query(ctx, query, r.slot, r.id, r.source, r.tenant, r.typ, r.schemaVersion, r.kind, r.severity, r.subject, r.actor, r.time,
		r.partitionKey, r.correlationID, r.causationID, r.depth, r.traceParent, r.recorded, r.data)
	if err != nil {
		return 0, nil, err
	}
	var id, source, tenant *string
	_, err = pgx.ForEachRow(got, []any{&n, &id, &source, &tenant}, func() error {
		if id == nil {
			return nil
		}
		if fresh == nil {
			fresh = make(map[identity]struct{}, n)
		}
		fresh[identity{*id, *source, *tenant}] = struct{}{}
		return nil
	})
	return n, fresh, err
}

// recordedBefore returns when the log first accepted those of the events that it holds.
func (r *rows) recordedBefore(ctx context.Context, q statements, query string) (map[identity]int64, error) {
	got, err := q.Query(ctx, query, r.id, r.source, r.tenant)
	if err != nil {
		return nil, err
	}
	known := make(map[identity]int64, len(r.id))
	var key identity
	var recorded int64
	_, err = pgx.ForEachRow(got, []any{&key.id, &key.source, &key.tenant, &recorded}, func() error {
		known[key] = recorded
		return nil
	})
	return known, err
}
