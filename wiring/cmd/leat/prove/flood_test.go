//go:build prove

package prove_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/wiring/cmd/leat/leattest"
	"github.com/leat-dev/leat/wiring/cmd/leat/prove/ledger"
	"github.com/leat-dev/leat/wiring/cmd/leat/prove/load"
	"github.com/leat-dev/leat/wiring/cmd/leat/prove/oracle"
)

// TestPoisonFlood publishes events of one tenant of which every second one fails for ever in one set,
// and wants all of these among the dead letters, the others handled, each key in its order, and the
// other sets and tenants as quick as in the same load without poison. It runs by itself, before the
// tests that share the machine.
func TestPoisonFlood(t *testing.T) { //nolint:paralleltest // it measures
	random := rand.New(rand.NewPCG(run.seed, 200))
	for _, h := range houses {
		seed := random.Uint64()
		t.Run(h.String(), func(t *testing.T) {
			t.Logf("%s: seed %d", h, seed)
			f := beginFlood(t, h, seed, sizeOf(h))
			defer f.life.end()
			f.all()
		})
	}
}

// floodSize is how much is published: events in the flood, over so many keys, at most so many in a
// second.
type floodSize struct{ events, keys, rate int }

// sizeOf returns what a house is given to do: less in a second than its set can give up, as what is
// promised is that others do not wait, not that there is always time for everything. PostgreSQL's server
// shares the processors.
func sizeOf(h house) floodSize {
	size := floodSize{events: 4000, keys: 200, rate: 500}
	if run.long {
		size = floodSize{events: run.flood, keys: 1000, rate: 500}
	}
	switch {
	case h.store == "postgres" && run.long:
		size.rate = 150
	case h.store == "postgres":
		size.events, size.rate = 3000, 250
	}
	return size
}

// In a flood one tenant publishes the poison, which one set chokes on; another tenant goes on as ever.
const (
	flooded   = "acme"
	bystander = "bolt"
	choking   = "ledger"
)

// The senders of the flood, and the other tenant's, which publish one event at a time.
const (
	floodSenders = 4
	floodBatch   = 20
	probeSenders = 8
	probePeriod  = 80 * time.Millisecond
)

// flood is one house with its clients.
type flood struct {
	life    *life
	size    floodSize
	http    *http.Client
	senders []*floodSender

	mu   sync.Mutex
	sent map[string]sending
}

// sending is when an event was sent, and in which phase.
type sending struct {
	phase string
	at    int64 // nanoseconds since 1970
}

// floodSender does one thing after the other.
type floodSender struct {
	name    string
	journal *oracle.Journal
	random  *rand.Rand
	count   int
}

func beginFlood(t *testing.T, h house, seed uint64, size floodSize) *flood {
	t.Helper()
	dir, err := os.MkdirTemp("", "leatflood")
	require.NoError(t, err)
	l := &life{t: t, house: h, seed: seed, dir: dir, crew: 1, endClient: func() {}}
	l.mail = leattest.StartMailServer(t, nil)
	l.surroundings = h.ordinary(t, dir, false)
	l.settings = slices.Concat(l.settings, l.mail.Settings(), quick, []string{"retry.initial=10ms"})
	l.database, err = oracle.Open(l.store)
	require.NoError(t, err)
	l.load, err = load.New(load.Config{Journals: dir}, func() string { return "" })
	require.NoError(t, err)
	l.rules = oracle.Rules{
		Sets: map[string][]string{"entry.written": {choking, "side", "audit"}},
		Once: []string{choking, "audit"}, Ordered: []string{choking, "side"}, Notify: "notify",
	}
	f := &flood{
		life: l, size: size, sent: map[string]sending{},
		http: &http.Client{Timeout: leattest.Patience, Transport: &http.Transport{MaxIdleConnsPerHost: floodSenders + probeSenders}},
	}
	for i := range floodSenders + probeSenders {
		name := fmt.Sprintf("s%d", i)
		journal, err := oracle.OpenJournal(dir, name)
		require.NoError(t, err)
		t.Cleanup(func() { _ = journal.Close() })
		f.senders = append(f.senders, &floodSender{name: name, journal: journal, random: rand.New(rand.NewPCG(seed, uint64(i)))})
	}
	return f
}

