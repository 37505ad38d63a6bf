package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/wiring/cmd/leat/prove/ledger"
	"github.com/leat-dev/leat/wiring/cmd/leat/prove/oracle"
)

// Stranger sends messages over NATS, past the program's door: events of another service, what the log
// refuses, and what nobody can read. A stream keeps each before the stranger is told so.
type Stranger struct {
	stream jetstream.JetStream
	tenant string
	known  atomic.Bool // see Introduce
}

// The foreign stream, and its subjects.
const (
	foreignStream   = "ORDERS"
	foreignSubject  = "orders.written"
	ForeignSubjects = "orders.>"
)

// NewStranger makes the foreign stream. The program takes its messages for events of the tenant.
func NewStranger(ctx context.Context, conn *nats.Conn, tenant string) (*Stranger, error) {
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, err
	}
	_, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: foreignStream, Subjects: []string{ForeignSubjects}})
	return &Stranger{stream: js, tenant: tenant}, err
}

// Introduce returns when the program's stream has so many consumers; before, the stranger sends nothing. Nobody
// listens to what is put among the program's messages before there is a consumer: the program's own are in the log.
func (s *Stranger) Introduce(ctx context.Context, consumers int) error {
	for {
		stream, err := s.stream.Stream(ctx, "LEAT_EVENTS")
		if err == nil && stream.CachedInfo().State.Consumers >= consumers {
			s.known.Store(true)
			return nil
		}
		if wait(ctx, 20*time.Millisecond); ctx.Err() != nil {
			return fmt.Errorf("the program's stream has not got %d consumers: %w", consumers, errors.Join(err, ctx.Err()))
		}
	}
}

func (s *Stranger) isKnown() bool { return s != nil && s.known.Load() }

func (s *Stranger) send(ctx context.Context, m *nats.Msg) error {
	_, err := s.stream.PublishMsg(ctx, m)
	return err
}

// strange is a message of the stranger.
func (c *client) strange() (*call, error) {
	s := c.load.cfg.Stranger
	intent, entry := c.entry(s.tenant)
	intent.Aside = true
	m := nats.NewMsg(foreignSubject)
	m.Header.Set(oracle.AskedHeader, intent.ID)
	switch c.random.IntN(3) {
	case 0: // an event
		data, err := json.Marshal(entry)
		if err != nil {
			return nil, err
		}
		m.Data = data
		for name, value := range map[string]string{
			"ce-specversion": "1.0", "ce-id": intent.ID, "ce-type": intent.Type, "ce-source": ledger.Source, "ce-subject": intent.Key,
		} {
			m.Header.Set(name, value)
		}
	case 1: // none
		m.Data = []byte("rubbish")
		intent = oracle.Intent{ID: intent.ID, Tenant: s.tenant, Type: "message", Stray: true}
	default: // one that says that it is the program's own
		m.Subject = fmt.Sprintf("leat.events.%s.%02d.business.%s", s.tenant, c.random.IntN(event.Slots), intent.Type)
		m.Data = []byte("rubbish")
		intent = oracle.Intent{ID: intent.ID, Tenant: event.SystemTenant, Type: "message", Stray: true}
	}
	return &call{message: m, ids: []string{intent.ID}}, c.journal.Intend(intent)
}
