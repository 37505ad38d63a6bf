package oracle_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/wiring/cmd/leat/prove/oracle"
)

// world is what a test plants a fault in. At first everything is as promised: three entries, the
// second of them with a mail, and a project.
type world struct {
	told     map[string]*oracle.Told
	evidence *oracle.Evidence
	rules    oracle.Rules
}

func wellDone() *world {
	w := &world{told: map[string]*oracle.Told{}, evidence: &oracle.Evidence{}, rules: oracle.Rules{
		Sets: map[string][]string{"entry.written": {"ledger", "side"}, "project.created": {"audit"}},
		Once: []string{"ledger", "audit"}, Ordered: []string{"ledger", "side"}, Notify: "notify",
	}}
	for i := int64(1); i <= 3; i++ {
		id := fmt.Sprintf("e%d", i)
		w.told[id] = &oracle.Told{
			Intent:  oracle.Intent{ID: id, Tenant: "t", Type: "entry.written", Key: "k"},
			Outcome: oracle.Accepted, Client: "c", Asked: int(2 * i), Answered: int(2*i + 1),
		}
		w.evidence.Log = append(w.evidence.Log, oracle.Logged{Position: i, ID: id, Asked: id, Tenant: "t", Type: "entry.written", Key: "k"})
		for _, set := range []string{"ledger", "side"} {
			w.evidence.Effects = append(w.evidence.Effects, oracle.Effect{Set: set, Tenant: "t", EventID: id, Key: "k", Position: i})
		}
	}
	w.told["e2"].Email = "e2@t"
	w.evidence.Mails = []oracle.Mail{{To: "e2@t", MessageID: "m2"}}
	w.told["p"] = &oracle.Told{Intent: oracle.Intent{ID: "p", Tenant: "t", Type: "project.created"}, Outcome: oracle.Accepted, Client: "c", Asked: 8, Answered: 9}
	w.evidence.Log = append(w.evidence.Log,
		oracle.Logged{Position: 4, ID: "x4", Asked: "p", Tenant: "t", Type: "project.created", Subject: "s"},
		oracle.Logged{Position: 5, ID: "x5", To: "e2@t", Tenant: "t", Type: "notification.sent"})
	w.evidence.Effects = append(w.evidence.Effects, oracle.Effect{Set: "audit", Tenant: "t", EventID: "x4", Position: 4})
	w.evidence.States = []oracle.State{{Tenant: "t", ID: "s", Asked: "p"}}
	w.evidence.Feeds = []oracle.Feed{{Client: "f", Tenant: "t", Frames: []oracle.Frame{
		{Connection: 1, Op: "resume", Position: 0},
		shown(1, 1), shown(1, 2),
		{Connection: 2, Op: "resume", Position: 2},
		shown(2, 3),
		{Connection: 2, Op: "event", Position: 4, EventID: "x4", Tenant: "t"},
		{Connection: 2, Op: "event", EventID: "x5", Tenant: "t"},
		{Connection: 2, Op: "position", Position: 5},
	}}}
	return w
}

func shown(connection int, position int64) oracle.Frame {
	return oracle.Frame{Connection: connection, Op: "event", Position: position, EventID: fmt.Sprintf("e%d", position), Tenant: "t"}
}

func (w *world) check() *oracle.Verdict { return oracle.Check(w.told, w.evidence, w.rules) }

// dead makes the set give up on the entry at a position instead of handling it.
func (w *world) dead(set string, position int64, state string) {
	for i, e := range w.evidence.Effects {
		if e.Set == set && e.Position == position {
			w.evidence.Effects = append(w.evidence.Effects[:i], w.evidence.Effects[i+1:]...)
			break
		}
	}
	w.evidence.Letters = append(w.evidence.Letters, oracle.Letter{
		Set: set, Tenant: "t", EventID: fmt.Sprintf("e%d", position), Position: position, State: state,
	})
}

