package postgres

import "strings"

// columns of the log in the order in which scan reads them; p is its position's row, l its own.
const columns = `p.position, l.slot, l.id, l.source, l.tenant, l.type, l.schema_version, l.kind, l.severity, l.subject, l.actor, l.time,
	l.partition_key, l.correlation_id, l.causation_id, l.depth, l.trace_parent, l.recorded, l.data`

// logRow goes from positions to events one by one, whatever the planner thinks of the table's size.
const logRow = ` CROSS JOIN LATERAL (SELECT * FROM leat_log WHERE seq = p.seq OFFSET 0) l`

// dbNow is the time of leases: the database's own, or the one given by tests.
func dbNow(placeholder string) string {
	return `coalesce(` + placeholder + `::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)`
}

// queries holds the statements with the table prefix in place.
type queries struct {
	// The log.
	appendEvents, firstRecorded, assign                   string
	head, first, readAll, readSlots, at, find, searchFrom string
	prunable, pruneEvents, prunedThrough, identity        string
	countUnsequenced                                      string

	// Handler sets and their lanes.
	register, insertCursors, setExists, setPaused, setTypes, setLanes string
	shareSet, lockSet, lookAtLane, parkedOfSet, deleteSet             string
	sets, owners, cursors, parkedCounts, deliveries, backlog, oldest  string
	lane, takeLane, lockLeases, renewLanes, releaseLane               string
	lockLanes, fenceLanes, liveOwner, oldLanes, dropLanes, newLanes   string
	claims, attend, attending, absent, leave, freeLanes               string
	noteInHand, fence, fences, cursorsOf                              string
	moveCursors, park, parkedAt, unpark, parked, redrive              string

	describeTypes string

	// Dead letters.
	letterFrom, letter, deleteLetter, insertLetter, decideLetter, countLetters string
	buryStray, strayTaken, strayRefused                                        string
}

