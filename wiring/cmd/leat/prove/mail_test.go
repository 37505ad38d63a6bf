//go:build prove

package prove_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/wiring/cmd/leat/leattest"
	"github.com/leat-dev/leat/wiring/cmd/leat/prove/ledger"
	"github.com/leat-dev/leat/wiring/cmd/leat/prove/oracle"
)

// mailCase is a mail that meets a server in a mood, or a process that dies on the way.
type mailCase struct {
	name   string
	moods  []mood
	point  string // where the process dies; empty: it does not
	copies int    // that must arrive, exactly
	failed bool   // that is its end
}

// mailCases are all of them. Only where the server has taken the mail and the process cannot have
// written that down may there be a second copy: and there must be one, as the promise is at least once.
func mailCases() []mailCase {
	var all []mailCase
	for _, verb := range verbs {
		for _, how := range []string{"slow", "hang", "drop", "421 going away", "451 not now", "554 never"} {
			c := mailCase{name: verb + " " + how, moods: []mood{{verb, how, 1}}, copies: 1}
			code := how[:1]
			switch {
			case verb == "RSET": // follows a refusal
				c.moods = append(c.moods, mood{"RCPT", "451 not now", 1})
			case verb == "taken" && (code == "4" || code == "5"):
				continue // a server that has the mail and says no is beyond help
			case verb == "taken" && how != "slow":
				c.copies = 2
			case code == "5" && slices.Contains([]string{"MAIL", "RCPT", "DATA", "content"}, verb):
				c.copies, c.failed = 0, true
			}
			all = append(all, c)
		}
		if verb != "RSET" && verb != "QUIT" && verb != "taken" {
			all = append(all, mailCase{name: verb + " never well", moods: []mood{{verb, "451 not now", 1000}}, failed: true})
		}
	}
	return all
}

// mailDeaths are the points around a mail's way out. Those after the server has the mail and before it
// is written down lead to a second copy.
func mailDeaths() []mailCase {
	var all []mailCase
	for point, copies := range map[string]int{
		"email.claimed": 1, "email.marked": 1, "smtpmail.before-mail": 1, "smtpmail.before-rcpt": 1, "smtpmail.before-data": 1,
		"smtpmail.in-data": 1, "smtpmail.content-sent": 1, "smtpmail.taken": 2, "email.sent": 2, "email.finished": 2, "email.recorded": 1,
	} {
		all = append(all, mailCase{name: "death at " + point, point: point, copies: copies})
	}
	slices.SortFunc(all, func(a, b mailCase) int { return strings.Compare(a.name, b.name) })
	return all
}

// TestMailVerbs gives each mail a server that answers badly, late or not at all at one verb, and lets
// processes die at each, and wants every mail to arrive as often as promised and to be told of rightly.
func TestMailVerbs(t *testing.T) {
	t.Parallel()
	for _, h := range []house{{"sql", "sqlite"}, {"sql", "postgres"}} {
		t.Run(h.String(), func(t *testing.T) {
			t.Parallel()
			m := beginMails(t, h)
			defer m.life.end()
			m.start("")
			for _, c := range mailCases() {
				m.meet(c)
			}
			m.life.current.Stop()
			for _, c := range mailDeaths() {
				m.die(c)
			}
			m.count()
		})
	}
}

// mails is a house whose mail server is moody.
type mails struct {
	life    *life
	server  *moodyServer
	env     []string
	journal *oracle.Journal
	n       int
	copies  int // second copies that the promise allows
}

func beginMails(t *testing.T, h house) *mails {
	t.Helper()
	l := begin(t, h, run.seed, false)
	// Steps of the conversation end before an attempt does, and an attempt long before its lease.
	m := &mails{life: l, server: startMoodyServer(t, l.dir)}
	l.settings = slices.Concat(l.settings, m.server.settings(), []string{
		"smtp.timeout=400ms", "smtp.idle=20ms", "email.timeout=800ms", "email.lease=3200ms", "email.senders=1", "email.poll=20ms",
		"email.initial=5ms", "email.max=10ms", "email.attempts=5",
	})
	m.env = []string{"SSL_CERT_FILE=" + m.server.cert, ledger.EffectsVariable + "=" + l.effects()}
	var err error
	m.journal, err = oracle.OpenJournal(l.dir, "mails")
	require.NoError(t, err)
	t.Cleanup(func() { _ = m.journal.Close() })
	return m
}