func TestNothingIsFoundWhereNothingIsWrong(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*world){
		"all is well":                               func(*world) {},
		"unknown and there":                         func(w *world) { w.told["e1"].Outcome = oracle.Unknown },
		"unknown and not there":                     func(w *world) { w.tell("u", oracle.Unknown, 20) },
		"refused and not there":                     func(w *world) { w.tell("r", oracle.Refused, 20) },
		"a dead letter":                             func(w *world) { w.dead("ledger", 2, "open") },
		"a discarded dead letter":                   func(w *world) { w.dead("side", 2, "discarded") },
		"handled twice where that may be":           func(w *world) { w.effect("side", "e3", 3) },
		"handled again, later":                      func(w *world) { w.effect("side", "e1", 1) },
		"a mail given up":                           func(w *world) { w.evidence.Mails = nil; w.queued("failed") },
		"no mail for a dead letter":                 func(w *world) { w.evidence.Mails = nil; w.dead("notify", 2, "open") },
		"an excused second copy":                    func(w *world) { w.rules.Copies = 1; w.mail("e2@t", "m2") },
		"a gap that was told":                       func(w *world) { w.frames()[1] = oracle.Frame{Connection: 1, Op: "gap", From: 1, To: 1} },
		"a resume from further back":                func(w *world) { w.frames()[3].Position = 0 },
		"pruned":                                    func(w *world) { w.prune(2) },
		"pruned, and shown ahead of its position":   func(w *world) { w.prune(2); w.frames()[1].Position = 0 },
		"retried late, out of order, and says so":   func(w *world) { w.dead("ledger", 1, "handled"); w.redriven("ledger", 1) },
		"a receipt of the first acceptance":         func(w *world) { w.told["e1"].Recorded, w.evidence.Log[0].Recorded = 17, 17 },
		"handled once where nothing broke off":      func(w *world) { w.rules.Calls = []string{"side"} },
		"given up where it fails":                   func(w *world) { w.rules.Sound = true; w.told["e2"].Fails = true; w.dead("side", 2, "open") },
		"a message that became a dead letter":       func(w *world) { w.stray("s", 1) },
		"a message that was never taken":            func(w *world) { w.stray("s", 0); w.told["s"].Outcome = oracle.Unknown },
		"the log in the order of two at once":       func(w *world) { w.told["e1"].Answered = 30; w.swap() },
		"the log in another stream's order":         func(w *world) { w.told["e1"].Aside = true; w.swap() },
		"the log in the order of different clients": func(w *world) { w.told["e1"].Client = "d"; w.swap() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := wellDone()
			change(w)
			require.Empty(t, w.check().Findings)
		})
	}
}

func TestCounts(t *testing.T) {
	t.Parallel()
	w := wellDone()
	w.tell("u", oracle.Unknown, 20)
	w.effect("side", "e3", 3)
	w.told["e1"].Doubted = true
	w.stray("s", 1)
	v := w.check()
	require.Equal(t, oracle.Verdict{
		Events: 4, Accepted: 5, Resolved: 1, Unsure: 1, Effects: 8, Once: 4, Mails: 1, Letters: 1, Strays: 1, Repeats: 1, Frames: 8,
	}, *v)
}

