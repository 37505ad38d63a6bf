package oracle

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/leat-dev/leat/wiring/cmd/leat/prove/ledger"
)

// AskedHeader is the header by which a message names the intent that it comes from.
const AskedHeader = "Asked"

// Database is a store of the service, read past the service.
type Database struct {
	db       *sql.DB
	postgres bool
}

// Open opens the database that a store.url of the configuration names, for reading.
func Open(storeURL string) (*Database, error) {
	if path, ok := strings.CutPrefix(storeURL, "sqlite:"); ok {
		db, err := sql.Open("sqlite", "file:"+path+"?mode=ro&_pragma=busy_timeout(10000)")
		return &Database{db: db}, err
	}
	db, err := sql.Open("pgx", storeURL)
	if err == nil {
		db.SetMaxIdleConns(0) // the server may have been another one meanwhile
	}
	return &Database{db: db, postgres: true}, err
}

// Close closes it.
func (d *Database) Close() error { return d.db.Close() }

// Look reads the log, the effects, the dead letters and the mails that are not settled, all as of
// one moment.
func (d *Database) Look(ctx context.Context) (*Evidence, error) {
	options := &sql.TxOptions{}
	if d.postgres {
		options = &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
	}
	tx, err := d.db.BeginTx(ctx, options)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }()
	r := &reading{ctx: ctx, tx: tx, postgres: d.postgres, evidence: &Evidence{}}
	for _, step := range []func() error{r.log, r.pruned, r.ledger, r.audit, r.letters, r.parked, r.queue, r.states} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return r.evidence, nil
}

type reading struct {
	ctx      context.Context
	tx       *sql.Tx
	postgres bool
	evidence *Evidence
}

// each calls row for each row of a query.
func (r *reading) each(query string, row func(scan func(...any) error) error) (err error) {
	rows, err := r.tx.QueryContext(r.ctx, query)
	if err != nil {
		return fmt.Errorf("%s: %w", query, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return fmt.Errorf("%s: %w", query, err)
		}
	}
	return rows.Err()
}

func (r *reading) log() error {
	const columns = "l.id, l.source, l.tenant, l.type, l.subject, l.partition_key, l.recorded, l.data FROM leat_log l"
	query := "SELECT l.position, " + columns + " ORDER BY l.position"
	if r.postgres {
		query = "SELECT coalesce(p.position, 0), " + columns + " LEFT JOIN leat_positions p ON p.seq = l.seq ORDER BY 1"
	}
	return r.each(query, func(scan func(...any) error) error {
		var l Logged
		var data []byte
		if err := scan(&l.Position, &l.ID, &l.Source, &l.Tenant, &l.Type, &l.Subject, &l.Key, &l.Recorded, &data); err != nil {
			return err
		}
		var says struct{ Name, Image, To string }
		if err := json.Unmarshal(data, &says); err != nil {
			return fmt.Errorf("data of %s: %w", l.ID, err)
		}
		switch l.Type {
		case "entry.written", "entry.flagged":
			l.Asked = l.ID
		case "project.created", "project.updated":
			l.Asked = says.Name
		case "build.queued":
			l.Asked = says.Image
		case "notification.sent":
			l.To = says.To
		}
		r.evidence.Log = append(r.evidence.Log, l)
		return nil
	})
}

func (r *reading) pruned() error {
	return r.each("SELECT pruned_through FROM leat_log_state", func(scan func(...any) error) error {
		return scan(&r.evidence.PrunedThrough)
	})
}

func (r *reading) ledger() error {
	return r.each("SELECT tenant, event_id, key, position, redriven, at FROM leat_ledger ORDER BY seq", func(scan func(...any) error) error {
		e := Effect{Set: "ledger"}
		var redriven int
		err := scan(&e.Tenant, &e.EventID, &e.Key, &e.Position, &redriven, &e.At)
		e.Redriven = redriven != 0
		r.evidence.Effects = append(r.evidence.Effects, e)
		return err
	})
}

