package bustest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/leat-dev/leat/app"
	"github.com/leat-dev/leat/app/bus"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/app/publish"
	"github.com/leat-dev/leat/app/router"
	"github.com/leat-dev/leat/app/sequence"
	"github.com/leat-dev/leat/app/settle"
)

// patience is how long, in real time, anything may take before the test fails.
const patience = time.Minute

// tenant owns the events of the tests.
const tenant = "t"

// made is the event that most tests publish: number N of its key.
type made struct {
	N int `json:"n"`
}

func (made) EventType() string { return "thing.made" }

// ignored is an event that no set subscribes to.
type ignored struct {
	N int `json:"n"`
}

func (ignored) EventType() string { return "other.ignored" }

// echoed is published by handlers. In OnTx it is the effect: a row in the same database.
type echoed struct {
	Of string `json:"of"`
}

func (echoed) EventType() string { return "thing.echoed" }

var definitions = event.Definitions{
	event.Define[made](event.Business), event.Define[ignored](event.Business), event.Define[echoed](event.Business),
}

// world is one test's data, which outlive any number of services run on it.
type world struct {
	*testing.T
	env       Env
	place     string // of the store
	dir       string
	ctx       context.Context
	clock     *clockwork.FakeClock
	log       *logBuffer
	logger    *slog.Logger
	catalogue *event.Catalogue
	cfg       router.Config
	bus       Kind
	wrapBus   func(b bus.Bus) bus.Bus
	wrapStore func(s Store) Store
	random    func() float64

	store     Store // as the service sees it
	inner     Store // as it is: what gives positions needs more of it than Store
	publisher *publish.Publisher

	running  atomic.Int64        // services that have begun and not ended
	accepted map[string]struct{} // ids of what was accepted and not yet seen in the log
	appended int                 // how many events went past the checks
	read     int64               // look knows the log through here
	last     [event.Slots]int64  // of each slot, the last event that sets subscribe to
}

func newWorld(t *testing.T, env Env) *world {
	t.Helper()
	catalogue, err := event.NewCatalogue(definitions)
	require.NoError(t, err)
	w := &world{
		T: t, env: env, dir: t.TempDir(), ctx: context.Background(),
		clock: clockwork.NewFakeClockAt(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)),
		log:   &logBuffer{}, catalogue: catalogue, bus: env.Bus, accepted: map[string]struct{}{}, random: func() float64 { return 0.5 },
		wrapBus: func(b bus.Bus) bus.Bus { return b }, wrapStore: func(s Store) Store { return s },
	}
	w.place = w.dir
	if env.Place != nil {
		w.place = env.Place(t)
	}
	w.logger = slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	t.Cleanup(func() {
		w.close()
		if t.Failed() {
			t.Logf("the log:\n%s", w.log)
		}
	})
	return w
}

// open opens the store when it is not.
func (w *world) open() {
	w.Helper()
	if w.store != nil {
		return
	}
	store, err := w.env.Open(w.ctx, w.place, w.clock, w.logger)
	require.NoError(w, err)
	w.store, w.inner = w.wrapStore(store), store
	w.publisher = publish.New(publish.Config{}, w.catalogue, w.store, w.clock, nil)
}

// close closes the store; what is in it stays.
func (w *world) close() {
	if w.store != nil {
		require.NoError(w, w.store.Close())
		w.store = nil
	}
}

// service is a process.
type service struct {
	w    *world
	stop context.CancelFunc
	app  *app.App
	done chan struct{}

	sequencer *sequence.Sequencer
	err       error
}