// An oracle that finds nothing proves nothing: each breach is planted here once.
func TestEachBreachIsFound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		plant   func(*world)
		promise oracle.Promise
		class   oracle.Class
		set     string
	}{
		"accepted and gone":          {func(w *world) { w.forget(3) }, oracle.Kept, oracle.Lost, ""},
		"refused and there":          {func(w *world) { w.told["e1"].Outcome = oracle.Refused }, oracle.Kept, oracle.Ghost, ""},
		"in the log twice":           {func(w *world) { w.logged(6, "e1") }, oracle.Kept, oracle.Twice, ""},
		"never asked for":            {func(w *world) { w.logged(6, "g"); w.effect("ledger", "g", 6); w.effect("side", "g", 6) }, oracle.Kept, oracle.Ghost, ""},
		"another type":               {func(w *world) { w.told["p"].Type = "project.archived" }, oracle.Kept, oracle.Ghost, ""},
		"a receipt of another time":  {func(w *world) { w.told["e1"].Recorded = 17 }, oracle.Kept, oracle.Twice, ""},
		"half a batch":               {func(w *world) { w.tell("b", oracle.Unknown, 20).Batch = "1"; w.told["e1"].Batch = "1" }, oracle.Kept, oracle.Lost, ""},
		"a state without its event":  {func(w *world) { w.evidence.States = append(w.evidence.States, oracle.State{Tenant: "t", ID: "s2"}) }, oracle.Kept, oracle.Lost, ""},
		"a state behind its events":  {func(w *world) { w.evidence.States[0].Asked = "before" }, oracle.Kept, oracle.Lost, ""},
		"an event without its state": {func(w *world) { w.evidence.States = []oracle.State{} }, oracle.Kept, oracle.Ghost, ""},
		"not handled":                {func(w *world) { w.undo("ledger", 2) }, oracle.Settled, oracle.Lost, "ledger"},
		"not handled at least once":  {func(w *world) { w.undo("side", 3) }, oracle.Settled, oracle.Lost, "side"},
		"without a position": {func(w *world) {
			w.evidence.Log[2].Position = 0
			w.undo("ledger", 3)
			w.undo("side", 3)
			w.evidence.Feeds = nil
		}, oracle.Settled, oracle.Lost, ""},
		"still parked":                    {func(w *world) { w.evidence.Parked = []oracle.Waiting{{Set: "side", Position: 2}} }, oracle.Settled, oracle.Lost, "side"},
		"retried and never handled":       {func(w *world) { w.dead("ledger", 2, "handled") }, oracle.Settled, oracle.Lost, "ledger"},
		"an effect of nothing":            {func(w *world) { w.effect("ledger", "g", 9) }, oracle.Settled, oracle.Ghost, "ledger"},
		"an effect of something else":     {func(w *world) { w.evidence.Effects[0].EventID = "g" }, oracle.Settled, oracle.Ghost, "ledger"},
		"a dead letter of nothing":        {func(w *world) { w.dead("side", 9, "open") }, oracle.Settled, oracle.Ghost, "side"},
		"pruned before it was handled":    {func(w *world) { w.undo("side", 1); w.prune(1) }, oracle.Settled, oracle.Lost, "side"},
		"called twice, and undisturbed":   {func(w *world) { w.rules.Calls = []string{"side"}; w.effect("side", "e3", 3) }, oracle.Settled, oracle.Twice, "side"},
		"given up, and nothing is wrong":  {func(w *world) { w.rules.Sound = true; w.dead("side", 2, "open") }, oracle.Settled, oracle.Lost, "side"},
		"a message without a dead letter": {func(w *world) { w.stray("s", 0) }, oracle.Settled, oracle.Lost, ""},
		"a message with two":              {func(w *world) { w.stray("s", 2) }, oracle.Settled, oracle.Twice, ""},
		"a dead letter of no message":     {func(w *world) { w.stray("s", 1); delete(w.told, "s") }, oracle.Settled, oracle.Ghost, "nats"},
		"a message under another tenant":  {func(w *world) { w.stray("s", 1); w.told["s"].Tenant = "other" }, oracle.TenantsKept, oracle.Crossed, "nats"},
		"an effect made twice":            {func(w *world) { w.effect("ledger", "e3", 3) }, oracle.Once, oracle.Twice, "ledger"},
		"handled and given up":            {func(w *world) { w.dead("ledger", 3, "open"); w.effect("ledger", "e3", 3) }, oracle.Once, oracle.Twice, "ledger"},
		"effects out of order":            {func(w *world) { w.undo("ledger", 1); w.effect("ledger", "e1", 1) }, oracle.InOrder, oracle.Disorder, "ledger"},
		"first deliveries out of order":   {func(w *world) { w.undo("side", 2); w.effect("side", "e2", 2) }, oracle.InOrder, oracle.Disorder, "side"},
		"the log out of order":            {func(w *world) { w.swap() }, oracle.InOrder, oracle.Disorder, ""},
		"a mail that never came":          {func(w *world) { w.evidence.Mails = nil }, oracle.Mailed, oracle.Lost, ""},
		"a mail nobody asked for":         {func(w *world) { w.mail("g@t", "m") }, oracle.Mailed, oracle.Ghost, ""},
		"a mail of what was not accepted": {func(w *world) { w.tell("u", oracle.Unknown, 20).Email = "u@t"; w.mail("u@t", "m") }, oracle.Mailed, oracle.Ghost, ""},
		"too many copies":                 {func(w *world) { w.mail("e2@t", "m2") }, oracle.Mailed, oracle.Twice, ""},
		"a copy with another id":          {func(w *world) { w.rules.Copies = 9; w.mail("e2@t", "m3") }, oracle.Mailed, oracle.Twice, ""},
		"an outcome that is missing":      {func(w *world) { w.evidence.Log = w.evidence.Log[:4]; w.evidence.Feeds = nil }, oracle.Mailed, oracle.Lost, ""},
		"an outcome told twice": {func(w *world) {
			w.evidence.Log = append(w.evidence.Log, oracle.Logged{Position: 6, ID: "x6", To: "e2@t", Tenant: "t", Type: "notification.sent"})
		}, oracle.Mailed, oracle.Twice, ""},
		"a frame that is missing":       {func(w *world) { w.frames()[2].Op = "pong" }, oracle.Live, oracle.Lost, ""},
		"a frame that came twice":       {func(w *world) { w.frames()[6].EventID = "e3" }, oracle.Live, oracle.Twice, ""},
		"frames out of order":           {func(w *world) { f := w.frames(); f[1], f[2] = f[2], f[1] }, oracle.Live, oracle.Disorder, ""},
		"a frame of nothing":            {func(w *world) { w.frames()[6].EventID = "g" }, oracle.Live, oracle.Ghost, ""},
		"a frame ahead of nothing":      {func(w *world) { w.prune(1); f := w.frames(); f[6].EventID, f[6].Position = "g", 0 }, oracle.Live, oracle.Ghost, ""},
		"logged under another tenant":   {func(w *world) { w.told["e1"].Tenant = "other" }, oracle.TenantsKept, oracle.Crossed, ""},
		"handled under another tenant":  {func(w *world) { w.evidence.Effects[0].Tenant = "other" }, oracle.TenantsKept, oracle.Crossed, "ledger"},
		"given up under another tenant": {func(w *world) { w.dead("side", 2, "open"); w.evidence.Letters[0].Tenant = "other" }, oracle.TenantsKept, oracle.Crossed, "side"},
		"a mail under another tenant":   {func(w *world) { w.queued("failed"); w.evidence.Queue[0].Tenant = "other" }, oracle.TenantsKept, oracle.Crossed, ""},
		"an outcome of another tenant":  {func(w *world) { w.evidence.Log[4].Tenant = "other"; w.evidence.Feeds = nil }, oracle.TenantsKept, oracle.Crossed, ""},
		"shown to another tenant":       {func(w *world) { w.frames()[1].Tenant = "other" }, oracle.TenantsKept, oracle.Crossed, ""},
		"pruned, under another tenant":  {func(w *world) { w.evidence.Effects[0].Tenant = "other"; w.prune(1) }, oracle.TenantsKept, oracle.Crossed, "ledger"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := wellDone()
			c.plant(w)
			v := w.check()
			require.NotEmpty(t, v.Findings)
			for _, f := range v.Findings {
				if f.Promise == c.promise && f.Class == c.class && f.Set == c.set {
					require.Equal(t, 1, v.Count(c.promise, c.class), "%v", v.Findings)
					require.True(t, v.Has(c.class))
					return
				}
			}
			t.Errorf("got %v, want promise %d: %s", v.Findings, c.promise, c.class)
		})
	}
}