func (r *reading) audit() error {
	return r.each("SELECT tenant, event_id, subject, position FROM leat_audit", func(scan func(...any) error) error {
		e := Effect{Set: "audit"}
		err := scan(&e.Tenant, &e.EventID, &e.Key, &e.Position)
		r.evidence.Effects = append(r.evidence.Effects, e)
		return err
	})
}

func (r *reading) letters() error {
	return r.each("SELECT set_name, tenant, position, state, event, failed FROM leat_dead_letters", func(scan func(...any) error) error {
		var l Letter
		var text []byte
		if err := scan(&l.Set, &l.Tenant, &l.Position, &l.State, &text, &l.At); err != nil {
			return err
		}
		var e struct {
			ID   string
			Data json.RawMessage
		}
		err := json.Unmarshal(text, &e)
		if l.EventID = e.ID; err == nil && l.Stray() {
			l.Says, err = said(e.Data)
		}
		l.At *= 1000 // microseconds in the table
		r.evidence.Letters = append(r.evidence.Letters, l)
		return err
	})
}

// said returns what a message that became no event says of the intent that it comes from.
func said(data []byte) (string, error) {
	var message struct{ Header map[string][]string }
	if err := json.Unmarshal(data, &message); err != nil {
		return "", err
	}
	for name, values := range message.Header {
		if strings.EqualFold(name, AskedHeader) && len(values) > 0 {
			return values[0], nil
		}
	}
	return "", nil
}

func (r *reading) parked() error {
	return r.each("SELECT set_name, position FROM leat_parked", func(scan func(...any) error) error {
		var p Waiting
		err := scan(&p.Set, &p.Position)
		r.evidence.Parked = append(r.evidence.Parked, p)
		return err
	})
}

func (r *reading) queue() error {
	return r.each("SELECT tenant, address, status FROM leat_email_queue WHERE status <> 'sent'", func(scan func(...any) error) error {
		var q Queued
		err := scan(&q.Tenant, &q.To, &q.Status)
		r.evidence.Queue = append(r.evidence.Queue, q)
		return err
	})
}

// states are those of the reference service, where the program runs it.
func (r *reading) states() error {
	schema := "SELECT count(*) FROM sqlite_master WHERE name = 'leat_reference_projects'"
	if r.postgres {
		schema = "SELECT count(*) FROM pg_class WHERE relname = 'leat_reference_projects'"
	}
	there := 0
	if err := r.each(schema, func(scan func(...any) error) error { return scan(&there) }); err != nil || there == 0 {
		return err
	}
	r.evidence.States = []State{}
	for _, query := range []string{
		"SELECT tenant, id, name FROM leat_reference_projects", "SELECT tenant, id, image FROM leat_reference_builds",
	} {
		if err := r.each(query, func(scan func(...any) error) error {
			var s State
			err := scan(&s.Tenant, &s.ID, &s.Asked)
			r.evidence.States = append(r.evidence.States, s)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// ReadSide reads the effects that the set "side" has left in its file.
func ReadSide(name string) ([]Effect, error) {
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	var effects []Effect
	var torn error
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if torn != nil {
			return nil, torn
		}
		// A process that is killed may leave the beginning of a line, to which the next one's is added. That
		// effect was not made: nobody has been told that it was.
		text := lines.Bytes()
		text = text[max(0, bytes.LastIndexByte(text, '{')):]
		var l ledger.Line
		if err := json.Unmarshal(text, &l); err != nil {
			torn = fmt.Errorf("read %s: %w", name, err) // unless it is the last
			continue
		}
		effects = append(effects, Effect{
			Set: "side", Tenant: l.Tenant, EventID: l.Event, Key: l.Key, Position: l.Position, Redriven: l.Redriven, At: l.At,
		})
	}
	return effects, lines.Err()
}