// floodRounds is how often a quiet load and a part of the flood take turns.
const floodRounds = 5

// all publishes the flood, with quiet loads in between, and counts.
func (f *flood) all() {
	t := f.life.t
	p := f.life.launch("", 0)
	require.True(t, p.Ready(), "the process ended:\n%s", p.Output())
	f.life.enter(p)
	began := time.Now()
	f.phase("warming up", min(f.size.events/10, 2000), false)
	var spent time.Duration
	for i := range floodRounds {
		f.phase(fmt.Sprintf("quiet %d", i), min(f.size.events/floodRounds/2, 5000), false)
		flooding := time.Now()
		f.phase(fmt.Sprintf("flood %d", i), f.size.events/floodRounds, true)
		spent += time.Since(flooding)
	}
	f.life.settleAndCheck()
	p.Stop()
	f.http.CloseIdleConnections()

	evidence, err := f.life.database.Look(t.Context())
	require.NoError(t, err)
	side, err := oracle.ReadSide(f.life.effects())
	require.NoError(t, err)
	told, err := oracle.ReadJournals(f.life.dir)
	require.NoError(t, err)
	lost := f.checkLetters(told, evidence)
	f.checkOrder(evidence)
	f.compare(append(evidence.Effects, side...))
	t.Logf("%s: %d events, %d of them poison, in %v (the flood %v)", f.life.house, f.life.verdict.Events, f.life.verdict.Letters,
		time.Since(began).Round(time.Millisecond), spent.Round(time.Millisecond))
	for range lost {
		f.life.verdict.Findings = append(f.life.verdict.Findings, oracle.Finding{Promise: oracle.OnesOwn, Class: oracle.Lost})
	}
	run.results.addFor("poison flood", f.life, oracle.Settled, oracle.Once, oracle.InOrder, oracle.OnesOwn)
}

// phase publishes so many events of the flooded tenant, half of them poison where that is wanted, and
// beside them the other tenant's, until every set has settled what there was.
func (f *flood) phase(name string, events int, poison bool) {
	ctx, cancel := context.WithCancel(f.life.t.Context())
	defer cancel()
	var flooding, probing sync.WaitGroup
	every := time.Duration(float64(floodBatch*floodSenders) / float64(f.size.rate) * float64(time.Second))
	start := time.Now()
	for i, s := range f.senders {
		if i >= floodSenders {
			n := i - floodSenders
			probing.Go(func() {
				for at := start.Add(time.Duration(n) * probePeriod / probeSenders); pauseUntil(ctx, at); at = at.Add(probePeriod) {
					f.probe(name, s, at)
				}
			})
			continue
		}
		flooding.Go(func() {
			at := start.Add(time.Duration(i) * every / floodSenders)
			for range events / floodBatch / floodSenders {
				if !pauseUntil(ctx, at) {
					return
				}
				f.batch(name, s, poison)
				at = at.Add(every)
			}
		})
	}
	flooding.Wait()
	f.settled(poison)
	cancel()
	probing.Wait()
	f.settled(false)
}