// start starts a process that dies at a point, if one is named.
func (m *mails) start(point string) *leattest.Process {
	env, settings := m.env, m.life.settings
	if point != "" {
		pass := 1
		if point == "email.claimed" {
			pass = 2 // the first time is at the start, with nothing to claim
		}
		env = append(slices.Clone(env), fmt.Sprintf("LEAT_TEST_FAULT=%s:%d", point, pass))
		settings = append(slices.Clone(settings), "email.poll=10m") // it looks when there is a mail
	}
	p := leattest.Program{Path: run.binary, Env: env, Quiet: true}.Launch(m.life.t, m.life.dir, settings...)
	require.True(m.life.t, p.Ready(), "the process ended before it was ready:\n%s", p.Output())
	m.life.processes = append(m.life.processes, p)
	m.life.current = p
	return p
}

// ask publishes an event that leads to a mail, and returns its address.
func (m *mails) ask(p *leattest.Process, name string) string {
	t := m.life.t
	m.n++
	id := fmt.Sprintf("mail-%d", m.n)
	to := id + "@example.com"
	intent := oracle.Intent{ID: id, Tenant: "dev", Type: ledger.Written{}.EventType(), Key: id, Email: to}
	require.NoError(t, m.journal.Intend(intent))
	p.Must("POST", "/v1/events", map[string]any{
		"eventType": intent.Type, "source": ledger.Source, "id": id, "subject": id, "data": ledger.Written{Key: id, Number: m.n, Email: to},
	}, nil)
	require.NoError(t, m.journal.Note(oracle.Accepted, id), name)
	return to
}

// meet sends one mail to a server in its moods.
func (m *mails) meet(c mailCase) {
	// Connections are kept for the next mail for a while; each case has its own.
	require.Eventually(m.life.t, m.server.alone, patience, time.Millisecond, c.name)
	m.server.set(c.moods...)
	to := m.ask(m.life.current, c.name)
	m.want(c, to)
	if c.moods[0].verb == "QUIT" { // it comes when the connection has been idle for a while
		require.Eventually(m.life.t, func() bool { return m.server.shown("QUIT") > 0 }, patience, 5*time.Millisecond, c.name)
	}
	require.Positive(m.life.t, m.server.shown(c.moods[0].verb), "%s: the server was not asked", c.name)
	m.server.set()
}

// die lets a process die with a mail in hand, and another one go on.
func (m *mails) die(c mailCase) {
	p := m.start(c.point)
	m.life.deaths++
	to := m.ask(p, c.name)
	select {
	case <-p.Ended():
	case <-time.After(patience):
		m.life.t.Fatalf("%s: the process lives", c.name)
	}
	require.True(m.life.t, died(p, c.point), "%s: it died elsewhere:\n%s", c.name, p.Output())
	p = m.start("")
	m.want(c, to)
	p.Stop()
}

// want waits for the outcome of a mail, and counts its copies.
func (m *mails) want(c mailCase, to string) {
	t := m.life.t
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		evidence, err := m.life.database.Look(t.Context())
		require.NoError(t, err)
		sent := slices.ContainsFunc(evidence.Log, func(l oracle.Logged) bool { return l.To == to })
		failed := slices.ContainsFunc(evidence.Queue, func(q oracle.Queued) bool { return q.To == to && q.Status == "failed" })
		if sent || failed {
			var ids []string
			for _, one := range m.server.received() {
				if one.To == to {
					ids = append(ids, one.MessageID)
				}
			}
			require.Equal(t, c.failed, failed, "%s: failed", c.name)
			require.Len(t, ids, c.copies, "%s: copies", c.name)
			require.LessOrEqual(t, len(slices.Compact(ids)), 1, "%s: Message-IDs", c.name)
			m.copies += max(0, c.copies-1)
			return
		}
		require.True(t, time.Now().Before(deadline), "%s: the mail has no outcome:\n%s", c.name, m.life.current.Output())
		time.Sleep(5 * time.Millisecond)
	}
}

// count asks the oracle about all of them.
func (m *mails) count() {
	l := m.life
	evidence, err := l.database.Look(l.t.Context())
	require.NoError(l.t, err)
	evidence.Mails = m.server.received()
	side, err := oracle.ReadSide(l.effects())
	require.NoError(l.t, err)
	evidence.Effects = append(evidence.Effects, side...)
	told, err := oracle.ReadJournals(l.dir)
	require.NoError(l.t, err)
	rules := l.rules
	rules.Copies = m.copies
	l.verdict = oracle.Check(told, evidence, rules)
	require.Empty(l.t, l.verdict.Findings)
	require.Equal(l.t, m.copies, l.verdict.Copies, "second copies")
	l.t.Logf("%s: %d mails, %d copies, of which %d were second ones", l.house, m.n, l.verdict.Mails, l.verdict.Copies)
	run.results.addFor("mail at each verb", l, oracle.Settled, oracle.Mailed)
}