// begin starts a service without waiting for it.
func (w *world) begin(owner string, sets ...handler.Set) *service {
	w.Helper()
	w.open()
	bound := make([]*handler.Bound, len(sets))
	for i, set := range sets {
		b, err := set.Bind(w.catalogue)
		require.NoError(w, err)
		bound[i] = b
		if !set.RunsEverywhere() {
			require.NoError(w, w.store.Register(w.ctx, settle.Registration{Set: set.Name(), Types: b.Types(), FromStart: set.BeginsAtStart()}))
		}
	}
	b, err := w.bus.Make(Parts{T: w.T, Log: w.store, Clock: w.clock, Logger: w.logger, Dir: w.dir})
	require.NoError(w, err)
	b = w.wrapBus(b)
	cfg := w.cfg
	cfg.Settle.Owner = owner
	r, err := router.New(cfg, router.Parts{
		Bus: b, Log: w.store, Store: w.store, Clock: w.clock, Tracer: noop.NewTracerProvider().Tracer(""), Random: w.random, Logger: w.logger,
	}, bound)
	require.NoError(w, err)
	sequencer := sequence.New(sequence.Config{EveryProcess: !w.bus.Shared}, w.inner, b, w.clock, w.logger)
	parts := []app.Part{
		{Name: "sequencer", Run: sequencer.Run, Ready: sequencer.Ready()},
		{Name: "router", Run: r.Run, Ready: r.Running()},
	}
	s := &service{w: w, done: make(chan struct{}), sequencer: sequencer}
	s.app = app.New(func(context.Context) error { return nil }, parts, w.clock, w.logger)
	ctx, cancel := context.WithCancel(w.ctx)
	s.stop = cancel
	w.running.Add(1)
	go func() {
		defer close(s.done)
		defer w.running.Add(-1)
		s.err = s.app.Run(ctx)
		if err := b.Close(); err != nil && s.err == nil {
			s.err = err
		}
	}()
	w.Cleanup(func() { // before the store is closed
		cancel()
		w.closed(s.done, "the service")
	})
	return s
}

// start starts a service and waits until it is ready.
func (w *world) start(sets ...handler.Set) *service {
	w.Helper()
	s := w.begin("one", sets...)
	w.closed(s.app.Ready(), "readiness")
	return s
}

// halt stops the service and waits for its end.
func (s *service) halt() {
	s.w.Helper()
	s.stop()
	s.w.closed(s.done, "the end of the service")
	require.NoError(s.w, s.err)
}

// closed waits until a channel is.
func (w *world) closed(c <-chan struct{}, what string) {
	w.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		w.stuck("waiting for " + what)
	}
}

// until waits for a condition while time stands still.
func (w *world) until(what string, condition func() bool) {
	w.Helper()
	w.passing(0, what, condition)
}

// eventually waits for a condition while time passes.
func (w *world) eventually(what string, condition func() bool) {
	w.Helper()
	w.passing(50*time.Millisecond, what, condition)
}

func (w *world) passing(step time.Duration, what string, condition func() bool) {
	w.Helper()
	deadline := time.After(patience)
	for {
		before := time.Now()
		if condition() {
			return
		}
		select {
		case <-time.After(max(time.Millisecond, 2*time.Since(before))): // leave most of the machine to what is tested
			w.clock.Advance(step)
		case <-deadline:
			w.stuck("waiting until " + what)
		}
	}
}

func (w *world) stuck(doing string) {
	w.Helper()
	buf := make([]byte, 1<<20)
	w.Fatalf("%s took longer than %v; goroutines:\n%s", doing, patience, buf[:runtime.Stack(buf, true)])
}

// accept publishes from outside of handlers.
func (w *world) accept(drafts ...event.Draft) error {
	receipts, err := w.publisher.Publish(w.ctx, drafts...)
	for _, r := range receipts {
		w.accepted[r.EventID] = struct{}{}
	}
	return err
}

// publish accepts events of one key, one append each.
func (w *world) publish(key string, numbers ...int) {
	w.Helper()
	w.open()
	for _, n := range numbers {
		require.NoError(w, w.accept(event.Draft{Event: made{n}, Tenant: tenant, PartitionKey: key}))
	}
}