// pauseUntil returns false when ctx has ended.
func pauseUntil(ctx context.Context, at time.Time) bool {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// settled waits until the sets have nothing before them; while the others go on publishing, all but a
// little.
func (f *flood) settled(poison bool) {
	few := 0
	if poison {
		few = 10
	}
	deadline := time.Now().Add(floodPatience)
	for {
		var answer struct {
			Handlers []struct {
				Name            string
				Backlog, Parked int
			}
		}
		raw, err := f.send(http.MethodGet, "/v1/handlers", bystander, nil)
		require.NoError(f.life.t, err)
		require.NoError(f.life.t, json.Unmarshal(raw, &answer))
		left := 0
		for _, h := range answer.Handlers {
			left += h.Backlog + h.Parked
		}
		if left <= few {
			return
		}
		require.False(f.life.t, time.Now().After(deadline), "after %v there is still to do: %s", floodPatience, raw)
		time.Sleep(100 * time.Millisecond)
	}
}

// floodPatience is how long a flood may take to be settled when everything is published: no longer
// than a person would wait.
const floodPatience = 5 * time.Minute

func (f *flood) entry(s *floodSender, tenant, key string, poison bool) (oracle.Intent, ledger.Written) {
	s.count++
	intent := oracle.Intent{
		ID: fmt.Sprintf("%s-%d", s.name, s.count), Tenant: tenant, Type: ledger.Written{}.EventType(), Key: key, Poison: poison,
	}
	w := ledger.Written{Key: key, Number: s.count}
	if poison {
		w.Fails, w.FailsIn = ledger.Poison, choking
	}
	return intent, w
}

// batch publishes some events of the flooded tenant in one call.
func (f *flood) batch(phase string, s *floodSender, poison bool) {
	var body ledger.Batch
	var intents []oracle.Intent
	for i := range floodBatch {
		intent, w := f.entry(s, flooded, fmt.Sprintf("k%d", s.random.IntN(f.size.keys)), poison && i%2 == 0)
		intent.Batch = fmt.Sprintf("%s batch %d", s.name, s.count/floodBatch)
		intents = append(intents, intent)
		body.Entries = append(body.Entries, ledger.Entry{ID: intent.ID, Written: w})
	}
	f.publish(phase, s, "/v1/ledger/entries", body, time.Now(), intents...)
}

// probe publishes one event of the other tenant, which was due at a time.
func (f *flood) probe(phase string, s *floodSender, due time.Time) {
	intent, w := f.entry(s, bystander, fmt.Sprintf("p%d", s.random.IntN(64)), false)
	f.publish(phase, s, "/v1/events", map[string]any{
		"eventType": intent.Type, "source": ledger.Source, "id": intent.ID, "subject": intent.Key, "data": w,
	}, due, intent)
}

func (f *flood) publish(phase string, s *floodSender, path string, body any, at time.Time, intents ...oracle.Intent) {
	ids := make([]string, len(intents))
	f.mu.Lock()
	for i, intent := range intents {
		ids[i] = intent.ID
		f.sent[intent.ID] = sending{phase, at.UnixNano()}
	}
	f.mu.Unlock()
	err := s.journal.Intend(intents...)
	if err == nil {
		_, err = f.send(http.MethodPost, path, intents[0].Tenant, body)
	}
	if err == nil {
		err = s.journal.Note(oracle.Accepted, ids...)
	}
	if err != nil {
		f.life.t.Errorf("publish: %v", err)
	}
}

func (f *flood) send(method, path, tenant string, body any) ([]byte, error) {
	var payload io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		payload = bytes.NewReader(raw)
	}
	req, err := http.NewRequest(method, "http://"+f.life.current.API+path, payload)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Leat-Tenant", tenant)
	req.Header.Set("Content-Type", "application/json")
	resp, err := f.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s %s", method, path, resp.Status, raw)
	}
	return raw, err
}

// checkLetters wants the poison, and nothing else, among the dead letters of the set that it is poison
// to, and returns how many events of others are not where they belong. (That each event is handled or a
// dead letter, and once, is what the oracle has looked at.)
func (f *flood) checkLetters(told map[string]*oracle.Told, evidence *oracle.Evidence) (lost int) {
	t := f.life.t
	letters := map[string]int{}
	for _, l := range evidence.Letters {
		letters[l.EventID]++
		if l.Set != choking || l.Tenant != flooded {
			lost++
			t.Errorf("%s of %s is a dead letter of %s", l.EventID, l.Tenant, l.Set)
		}
	}
	for id, intent := range told {
		want := 0
		if intent.Poison {
			want = 1
		}
		if letters[id] != want {
			t.Errorf("%s (poison: %v) is among the dead letters %d times", id, intent.Poison, letters[id])
		}
	}
	return lost
}

