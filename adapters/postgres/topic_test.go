package postgres_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wsql "github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/postgres"
	"github.com/leat-dev/leat/adapters/postgres/postgrestest"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/domain"
)

type started struct {
	Branch string `json:"branch"`
}

func (started) EventType() string { return "build.started" }

type failing struct{}

func (failing) EventType() string         { return "build.failing" }
func (failing) Severity() domain.Severity { return domain.High }

// topic is a store, and stock watermill-sql parts on it.
type topic struct {
	*postgres.DB
	std    *sql.DB
	schema wsql.DefaultPostgreSQLSchema
}

func openTopic(t *testing.T) topic {
	url := postgrestest.Start(t)
	db := openAt(t, url, clockwork.NewRealClock())
	lead(t, db)
	c, err := event.NewCatalogue(event.Definitions{
		event.Define[started](event.Business, event.Version(2), event.Upcast(1, func(data json.RawMessage) (json.RawMessage, error) { return data, nil })),
		event.Define[failing](event.Alert),
	})
	require.NoError(t, err)
	require.NoError(t, db.DescribeTypes(ctxOf(t), c))
	require.NoError(t, db.DescribeTypes(ctxOf(t), c))
	std, err := sql.Open("pgx", url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, std.Close()) })
	return topic{DB: db, std: std, schema: wsql.DefaultPostgreSQLSchema{
		GenerateMessagesTableName: func(string) string { return db.TopicTable() },
	}}
}

func (p topic) publisher(t *testing.T) *wsql.Publisher {
	pub, err := wsql.NewPublisher(wsql.BeginnerFromStdSQL(p.std), wsql.PublisherConfig{SchemaAdapter: p.schema, AutoInitializeSchema: true}, watermill.NopLogger{})
	require.NoError(t, err)
	return pub
}

func (p topic) subscribe(t *testing.T, group string) <-chan *message.Message {
	sub, err := wsql.NewSubscriber(wsql.BeginnerFromStdSQL(p.std), wsql.SubscriberConfig{
		ConsumerGroup: group, SchemaAdapter: p.schema, OffsetsAdapter: wsql.DefaultPostgreSQLOffsetsAdapter{},
		InitializeSchema: true, PollInterval: 5 * time.Millisecond,
	}, watermill.NopLogger{})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	out, err := sub.Subscribe(ctx, "events")
	require.NoError(t, err)
	t.Cleanup(func() {
		cancel()
		require.NoError(t, sub.Close())
	})
	return out
}

func (p topic) holds(t *testing.T, n int) []event.Envelope {
	t.Helper()
	ctx := ctxOf(t)
	for {
		appended := p.Appended()
		events, _, err := p.Read(ctx, 0, 0, n+1)
		require.NoError(t, err)
		require.LessOrEqual(t, len(events), n)
		if len(events) == n {
			return events
		}
		select {
		case <-appended:
		case <-ctx.Done():
			t.Fatalf("the log shows %d events, want %d", len(events), n)
		}
	}
}

func metadata(more ...string) message.Metadata {
	m := message.Metadata{
		event.MetaSpecVersion: "1.0", event.MetaID: "1", event.MetaType: "build.started", event.MetaSource: "elsewhere", event.MetaTenant: "acme",
	}
	for i := 0; i < len(more); i += 2 {
		if more[i+1] == "-" {
			delete(m, more[i])
		} else {
			m[more[i]] = more[i+1]
		}
	}
	return m
}