// publishMany accepts events in one append: number from..to of every key, in turn.
func (w *world) publishMany(keys, from, to int) {
	w.Helper()
	w.open()
	var drafts []event.Draft
	for n := from; n <= to; n++ {
		for k := range keys {
			drafts = append(drafts, event.Draft{Event: made{n}, Tenant: tenant, PartitionKey: key(k)})
		}
	}
	for batch := range slices.Chunk(drafts, 500) {
		require.NoError(w, w.accept(batch...))
	}
}

func key(k int) string { return fmt.Sprintf("key-%03d", k) }

// look reads what came to the log, and tells whether everything that was accepted is in it: a
// store may give positions only some time after it has accepted.
func (w *world) look() bool {
	w.Helper()
	for {
		events, through, err := w.store.Read(w.ctx, w.read, 0, 1000)
		require.NoError(w, err)
		for _, e := range events {
			delete(w.accepted, e.ID)
			if e.Type == (made{}).EventType() {
				w.last[e.Slot] = e.Position
			}
		}
		if w.read = through; len(events) < 1000 {
			return len(w.accepted) == 0
		}
	}
}

// positioned waits until everything that was accepted has its position, also where no service runs.
func (w *world) positioned() {
	w.Helper()
	w.open()
	if w.look() {
		return
	}
	if w.running.Load() == 0 {
		ctx, cancel := context.WithCancel(w.ctx)
		ended := make(chan error, 1)
		s := sequence.New(sequence.Config{}, w.inner, nowhere{}, w.clock, w.logger)
		go func() { ended <- s.Run(ctx) }()
		defer func() {
			w.closed(s.Ready(), "the sequencer")
			cancel()
			require.NoError(w, <-ended)
		}()
	}
	w.until("everything accepted has its position", w.look)
}

// nowhere is a bus for nobody.
type nowhere struct{}

func (nowhere) Publish(context.Context, []bus.Entry) error { return nil }

// mark waits until what handlers have published has its position: what is accepted after it has one.
func (w *world) mark() {
	w.Helper()
	w.append(event.Envelope{Type: "other.ignored", SchemaVersion: 1, PartitionKey: "mark", Data: []byte(`{"n":0}`)})
	w.positioned()
}

// head is the last position of the log.
func (w *world) head() int64 {
	w.Helper()
	w.positioned()
	_, last, err := w.store.Bounds(w.ctx)
	require.NoError(w, err)
	return last
}

func (w *world) status(set string) settle.Status {
	w.Helper()
	statuses, err := w.store.Statuses(w.ctx)
	require.NoError(w, err)
	require.Contains(w, statuses, set)
	return statuses[set]
}

func (w *world) parked(set string) []settle.Parked {
	w.Helper()
	slots := make([]int, event.Slots)
	for i := range slots {
		slots[i] = i
	}
	parked, err := w.store.Parked(w.ctx, set, slots)
	require.NoError(w, err)
	return parked
}

// settled tells whether nothing of a set is parked and its cursors have passed everything accepted that
// it subscribes to.
func (w *world) settled(set string) func() bool {
	return func() bool {
		w.Helper()
		if !w.look() {
			return false
		}
		status := w.status(set)
		if status.Parked > 0 || status.Redrive > 0 {
			return false
		}
		for slot, position := range w.last {
			if status.Cursors[slot] < position {
				return false
			}
		}
		return true
	}
}

// events returns everything of a type in the log.
func (w *world) events(typ string) []event.Envelope {
	w.Helper()
	var found []event.Envelope
	for after := int64(0); ; {
		events, through, err := w.store.Read(w.ctx, after, 0, 1000)
		require.NoError(w, err)
		for _, e := range events {
			if e.Type == typ {
				found = append(found, e)
			}
		}
		if after = through; len(events) < 1000 {
			return found
		}
	}
}

