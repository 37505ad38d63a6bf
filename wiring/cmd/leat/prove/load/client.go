package load

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/leat-dev/leat/wiring/cmd/leat/prove/ledger"
	"github.com/leat-dev/leat/wiring/cmd/leat/prove/oracle"
)

// client does one thing after the other.
type client struct {
	load    *Load
	name    string
	journal *oracle.Journal
	random  *rand.Rand
	count   int
	batches int

	pending  *call     // had no answer and is made again
	projects []project // that the client knows of
}

type project struct{ tenant, id string }

// call is a request, and what it asks for.
type call struct {
	method, path, tenant string
	body                 any
	ids                  []string
	again                bool // it may be made again: what was accepted is not accepted twice
	receipt              bool // the answer is a receipt
	answered             func(body []byte)
	message              *nats.Msg // instead of a request
}

func (c *client) run(ctx context.Context) error {
	for ctx.Err() == nil && (c.pending != nil || c.load.budget.Add(-1) >= 0) {
		for c.load.target() == "" && ctx.Err() == nil {
			wait(ctx, pause)
		}
		next := c.pending
		if next == nil {
			var err error
			if next, err = c.choose(); err != nil {
				return err
			}
		}
		c.pending = nil
		if err := c.make(ctx, next); err != nil {
			return err
		}
	}
	return nil
}

// make makes a call and notes what came of it.
func (c *client) make(ctx context.Context, one *call) error {
	if one.message != nil {
		outcome := oracle.Unknown
		if c.load.cfg.Stranger.send(ctx, one.message) == nil {
			outcome = oracle.Accepted
		}
		return c.journal.Note(outcome, one.ids...)
	}
	status, body, err := c.load.send(ctx, one.method, one.path, one.tenant, one.body)
	c.load.answers.note(one, status, body, err)
	outcome := oracle.Unknown
	switch {
	case err != nil:
	case status < 300:
		outcome = oracle.Accepted
	case status >= 400 && status < 500:
		outcome = oracle.Refused
	}
	if outcome == oracle.Unknown && one.again && c.random.Float64() >= c.load.cfg.GiveUp {
		c.pending = one
	}
	if outcome == oracle.Accepted {
		c.load.taken.Add(1)
		if one.answered != nil {
			one.answered(body)
		}
	}
	if outcome == oracle.Unknown {
		defer wait(ctx, pause)
	}
	if one.receipt && outcome == oracle.Accepted {
		var receipt struct{ Timestamp time.Time }
		if err := json.Unmarshal(body, &receipt); err != nil {
			return fmt.Errorf("the receipt of %v: %w", one.ids, err)
		}
		return c.journal.NoteReceipt(one.ids[0], receipt.Timestamp.UnixMicro())
	}
	return c.journal.Note(outcome, one.ids...)
}

func (c *client) id() string {
	c.count++
	return fmt.Sprintf("%s-%d", c.name, c.count)
}

func (c *client) tenant() string {
	return c.load.cfg.Tenants[c.random.IntN(len(c.load.cfg.Tenants))]
}

func (c *client) chance(share float64) bool { return c.random.Float64() < share }

// choose decides what to do next and notes the intent.
func (c *client) choose() (*call, error) {
	switch {
	case c.chance(c.load.cfg.Commands):
		return c.command()
	case c.chance(c.load.cfg.Batches):
		return c.batch()
	case c.chance(c.load.cfg.Flags):
		return c.flag()
	case c.load.cfg.Stranger.isKnown() && c.chance(c.load.cfg.Strange):
		return c.strange()
	}
	tenant := c.tenant()
	intent, entry := c.entry(tenant)
	return &call{
		method: http.MethodPost, path: "/v1/events", tenant: tenant, ids: []string{intent.ID}, again: true, receipt: true,
		body: map[string]any{
			"eventType": intent.Type, "source": ledger.Source, "id": intent.ID, "subject": intent.Key, "data": entry,
		},
	}, c.journal.Intend(intent)
}

func (c *client) entry(tenant string) (oracle.Intent, ledger.Written) {
	intent := oracle.Intent{ID: c.id(), Tenant: tenant, Type: ledger.Written{}.EventType(), Key: fmt.Sprintf("k%d", c.random.IntN(c.load.cfg.Keys))}
	entry := ledger.Written{Key: intent.Key, Number: c.count}
	if c.chance(c.load.cfg.Mails) {
		intent.Email = intent.ID + "@" + tenant + ".example"
		entry.Email = intent.Email
	}
	if c.chance(c.load.cfg.Fails) {
		entry.Fails = []int{1, 1, 1, 2, 5, 5, ledger.Poison}[c.random.IntN(7)]
		intent.Fails, intent.Poison = true, entry.Fails == ledger.Poison
	}
	return intent, entry
}

// flag publishes an entry that live clients see at once.
func (c *client) flag() (*call, error) {
	intent := oracle.Intent{
		ID: c.id(), Tenant: c.tenant(), Type: ledger.Flagged{}.EventType(), Key: fmt.Sprintf("k%d", c.random.IntN(c.load.cfg.Keys)),
	}
	return &call{
		method: http.MethodPost, path: "/v1/events", tenant: intent.Tenant, ids: []string{intent.ID}, again: true, receipt: true,
		body: map[string]any{
			"eventType": intent.Type, "source": ledger.Source, "id": intent.ID, "subject": intent.Key,
			"data": ledger.Flagged{Key: intent.Key, Number: c.count},
		},
	}, c.journal.Intend(intent)
}

func (c *client) batch() (*call, error) {
	c.batches++
	one := &call{method: http.MethodPost, path: "/v1/ledger/entries", tenant: c.tenant(), again: true}
	var body ledger.Batch
	var intents []oracle.Intent
	for range 2 + c.random.IntN(6) {
		intent, entry := c.entry(one.tenant)
		intent.Batch = fmt.Sprintf("%s batch %d", c.name, c.batches)
		intents = append(intents, intent)
		one.ids = append(one.ids, intent.ID)
		body.Entries = append(body.Entries, ledger.Entry{ID: intent.ID, Written: entry})
	}
	one.body = body
	return one, c.journal.Intend(intents...)
}

// command tells an aggregate to do something. Commands are made once: the server gives the ids, so a
// second one would be another.
func (c *client) command() (*call, error) {
	intent := oracle.Intent{ID: c.id()}
	one := &call{method: http.MethodPost, ids: []string{intent.ID}}
	if len(c.projects) == 0 || c.chance(0.2) {
		tenant := c.tenant()
		intent.Type, one.path, one.body = "project.created", "/v1/projects", map[string]any{"name": intent.ID}
		one.tenant, intent.Tenant = tenant, tenant
		one.answered = func(body []byte) {
			var created struct{ ID string }
			if json.Unmarshal(body, &created) == nil {
				c.projects = append(c.projects, project{tenant, created.ID})
			}
		}
		return one, c.journal.Intend(intent)
	}
	p := c.projects[c.random.IntN(len(c.projects))]
	one.tenant, intent.Tenant = p.tenant, p.tenant
	if c.chance(0.5) {
		intent.Type, one.method, one.path, one.body = "project.updated", http.MethodPatch, "/v1/projects/"+p.id, map[string]any{"name": intent.ID}
	} else {
		intent.Type, one.path, one.body = "build.queued", "/v1/projects/"+p.id+"/builds", map[string]any{"image": intent.ID}
	}
	return one, c.journal.Intend(intent)
}