// checkOrder wants that what follows an event of its key was handled, or given up, later than it.
func (f *flood) checkOrder(evidence *oracle.Evidence) {
	type done struct{ position, at int64 }
	byKey := map[string][]done{}
	keys := map[string]string{}
	for _, l := range evidence.Log {
		keys[l.ID] = l.Tenant + " " + l.Key
	}
	for _, e := range evidence.Effects {
		if e.Set == choking {
			byKey[keys[e.EventID]] = append(byKey[keys[e.EventID]], done{e.Position, e.At / 1000})
		}
	}
	for _, l := range evidence.Letters {
		byKey[keys[l.EventID]] = append(byKey[keys[l.EventID]], done{l.Position, l.At / 1000})
	}
	for key, all := range byKey {
		slices.SortFunc(all, func(a, b done) int { return int(a.position - b.position) })
		for i := 1; i < len(all); i++ {
			if all[i].at < all[i-1].at {
				f.life.t.Errorf("key %s: %d was done %d µs before %d", key, all[i].position, all[i-1].at-all[i].at, all[i-1].position)
			}
		}
	}
}

// What a flood may cost those that it is nothing to. Twice the quiet time is the promise; where that is
// next to nothing, two processors that have the dead letters to write as well show as a few milliseconds.
// A short run has few probes, on a machine that may have much else to do, and looks for who waits for
// what fails: that is seconds, as pauses and attempts add up.
const (
	floodFactor     = 2
	floodSlack      = 20 * time.Millisecond
	shortFloodSlack = 500 * time.Millisecond
)

// compare wants those that the poison is nothing to to be as quick as without it.
func (f *flood) compare(effects []oracle.Effect) {
	slack := shortFloodSlack
	if run.long {
		slack = floodSlack
	}
	took := map[[3]string][]time.Duration{}
	for _, e := range effects {
		if s, ok := f.sent[e.EventID]; ok && e.At > 0 && (e.Set != choking || e.Tenant != flooded) {
			at := [3]string{e.Tenant, e.Set, s.phase}
			took[at] = append(took[at], time.Duration(e.At-s.at))
		}
	}
	for _, who := range [][2]string{{bystander, "side"}, {bystander, choking}, {flooded, "side"}} {
		p99 := func(phase string) time.Duration {
			all := took[[3]string{who[0], who[1], phase}]
			require.NotEmpty(f.life.t, all)
			slices.Sort(all)
			return all[len(all)*99/100]
		}
		// What else the machine does comes and goes, so the median of the rounds counts.
		var rounds [][2]time.Duration
		for i := range floodRounds {
			rounds = append(rounds, [2]time.Duration{p99(fmt.Sprintf("quiet %d", i)), p99(fmt.Sprintf("flood %d", i))})
		}
		slices.SortFunc(rounds, func(a, b [2]time.Duration) int { return cmp.Compare(a[1]-floodFactor*a[0], b[1]-floodFactor*b[0]) })
		quiet, loud := rounds[floodRounds/2][0], rounds[floodRounds/2][1]
		text := fmt.Sprintf("poison flood, %s: tenant %s, set %s: p99 %v, without poison %v", f.life.house, who[0], who[1],
			loud.Round(100*time.Microsecond), quiet.Round(100*time.Microsecond))
		f.life.t.Log(text)
		run.results.say(text)
		if !run.long && who[1] == choking {
			continue // how much the set itself can do depends on the disk; in a short run it must finish
		}
		if loud > max(floodFactor*quiet, quiet+slack) {
			f.life.t.Errorf("%s: the poison is another's", strings.TrimPrefix(text, "poison flood, "))
		}
	}
}
