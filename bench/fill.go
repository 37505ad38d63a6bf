package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/leat-dev/leat/app/event"
)

// backlog is a database whose log is full already. Rounds share it: filling it takes longer than
// they do.
type backlog struct {
	url  string
	size int
}

// backlog returns a database whose log holds size events, of 1,000 keys in turn.
func (e *Env) backlog(ctx context.Context, lasts *state, store string, size int) (*backlog, error) {
	made, err := lasts.once(fmt.Sprintf("backlog %s %d", store, size), func() (any, func() error, error) {
		w, err := e.open(ctx, setup{store: store, bus: "sql", notRun: true, keep: lasts})
		if err != nil {
			return nil, nil, err
		}
		b := &backlog{url: w.cfg.Store.URL, size: size}
		if store == "sqlite" {
			err = w.fill(ctx, size)
		}
		err = firstOf(err, w.stop())
		if err == nil && store == "postgres" {
			err = fillPostgres(ctx, b.url, size)
		}
		if err != nil {
			return nil, nil, firstOf(err, w.remove())
		}
		return b, w.remove, nil
	})
	if err != nil {
		return nil, fmt.Errorf("fill the log with %d events: %w", size, err)
	}
	return made.(*backlog), nil
}

// fill appends events to the store itself, a thousand in a commit.
func (w *world) fill(ctx context.Context, size int) error {
	entries, err := entriesOf(w.Catalogue, min(size, 1000), 1000)
	if err != nil {
		return err
	}
	events := make([]event.Envelope, 0, len(entries))
	for first := 0; first < size; first += len(entries) {
		events = events[:0]
		for i, e := range entries[:min(len(entries), size-first)] {
			e.ID, e.Position = eventID(first+i), 0
			e.CorrelationID = e.ID
			e.Data = fmt.Appendf(nil, `{"key":%q,"number":%d,"from":"warehouse-0123456789","to":"warehouse-9876543210"}`, e.Subject, first+i)
			events = append(events, e.Envelope)
		}
		if _, err := w.Store.Append(ctx, events); err != nil {
			return err
		}
	}
	return nil
}

// eventID is as long as the ids that publishing makes, and rises as they do.
func eventID(i int) string { return fmt.Sprintf("%08x-0000-7000-8000-%012x", i, i*7919%1_000_003) }

// fillPostgres writes the rows that publishing and sequencing would have left, by the server alone.
func fillPostgres(ctx context.Context, url string, size int) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	keys := make([]string, 1000)
	slots := make([]int32, len(keys))
	for i := range keys {
		keys[i] = keyName(i)
		slots[i] = int32(event.SlotOf(tenant, keys[i]))
	}
	const chunk = 100_000
	for first := 0; first < size; first += chunk {
		if _, err := conn.Exec(ctx, `INSERT INTO leat_log (time, recorded, schema_version, depth, slot, id, source, tenant, type, kind, severity,
				subject, actor, partition_key, correlation_id, causation_id, trace_parent, data)
			SELECT t.now, t.now, 1, 0, ($4::int[])[i % 1000 + 1], n.id, 'bench', $5, 'item.moved', 'business', '',
				k.key, 'bench', k.key, n.id, '', '', convert_to('{"key":"' || k.key || '","number":' || i || ',"from":"warehouse-0123456789","to":"warehouse-9876543210"}', 'UTF8')
			FROM generate_series($1::bigint, $2::bigint) AS i,
				LATERAL (SELECT ($3::text[])[i % 1000 + 1] AS key) AS k,
				LATERAL (SELECT lpad(to_hex(i), 8, '0') || '-0000-7000-8000-' || lpad(to_hex(i * 7919 % 1000003), 12, '0') AS id) AS n,
				LATERAL (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now) AS t
			ORDER BY i`, first, min(size, first+chunk)-1, keys, slots, tenant); err != nil {
			return err
		}
	}
	for _, statement := range []string{
		"INSERT INTO leat_positions (position, seq, slot) SELECT seq, seq, slot FROM leat_log ORDER BY seq",
		"VACUUM (ANALYZE) leat_log, leat_positions", // as the server does by itself, in its time
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", strings.Fields(statement)[0], err)
		}
	}
	return nil
}