func TestStockPublisherAppends(t *testing.T) {
	t.Parallel()
	p := openTopic(t)
	pub := p.publisher(t)
	want := event.Envelope{
		ID: "id ü 1", Type: "build.failing", SchemaVersion: 1, Kind: event.Alert, Severity: domain.Urgent, Source: "svc/ü", Subject: "b 1",
		Tenant: "acme", Actor: "ann", Time: time.Date(1999, 12, 31, 23, 59, 59, 999999000, time.UTC), PartitionKey: "key ü", CorrelationID: "corr",
		CausationID: "cause", Depth: 7, TraceParent: "00-aa-bb-01", Data: []byte(`{"text":"ü \u0000 \"", "n":[1,2.5,null]}`), Slot: event.SlotOf("acme", "key ü"),
	}
	require.NoError(t, pub.Publish("events", event.ToMessage(want)))
	least := message.NewMessage("only-a-uuid", []byte(`{"branch":"main"}`))
	least.Metadata = metadata(event.MetaID, "-", event.MetaSubject, "p1")
	require.NoError(t, pub.Publish("events", least, event.ToMessage(want)), "one that is there is left out")

	got := p.holds(t, 2)
	want.Position, want.Recorded = got[0].Position, got[0].Recorded
	require.WithinDuration(t, time.Now(), got[0].Recorded, time.Minute)
	require.Equal(t, want, got[0])
	require.Equal(t, event.Envelope{
		ID: "only-a-uuid", Type: "build.started", SchemaVersion: 2, Kind: event.Business, Source: "elsewhere", Subject: "p1", Tenant: "acme",
		Time: got[1].Time, PartitionKey: "p1", CorrelationID: "only-a-uuid", Data: []byte(`{"branch":"main"}`), Slot: event.SlotOf("acme", "p1"),
		Position: got[1].Position, Recorded: got[1].Recorded,
	}, got[1])
}

func TestStockPublisherIsChecked(t *testing.T) {
	t.Parallel()
	p := openTopic(t)
	pub := p.publisher(t)
	for name, m := range map[string]message.Metadata{
		"ce-specversion":    metadata(event.MetaSpecVersion, "-"),
		"ce-tenantid":       metadata(event.MetaTenant, "-"),
		"ce-tenantid: want": metadata(event.MetaTenant, "a b"),
		"ce-source":         metadata(event.MetaSource, ""),
		"ce-type":           metadata(event.MetaType, "-"),
		"ce-type: \"Build":  metadata(event.MetaType, "Build.Started"),
		"nobody here knows": metadata(event.MetaType, "build.unknown"),
		"ce-id: is 129":     metadata(event.MetaID, strings.Repeat("x", 129)),
		"control":           metadata(event.MetaSubject, "a\nb"),
		"ce-kind":           metadata(event.MetaKind, "alert"),
		"ce-severity":       metadata(event.MetaType, "build.failing"),
		"ce-schemaversion":  metadata(event.MetaSchemaVersion, "3"),
		"ce-causationdepth": metadata(event.MetaDepth, "33"),
		"ce-time":           metadata(event.MetaTime, "yesterday-ish"),
	} {
		msg := message.NewMessage("1", []byte(`{}`))
		msg.Metadata = m
		require.ErrorContains(t, pub.Publish("events", msg), name)
	}
	for name, payload := range map[string]string{"json": `{"a":`, "payload: is 262145": `"` + strings.Repeat("x", 262143) + `"`} {
		msg := message.NewMessage("1", []byte(payload))
		msg.Metadata = metadata()
		require.ErrorContains(t, pub.Publish("events", msg), name)
	}
	p.holds(t, 0)
}

func TestStockSubscriberReadsInPositionOrder(t *testing.T) {
	t.Parallel()
	p := openTopic(t)
	messages := p.subscribe(t, "a")
	const n = 150 // more than it reads at once
	for i := range n {
		e := envelope(fmt.Sprint("e", i))
		e.Subject = "s"
		_, err := p.Append(ctxOf(t), []event.Envelope{e})
		require.NoError(t, err)
	}
	all := p.holds(t, n)
	next := func(messages <-chan *message.Message) event.Envelope {
		t.Helper()
		select {
		case m := <-messages:
			e, err := event.FromMessage(m)
			require.NoError(t, err)
			require.Equal(t, e.CorrelationID, m.Metadata["correlation_id"])
			m.Ack()
			return e
		case <-ctxOf(t).Done():
			t.Fatal("no message came")
			return event.Envelope{}
		}
	}
	for _, want := range all {
		require.Equal(t, want, next(messages))
	}
	another := p.subscribe(t, "b")
	require.Equal(t, all[0], next(another), "another group begins by itself")
}

func TestSlotsAreTheSameInSQL(t *testing.T) {
	t.Parallel()
	p := openTopic(t)
	for i := range 300 {
		tenant, key := fmt.Sprint("tenant", i%7), ""
		for range rand.IntN(40) {
			key += string(rune(1 + rand.IntN(3000)))
		}
		var slot int
		require.NoError(t, p.std.QueryRow("SELECT leat_slot($1, $2)", tenant, key).Scan(&slot))
		require.Equal(t, event.SlotOf(tenant, key), slot, "%q %q", tenant, key)
	}
}