func (w *world) tell(id string, o oracle.Outcome, asked int) *oracle.Told {
	w.told[id] = &oracle.Told{Intent: oracle.Intent{ID: id, Tenant: "t", Type: "entry.written", Key: "k"}, Outcome: o, Client: "c", Asked: asked}
	return w.told[id]
}

// stray lets a message come that cannot become an event, and become so many dead letters.
func (w *world) stray(id string, letters int) {
	w.tell(id, oracle.Accepted, 40).Stray = true
	for i := range letters {
		w.evidence.Letters = append(w.evidence.Letters, oracle.Letter{Set: "nats", Tenant: "t", Position: int64(-1 - i), State: "open", Says: id})
	}
}

func (w *world) logged(position int64, id string) {
	w.evidence.Log = append(w.evidence.Log, oracle.Logged{Position: position, ID: id, Asked: id, Tenant: "t", Type: "entry.written", Key: "k"})
	w.evidence.Feeds = nil
	if id == "e1" {
		w.effect("ledger", id, position)
		w.effect("side", id, position)
	}
}

func (w *world) effect(set, id string, position int64) {
	w.evidence.Effects = append(w.evidence.Effects, oracle.Effect{Set: set, Tenant: "t", EventID: id, Key: "k", Position: position})
}

func (w *world) redriven(set string, position int64) {
	w.effect(set, fmt.Sprintf("e%d", position), position)
	w.evidence.Effects[len(w.evidence.Effects)-1].Redriven = true
}

func (w *world) undo(set string, position int64) {
	for i, e := range w.evidence.Effects {
		if e.Set == set && e.Position == position {
			w.evidence.Effects = append(w.evidence.Effects[:i], w.evidence.Effects[i+1:]...)
			return
		}
	}
}

// forget takes an entry out of the log, with its effects.
func (w *world) forget(position int64) {
	w.undo("ledger", position)
	w.undo("side", position)
	w.evidence.Log = append(w.evidence.Log[:position-1], w.evidence.Log[position:]...)
	w.evidence.Feeds = nil
}

func (w *world) prune(through int64) {
	w.evidence.Log = w.evidence.Log[through:]
	w.evidence.PrunedThrough = through
}

// swap lets the log hold the first two entries the other way round, and the sets handle them so.
func (w *world) swap() {
	for i := range 2 {
		id := fmt.Sprintf("e%d", 2-i)
		w.evidence.Log[i].ID, w.evidence.Log[i].Asked = id, id
		w.evidence.Effects[2*i].EventID, w.evidence.Effects[2*i+1].EventID = id, id
		w.frames()[1+i].EventID = id
	}
}

func (w *world) mail(to, id string) {
	w.evidence.Mails = append(w.evidence.Mails, oracle.Mail{To: to, MessageID: id})
}

func (w *world) queued(status string) {
	w.evidence.Queue = []oracle.Queued{{Tenant: "t", To: "e2@t", Status: status}}
}

func (w *world) frames() []oracle.Frame { return w.evidence.Feeds[0].Frames }