func (w *world) letters(set string) []letterOf {
	w.Helper()
	letters, _, err := w.store.DeadLetters(w.ctx, filter(set))
	require.NoError(w, err)
	out := make([]letterOf, len(letters))
	for i, l := range letters {
		out[i] = letterOf{key: l.Event.PartitionKey, n: number(l.Event), Letter: l}
	}
	slices.SortFunc(out, func(a, b letterOf) int { return int(a.Event.Position - b.Event.Position) })
	return out
}

// call is one call of a handler.
type call struct {
	key      string
	n        int
	position int64
	attempt  int
	redriven bool
	at       time.Time
}

// recorder notes the calls of a set's handler.
type recorder struct {
	w     *world
	mu    sync.Mutex
	calls []call
}

func (w *world) recorder() *recorder { return &recorder{w: w} }

// set returns a set that notes its calls and then does fn (nil: nothing), outside a transaction.
func (r *recorder) set(name string, fn func(ctx context.Context, c call) error, options ...handler.Option) handler.Set {
	return handler.NewSet(name, append([]handler.Option{handler.OnMatch(r.handle(fn), "thing.made")}, options...)...)
}

// setTx is set within the transaction.
func (r *recorder) setTx(name string, fn func(ctx context.Context, c call) error, options ...handler.Option) handler.Set {
	return handler.NewSet(name, append([]handler.Option{handler.OnMatchTx(r.handle(fn), "thing.made")}, options...)...)
}

func (r *recorder) handle(fn func(ctx context.Context, c call) error) func(context.Context, event.Envelope) error {
	return func(ctx context.Context, e event.Envelope) error {
		d := handler.DeliveryFrom(ctx)
		c := call{
			key: e.PartitionKey, n: number(e), position: e.Position, attempt: d.Attempt, redriven: d.Redriven, at: r.w.clock.Now(),
		}
		r.mu.Lock()
		r.calls = append(r.calls, c)
		r.mu.Unlock()
		if fn == nil {
			return nil
		}
		return fn(ctx, c)
	}
}

func number(e event.Envelope) int {
	var m made
	_ = json.Unmarshal(e.Data, &m)
	return m.N
}

func (r *recorder) all() []call {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.calls)
}

func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.calls)
}

// counted tells whether there were n calls.
func (r *recorder) counted(n int) func() bool { return func() bool { return r.count() >= n } }

// of returns the numbers with which the handler was called for a key.
func (r *recorder) of(key string) []int {
	var numbers []int
	for _, c := range r.all() {
		if c.key == key {
			numbers = append(numbers, c.n)
		}
	}
	return numbers
}

// everyOnce fails unless each of the events was handed to the handler once, in the order of its key.
func (r *recorder) everyOnce(keys, from, to int) {
	r.w.Helper()
	for k := range keys {
		require.Equal(r.w, numbers(from, to), r.of(key(k)), "calls for %s", key(k))
	}
	require.Equal(r.w, keys*(to-from+1), r.count(), "calls")
}

func numbers(from, to int) []int {
	var out []int
	for n := from; n <= to; n++ {
		out = append(out, n)
	}
	return out
}

// gate blocks handlers until it is opened.
type gate struct {
	entered chan call
	open    chan struct{}
	once    sync.Once
}

// gate returns one that is opened at the end of the test at the latest.
func (w *world) gate() *gate {
	g := &gate{entered: make(chan call, 1000), open: make(chan struct{})}
	w.Cleanup(g.release)
	return g
}

func (g *gate) release() { g.once.Do(func() { close(g.open) }) }

// pass waits until the gate opens or ctx ends, whose cause it then returns. Not for OnTx: the
// handler would keep the store's writer.
func (g *gate) pass(ctx context.Context, c call) error {
	select {
	case g.entered <- c:
	default: // the test has seen enough
	}
	select {
	case <-g.open:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// someone waits until a handler stands at the gate.
func (g *gate) someone(w *world) call {
	w.Helper()
	select {
	case c := <-g.entered:
		return c
	case <-time.After(patience):
		w.stuck("waiting for a handler")
		return call{}
	}
}

// logBuffer keeps what is logged, for a test that fails.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