func newQueries(prefix string) queries {
	in := func(query string) string { return strings.ReplaceAll(query, defaultPrefix, prefix) }
	return queries{
		// It returns how many events were new, and which only when not all were.
		appendEvents: in(`WITH new AS (
				INSERT INTO leat_log (slot, id, source, tenant, type, schema_version, kind, severity, subject, actor, time,
					partition_key, correlation_id, causation_id, depth, trace_parent, recorded, data)
				SELECT slot, id, source, tenant, type, schema_version, kind, severity, subject, actor, time,
					partition_key, correlation_id, causation_id, depth, trace_parent, recorded, data
				FROM (SELECT pg_current_xact_id() OFFSET 0) before_any_number (xid), -- assigner says why
					unnest($1::smallint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::integer[], $7::text[], $8::text[], $9::text[],
					$10::text[], $11::bigint[], $12::text[], $13::text[], $14::text[], $15::integer[], $16::text[], $17::bigint[], $18::bytea[])
					WITH ORDINALITY AS e (slot, id, source, tenant, type, schema_version, kind, severity, subject, actor, time,
					partition_key, correlation_id, causation_id, depth, trace_parent, recorded, data, n)
				WHERE xid IS NOT NULL
				ORDER BY n
				ON CONFLICT (id, source, tenant) DO NOTHING
				RETURNING seq, slot, id, source, tenant
			), noted AS (
				INSERT INTO leat_unsequenced (seq, n, seqs, slots)
				SELECT min(seq), count(*), array_agg(seq ORDER BY seq), array_agg(slot ORDER BY seq)
				FROM (SELECT seq, slot, (row_number() OVER (ORDER BY seq) - 1) / 400 FROM new) n (seq, slot, part) GROUP BY part
			)
			SELECT c.n, id, source, tenant FROM (SELECT count(*) AS n FROM new) c LEFT JOIN new ON c.n < cardinality($1::smallint[])`),
		firstRecorded: in(`SELECT l.id, l.source, l.tenant, l.recorded FROM unnest($1::text[], $2::text[], $3::text[]) e (id, source, tenant)
			JOIN leat_log l ON l.id = e.id AND l.source = e.source AND l.tenant = e.tenant`),
		// One statement, so one snapshot: everything that it can see is committed, and gets its
		// position in the order of seq. Rows are taken whole, in the order of their lowest numbers: what
		// precedes an event is in an earlier row, or in the same one.
		assign: in(`WITH noted AS (
				DELETE FROM leat_unsequenced WHERE seq = ANY (ARRAY(
					SELECT seq FROM (SELECT seq, sum(n) OVER (ORDER BY seq) - n AS before FROM (SELECT seq, n FROM leat_unsequenced WHERE seq <= $1
						UNION SELECT seq, n FROM leat_unsequenced WHERE seq > $2
						UNION SELECT seq, n FROM leat_unsequenced WHERE seq = ANY ($3::bigint[])) s
					ORDER BY seq LIMIT $4) s WHERE before < $4)) RETURNING seqs, slots
			), taken AS (
				SELECT u.seq, u.slot FROM noted, unnest(seqs, slots) u (seq, slot)
			), head AS (
				SELECT greatest(coalesce((SELECT max(position) FROM leat_positions), 0), (SELECT pruned_through FROM leat_log_state)) AS position
			), given AS (
				INSERT INTO leat_positions (position, seq, slot)
				SELECT head.position + row_number() OVER (ORDER BY taken.seq), taken.seq, taken.slot FROM taken, head ORDER BY taken.seq
				RETURNING position, seq
			)
			SELECT coalesce(array_agg(seq ORDER BY seq), '{}'), coalesce(max(position), 0), pg_snapshot_xmin(pg_current_snapshot())::text,
				coalesce(pg_current_xact_id_if_assigned()::text, '') FROM given`),
		identity: in(`SELECT identity FROM leat_log_state`),

		head:  in(`SELECT greatest(coalesce((SELECT max(position) FROM leat_positions), 0), pruned_through) FROM leat_log_state`),
		first: in(`SELECT coalesce((SELECT min(position) FROM leat_positions WHERE position > pruned_through), pruned_through + 1) FROM leat_log_state`),
		readAll: in(`SELECT ` + columns + ` FROM (SELECT position, seq FROM leat_positions WHERE position > $1 ORDER BY position LIMIT $2) p` +
			logRow + ` ORDER BY p.position`),
		readSlots: in(`SELECT ` + columns + ` FROM (SELECT position, seq FROM leat_positions WHERE position > $1 AND ($3::bigint >> slot) & 1 = 1
			ORDER BY position LIMIT $2) p` + logRow + ` ORDER BY p.position`),
		at: in(`SELECT ` + columns + ` FROM (SELECT position, seq FROM leat_positions WHERE position = ANY($1)) p` + logRow + ` ORDER BY p.position`),
		find: in(`SELECT ` + columns + ` FROM leat_log l JOIN leat_positions p ON p.seq = l.seq WHERE l.id = $1 AND l.tenant = $2
			ORDER BY p.position DESC LIMIT 1`),
		searchFrom: in(`SELECT ` + columns + ` FROM leat_positions p JOIN leat_log l ON l.seq = p.seq`),

		// Where no set is registered, there is no row of settled, and everything may go.
		prunable: in(`SELECT p.position FROM leat_positions p JOIN leat_log l ON l.seq = p.seq
			LEFT JOIN (SELECT slot, min(position) AS position FROM leat_cursors GROUP BY slot) settled ON settled.slot = p.slot
			WHERE l.recorded < $1 AND (settled.position IS NULL OR p.position <= settled.position)
			AND NOT EXISTS (SELECT 1 FROM leat_parked k WHERE k.position = p.position)
			AND NOT EXISTS (SELECT 1 FROM leat_dead_letters d WHERE d.position = p.position AND d.state <> 'discarded')
			ORDER BY p.position LIMIT $2`),
		pruneEvents: in(`WITH gone AS (DELETE FROM leat_positions p WHERE p.position = ANY($1)
				AND NOT EXISTS (SELECT 1 FROM leat_parked k WHERE k.position = p.position)
				AND NOT EXISTS (SELECT 1 FROM leat_dead_letters d WHERE d.position = p.position AND d.state <> 'discarded')
				RETURNING seq)
			DELETE FROM leat_log WHERE seq IN (SELECT seq FROM gone)`),
		prunedThrough: in(`UPDATE leat_log_state SET pruned_through = greatest(pruned_through, $1)`),

		register: in(`INSERT INTO leat_sets (name, types, paused, begins, registered)
			VALUES ($1, $2, false, CASE WHEN $3::boolean THEN 0 ELSE (SELECT greatest(coalesce((SELECT max(position) FROM leat_positions), 0), pruned_through) FROM leat_log_state) END, $4)
			ON CONFLICT (name) DO NOTHING`),
		insertCursors: in(`INSERT INTO leat_cursors (set_name, slot, position)
			SELECT name, slot, begins FROM leat_sets, generate_series(0, $2::integer - 1) slot WHERE name = $1 ON CONFLICT DO NOTHING`),
		setExists: in(`SELECT count(*) FROM leat_sets WHERE name = $1`),
		setPaused: in(`UPDATE leat_sets SET paused = $1 WHERE name = $2`),
		setTypes:  in(`UPDATE leat_sets SET types = $1 WHERE name = $2`),
		setLanes:  in(`UPDATE leat_sets SET lanes = $1 WHERE name = $2`),
		// Who changes types or the number of lanes locks the row of the set, who takes a lane shares it;
		// then come the rows of the lanes, in their order.
		shareSet: in(`SELECT types, lanes FROM leat_sets WHERE name = $1 FOR SHARE`),
		lockSet:  in(`SELECT types, lanes FROM leat_sets WHERE name = $1 FOR UPDATE`),
		lookAtLane: in(`SELECT s.types, s.lanes, coalesce(l.owner, ''), coalesce(NOT l.released AND l.expires > ` + dbNow("$3") + `, false)
			FROM leat_sets s LEFT JOIN leat_lanes l ON l.set_name = s.name AND l.lane = $2 WHERE s.name = $1`),
		parkedOfSet: in(`SELECT count(*) FROM leat_parked WHERE set_name = $1`),
		// The fences stay: a set of the same name may come, and the old owners of its lanes too.
		deleteSet: in(`WITH p AS (DELETE FROM leat_parked WHERE set_name = $1), c AS (DELETE FROM leat_cursors WHERE set_name = $1),
			l AS (UPDATE leat_lanes SET owner = '', expires = 0, in_hand = 0, attempts = 0, released = true WHERE set_name = $1)
			DELETE FROM leat_sets WHERE name = $1`),
		sets:         in(`SELECT name, types, paused, lanes FROM leat_sets`),
		owners:       in(`SELECT set_name, owner, count(*) FROM leat_lanes WHERE NOT released AND expires > ` + dbNow("$1") + ` GROUP BY set_name, owner`),
		cursors:      in(`SELECT set_name, slot, position FROM leat_cursors`),
		parkedCounts: in(`SELECT set_name, count(*) FILTER (WHERE state <> 'redrive'), count(*) FILTER (WHERE state = 'redrive') FROM leat_parked GROUP BY set_name`),
		deliveries: in(`SELECT s.name, s.types, s.begins, c.position,
				coalesce(p.state, ''), coalesce(p.attempts, 0), coalesce(p.due, 0), coalesce(p.reason, ''),
				coalesce(d.state, ''), coalesce(d.attempts, 0), coalesce(d.reason, '')
			FROM leat_sets s JOIN leat_cursors c ON c.set_name = s.name
			LEFT JOIN leat_parked p ON p.set_name = s.name AND p.position = $1
			LEFT JOIN leat_dead_letters d ON d.set_name = s.name AND d.position = $1
			WHERE c.slot = $2`),
		// One walk over at most $1 events of the log for each set.
		backlog: in(`SELECT s.name, (SELECT count(*) FROM (SELECT position, seq, slot FROM leat_positions WHERE position > low.position ORDER BY position LIMIT $1) p
					JOIN leat_cursors c ON c.set_name = s.name AND c.slot = p.slot CROSS JOIN LATERAL (SELECT type FROM leat_log WHERE seq = p.seq OFFSET 0) l
					WHERE p.position > c.position AND l.type = ANY (s.types))
				+ coalesce((SELECT max(position) FROM leat_positions)
					- (SELECT max(position) FROM (SELECT position FROM leat_positions WHERE position > low.position ORDER BY position LIMIT $1) w), 0)
			FROM leat_sets s JOIN (SELECT set_name, min(position) AS position FROM leat_cursors GROUP BY set_name) low ON low.set_name = s.name`),
		oldest: in(`SELECT f.name, coalesce((SELECT l.recorded FROM leat_positions p JOIN leat_log l ON l.seq = p.seq WHERE p.position = least(f.ahead, f.parked)), 0)
			FROM (SELECT s.name, coalesce((SELECT p.position FROM (SELECT position, seq, slot FROM leat_positions WHERE position > low.position ORDER BY position LIMIT $1) p
						JOIN leat_cursors c ON c.set_name = s.name AND c.slot = p.slot CROSS JOIN LATERAL (SELECT type FROM leat_log WHERE seq = p.seq OFFSET 0) l
						WHERE p.position > c.position AND l.type = ANY (s.types) ORDER BY p.position LIMIT 1),
					(SELECT position FROM leat_positions WHERE position > low.position ORDER BY position LIMIT 1 OFFSET $1::bigint - 1)) AS ahead,
					(SELECT position FROM leat_parked WHERE set_name = s.name AND state <> 'redrive' ORDER BY position LIMIT 1) AS parked
				FROM leat_sets s JOIN (SELECT set_name, min(position) AS position FROM leat_cursors GROUP BY set_name) low ON low.set_name = s.name) f`),
		countUnsequenced: in(`SELECT least(coalesce(sum(n), 0), $1) FROM (SELECT n FROM leat_unsequenced LIMIT $1) u`),

		lane: in(`SELECT owner, fence, in_hand, attempts, released, expires > ` + dbNow("$3") + ` FROM leat_lanes
			WHERE set_name = $1 AND lane = $2 FOR NO KEY UPDATE`),
		takeLane: in(`UPDATE leat_lanes SET owner = $3, fence = $4, expires = ` + dbNow("$6") + ` + $5, released = false WHERE set_name = $1 AND lane = $2`),
		// The locks are taken in one order, or renewals and settlements could wait for one another.
		lockLeases: in(`SELECT lane FROM leat_lanes WHERE set_name = $1 AND lane = ANY($2) ORDER BY lane FOR NO KEY UPDATE`),
		renewLanes: in(`UPDATE leat_lanes l SET expires = ` + dbNow("$5") + ` + $4 FROM unnest($2::integer[], $3::bigint[]) r (lane, fence)
			WHERE l.set_name = $1 AND l.lane = r.lane AND l.fence = r.fence AND NOT l.released RETURNING l.lane`),
		lockLanes: in(`SELECT lane FROM leat_lanes WHERE set_name = $1 ORDER BY lane FOR UPDATE`),
		// An owner that is alive loses its lane as if it had let go; one that is dead has died nevertheless.
		fenceLanes: in(`UPDATE leat_lanes l SET fence = fence + 1, released = released OR expires > now,
				in_hand = CASE WHEN expires > now THEN 0 ELSE in_hand END, attempts = CASE WHEN expires > now THEN 0 ELSE attempts END
			FROM (SELECT ` + dbNow("$2") + ` AS now OFFSET 0) n WHERE set_name = $1`),
		liveOwner: in(`SELECT coalesce(min(owner), '') FROM leat_lanes WHERE set_name = $1 AND NOT released AND expires > ` + dbNow("$2")),
		oldLanes:  in(`SELECT coalesce(max(fence), 0), coalesce(bool_and(released), true) FROM leat_lanes WHERE set_name = $1`),
		dropLanes: in(`DELETE FROM leat_lanes WHERE set_name = $1`),
		newLanes: in(`INSERT INTO leat_lanes (set_name, lane, owner, fence, expires, in_hand, attempts, released)
			SELECT $1, lane, '', $3, 0, 0, 0, $4 FROM generate_series(0, $2::integer - 1) lane`),
		claims: in(`SELECT types, lanes FROM leat_sets WHERE name = $1`),
		attend: in(`WITH before AS (SELECT 1 FROM leat_attendance WHERE set_name = $1 AND owner = $2 AND lanes = $3 AND expires > ` + dbNow("$5") + `),
			now AS (INSERT INTO leat_attendance (set_name, owner, lanes, expires) VALUES ($1, $2, $3, ` + dbNow("$5") + ` + $4)
				ON CONFLICT (set_name, owner) DO UPDATE SET lanes = excluded.lanes, expires = excluded.expires)
			SELECT NOT EXISTS (SELECT 1 FROM before)`),
		attending: in(`SELECT count(*) FROM leat_attendance WHERE set_name = $1 AND lanes = $2 AND expires > ` + dbNow("$3")),
		absent:    in(`DELETE FROM leat_attendance WHERE set_name = $1 AND expires <= ` + dbNow("$2")),
		leave:     in(`DELETE FROM leat_attendance WHERE set_name = $1 AND owner = $2`),
		freeLanes: in(`SELECT coalesce(array_agg(lane ORDER BY lane), '{}') FROM leat_lanes
			WHERE set_name = $1 AND (released OR expires <= ` + dbNow("$2") + ` OR owner = $3)`),
		releaseLane: in(`UPDATE leat_lanes SET released = true, in_hand = 0, attempts = 0 WHERE set_name = $1 AND lane = $2 AND fence = $3 AND NOT released`),
		noteInHand:  in(`UPDATE leat_lanes SET in_hand = $4, attempts = $5 WHERE set_name = $1 AND lane = $2 AND fence = $3 AND NOT released`),
		fence:       in(`SELECT fence FROM leat_lanes WHERE set_name = $1 AND lane = $2 AND NOT released FOR SHARE`),
		fences:      in(`SELECT lane, fence FROM leat_lanes WHERE set_name = $1 AND lane = ANY($2) AND NOT released ORDER BY lane FOR SHARE`),
		cursorsOf:   in(`SELECT slot, position FROM leat_cursors WHERE set_name = $1`),

		moveCursors: in(`UPDATE leat_cursors c SET position = m.position
			FROM (SELECT slot, max(position) AS position FROM unnest($2::smallint[], $3::bigint[]) w (slot, position) GROUP BY slot) m
			WHERE c.set_name = $1 AND c.slot = m.slot AND c.position < m.position`),
		park: in(`INSERT INTO leat_parked (set_name, position, slot, tenant, partition_key, state, attempts, due, reason) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
			ON CONFLICT (set_name, position) DO UPDATE SET state = CASE leat_parked.state WHEN 'redrive' THEN 'redrive' ELSE excluded.state END,
			attempts = excluded.attempts, due = excluded.due, reason = excluded.reason`),
		parkedAt: in(`SELECT position FROM leat_parked WHERE set_name = $1 AND position = ANY($2)`),
		// A dead letter that was being retried goes with its parked event.
		unpark: in(`WITH gone AS (DELETE FROM leat_parked WHERE set_name = $1 AND position = ANY($2) RETURNING position, state)
			DELETE FROM leat_dead_letters d USING gone WHERE gone.state = 'redrive' AND d.position = gone.position AND d.set_name = $1 AND d.state = 'retrying'`),
		parked: in(`SELECT position, slot, tenant, partition_key, state, attempts, due, reason FROM leat_parked
			WHERE set_name = $1 AND ($2::bigint >> slot) & 1 = 1 ORDER BY position`),
		redrive: in(`INSERT INTO leat_parked (set_name, position, slot, tenant, partition_key, state, attempts, due, reason)
			VALUES ($1, $2, $3, $4, $5, 'redrive', 0, $6, '')
			ON CONFLICT (set_name, position) DO UPDATE SET state = 'redrive', attempts = 0, due = excluded.due`),

		describeTypes: in(`INSERT INTO leat_event_types (type, schema_version, kind) SELECT * FROM unnest($1::text[], $2::integer[], $3::text[]) ORDER BY 1
			ON CONFLICT (type) DO UPDATE SET schema_version = greatest(leat_event_types.schema_version, excluded.schema_version), kind = excluded.kind
			WHERE (leat_event_types.schema_version, leat_event_types.kind) IS DISTINCT FROM (excluded.schema_version, excluded.kind)`),

		letterFrom:   in(`SELECT seq, set_name, position, type, state, attempts, reason, failed, decided, actor, recorded, event FROM leat_dead_letters`),
		letter:       in(`SELECT seq, state, event FROM leat_dead_letters WHERE position IN ($1, -$1::bigint) AND set_name = $2 AND tenant = $3 FOR UPDATE`),
		deleteLetter: in(`DELETE FROM leat_dead_letters WHERE position = $1 AND set_name = $2`),
		insertLetter: in(`INSERT INTO leat_dead_letters (set_name, position, tenant, type, state, attempts, reason, failed, decided, actor, recorded, event)
			VALUES ($1, $2, $3, $4, 'open', $5, $6, $7, 0, '', $8, $9)`),
		// A stray's position is its number below 0, which is never given twice: seq is not.
		buryStray: in(`INSERT INTO leat_dead_letters (seq, position, set_name, tenant, type, state, attempts, reason, failed, decided, actor, recorded, event, stray)
			OVERRIDING SYSTEM VALUE SELECT n, -n, $1, $2, $3, 'open', 1, $4, $5, 0, '', $5, $6, $7 FROM nextval(pg_get_serial_sequence('leat_dead_letters', 'seq')) n
			ON CONFLICT (set_name, stray) WHERE stray IS NOT NULL DO NOTHING`),
		strayTaken: in(`DELETE FROM leat_dead_letters WHERE position = -$1::bigint AND set_name = $2 AND tenant = $3`),
		strayRefused: in(`UPDATE leat_dead_letters SET attempts = attempts + 1, reason = $4, failed = $5
			WHERE position = -$1::bigint AND set_name = $2 AND tenant = $3 AND state = 'open'`),
		decideLetter: in(`UPDATE leat_dead_letters SET state = $1, decided = $2, actor = $3 WHERE seq = $4`),
		countLetters: in(`SELECT set_name, count(*) FROM leat_dead_letters WHERE state = 'open' GROUP BY set_name`),
	}
}
