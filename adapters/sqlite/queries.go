package sqlite

import "strings"

// columns of the log in the order in which scan reads them.
const columns = `position, slot, id, source, tenant, type, schema_version, kind, severity, subject, actor, time,
	partition_key, correlation_id, causation_id, depth, trace_parent, recorded, data`

// queries holds the statements with the table prefix in place.
type queries struct {
	// The log.
	findFirst, newestBut, head, first, readAll, readSlots, at, find, identity string
	minimumCursor, prunable, pruneEvents, prunedThrough                       string

	// Handler sets and their lanes.
	setExists, insertSet, updateSet, insertCursors, setPaused                        string
	setClaims, setLanes, parkedOfSet                                                 string
	sets, owners, cursors, parkedCounts, deliveries, backlog, oldest                 string
	lane, takeLane, renewLane, releaseLane, noteInHand                               string
	fenceLanes, liveOwner, oldLanes, dropLanes, newLanes                             string
	attends, attend, attending, absent, leave, freeLanes                             string
	fence, expireLeases, cursor, moveCursor, park, isParked, unpark, parked, redrive string
	deleteSet                                                                        []string

	// Dead letters.
	letter, deleteLetter, insertLetter, handledLetter, decideLetter, countLetters string
	buryStray, strayTaken, strayRefused                                           string
}

func newQueries(prefix string) queries {
	in := func(query string) string { return strings.ReplaceAll(query, defaultPrefix, prefix) }
	return queries{
		findFirst: in(`SELECT position, recorded FROM leat_log WHERE id = ? AND source = ? AND tenant = ?`),
		newestBut: in(`SELECT coalesce((SELECT position FROM leat_log ORDER BY position DESC LIMIT 1 OFFSET ?), 0)`),
		head:      in(`SELECT max(coalesce((SELECT max(position) FROM leat_log), 0), pruned_through) FROM leat_log_state`),
		first:     in(`SELECT coalesce((SELECT min(position) FROM leat_log WHERE position > pruned_through), pruned_through + 1) FROM leat_log_state`),
		readAll:   in(`SELECT ` + columns + ` FROM leat_log WHERE position > ? AND position <= ? ORDER BY position LIMIT ?`),
		readSlots: in(`SELECT ` + columns + ` FROM leat_log WHERE position > ? AND position <= ? AND (? >> slot) & 1 ORDER BY position LIMIT ?`),
		at:        in(`SELECT ` + columns + ` FROM leat_log WHERE position IN (SELECT value FROM json_each(?)) ORDER BY position`),
		find:      in(`SELECT ` + columns + ` FROM leat_log WHERE id = ? AND tenant = ? ORDER BY position DESC LIMIT 1`),

		identity: in(`SELECT identity FROM leat_log_state`),

		minimumCursor: in(`SELECT slot, min(position) FROM leat_cursors GROUP BY slot`),
		prunable: in(`SELECT position, slot FROM leat_log WHERE recorded < ?
			AND NOT EXISTS (SELECT 1 FROM leat_parked p WHERE p.position = leat_log.position)
			AND NOT EXISTS (SELECT 1 FROM leat_dead_letters d WHERE d.position = leat_log.position AND d.state <> 'discarded')
			ORDER BY position`),
		pruneEvents: in(`DELETE FROM leat_log WHERE position IN (SELECT value FROM json_each(?))
			AND NOT EXISTS (SELECT 1 FROM leat_parked p WHERE p.position = leat_log.position)
			AND NOT EXISTS (SELECT 1 FROM leat_dead_letters d WHERE d.position = leat_log.position AND d.state <> 'discarded')`),
		prunedThrough: in(`UPDATE leat_log_state SET pruned_through = max(pruned_through, ?)`),

		setExists: in(`SELECT count(*) FROM leat_sets WHERE name = ?`),
		setClaims: in(`SELECT types, lanes FROM leat_sets WHERE name = ?`),
		setLanes:  in(`UPDATE leat_sets SET lanes = ? WHERE name = ?`),
		insertSet: in(`INSERT INTO leat_sets (name, types, paused, begins, registered) VALUES (?, ?, 0, ?, ?)`),
		updateSet: in(`UPDATE leat_sets SET types = ? WHERE name = ?`),
		insertCursors: in(`INSERT INTO leat_cursors (set_name, slot, position)
			WITH RECURSIVE slots (slot) AS (VALUES (0) UNION ALL SELECT slot + 1 FROM slots WHERE slot + 1 < ?)
			SELECT ?, slot, ? FROM slots`),
		deleteSet: []string{
			in(`DELETE FROM leat_parked WHERE set_name = ?`),
			in(`DELETE FROM leat_cursors WHERE set_name = ?`),
			// The fences stay: a set of the same name may come, and the old owners of its lanes too.
			in(`UPDATE leat_lanes SET owner = '', expires = 0, in_hand = 0, attempts = 0, released = 1 WHERE set_name = ?`),
			in(`DELETE FROM leat_sets WHERE name = ?`),
		},
		parkedOfSet:  in(`SELECT count(*) FROM leat_parked WHERE set_name = ?`),
		sets:         in(`SELECT name, types, paused, lanes FROM leat_sets`),
		owners:       in(`SELECT set_name, owner, count(*) FROM leat_lanes WHERE released = 0 AND expires > ? GROUP BY set_name, owner`),
		cursors:      in(`SELECT set_name, slot, position FROM leat_cursors`),
		parkedCounts: in(`SELECT set_name, count(*) FILTER (WHERE state <> 'redrive'), count(*) FILTER (WHERE state = 'redrive') FROM leat_parked GROUP BY set_name`),
		setPaused:    in(`UPDATE leat_sets SET paused = ? WHERE name = ?`),

		lane:     in(`SELECT owner, fence, expires, in_hand, attempts, released FROM leat_lanes WHERE set_name = ? AND lane = ?`),
		takeLane: in(`UPDATE leat_lanes SET owner = ?, fence = ?, expires = ?, released = 0 WHERE set_name = ? AND lane = ?`),
		// An owner that is alive loses its lane as if it had let go; one that is dead has died nevertheless.
		fenceLanes: in(`UPDATE leat_lanes SET fence = fence + 1, released = max(released, expires > ?2),
			in_hand = iif(expires > ?2, 0, in_hand), attempts = iif(expires > ?2, 0, attempts) WHERE set_name = ?1`),
		liveOwner: in(`SELECT coalesce(min(owner), '') FROM leat_lanes WHERE set_name = ? AND released = 0 AND expires > ?`),
		oldLanes:  in(`SELECT coalesce(max(fence), 0), coalesce(min(released), 1) FROM leat_lanes WHERE set_name = ?`),
		dropLanes: in(`DELETE FROM leat_lanes WHERE set_name = ?`),
		newLanes: in(`INSERT INTO leat_lanes (set_name, lane, owner, fence, expires, in_hand, attempts, released)
			WITH RECURSIVE lanes (lane) AS (VALUES (0) UNION ALL SELECT lane + 1 FROM lanes WHERE lane + 1 < ?)
			SELECT ?, lane, '', ?, 0, 0, 0, ? FROM lanes`),
		attends:   in(`SELECT count(*) FROM leat_attendance WHERE set_name = ? AND owner = ? AND lanes = ? AND expires > ?`),
		attend:    in(`INSERT OR REPLACE INTO leat_attendance (set_name, owner, lanes, expires) VALUES (?, ?, ?, ?)`),
		attending: in(`SELECT count(*) FROM leat_attendance WHERE set_name = ? AND lanes = ? AND expires > ?`),
		absent:    in(`DELETE FROM leat_attendance WHERE set_name = ? AND expires <= ?`),
		leave:     in(`DELETE FROM leat_attendance WHERE set_name = ? AND owner = ?`),
		freeLanes: in(`SELECT coalesce(json_group_array(lane), '[]') FROM (SELECT lane FROM leat_lanes
			WHERE set_name = ? AND (released = 1 OR expires <= ? OR owner = ?) ORDER BY lane)`),
		renewLane:    in(`UPDATE leat_lanes SET expires = ? WHERE set_name = ? AND lane = ? AND fence = ? AND released = 0`),
		releaseLane:  in(`UPDATE leat_lanes SET released = 1, in_hand = 0, attempts = 0 WHERE set_name = ? AND lane = ? AND fence = ? AND released = 0`),
		noteInHand:   in(`UPDATE leat_lanes SET in_hand = ?, attempts = ? WHERE set_name = ? AND lane = ?`),
		fence:        in(`SELECT fence FROM leat_lanes WHERE set_name = ? AND lane = ? AND released = 0`),
		expireLeases: in(`UPDATE leat_lanes SET expires = 0 WHERE released = 0`),

		cursor:     in(`SELECT position FROM leat_cursors WHERE set_name = ? AND slot = ?`),
		moveCursor: in(`UPDATE leat_cursors SET position = ?1 WHERE set_name = ?2 AND slot = ?3 AND position < ?1`),
		park: in(`INSERT INTO leat_parked (set_name, position, slot, tenant, partition_key, state, attempts, due, reason) VALUES (?,?,?,?,?,?,?,?,?)
			ON CONFLICT (set_name, position) DO UPDATE SET state = CASE leat_parked.state WHEN 'redrive' THEN 'redrive' ELSE excluded.state END,
			attempts = excluded.attempts, due = excluded.due, reason = excluded.reason`),
		isParked: in(`SELECT EXISTS (SELECT 1 FROM leat_parked WHERE set_name = ? AND position = ?)`),
		unpark:   in(`DELETE FROM leat_parked WHERE set_name = ? AND position = ? RETURNING state`),
		parked: in(`SELECT position, slot, tenant, partition_key, state, attempts, due, reason FROM leat_parked
			WHERE set_name = ? AND (? >> slot) & 1 ORDER BY position`),

		deleteLetter: in(`DELETE FROM leat_dead_letters WHERE position = ? AND set_name = ?`),
		insertLetter: in(`INSERT INTO leat_dead_letters (set_name, position, tenant, type, state, attempts, reason, failed, decided, actor, recorded, event)
			VALUES (?, ?, ?, ?, 'open', ?, ?, ?, 0, '', ?, ?)`),
		// A stray's position is its number below 0, which is never given twice: seq is not.
		letter: in(`SELECT seq, state, event FROM leat_dead_letters WHERE position IN (?1, -?1) AND set_name = ?2 AND tenant = ?3`),
		buryStray: in(`INSERT INTO leat_dead_letters (set_name, position, tenant, type, state, attempts, reason, failed, decided, actor, recorded, event, stray)
			VALUES (?, -1 - coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'leat_dead_letters'), 0), ?, ?, 'open', 1, ?, ?, 0, '', ?, ?, ?)
			ON CONFLICT (set_name, stray) WHERE stray IS NOT NULL DO NOTHING`),
		strayTaken: in(`DELETE FROM leat_dead_letters WHERE position = -? AND set_name = ? AND tenant = ?`),
		strayRefused: in(`UPDATE leat_dead_letters SET attempts = attempts + 1, reason = ?, failed = ?
			WHERE position = -? AND set_name = ? AND tenant = ? AND state = 'open'`),
		decideLetter: in(`UPDATE leat_dead_letters SET state = ?, decided = ?, actor = ? WHERE seq = ?`),
		redrive: in(`INSERT INTO leat_parked (set_name, position, slot, tenant, partition_key, state, attempts, due, reason)
			VALUES (?, ?, ?, ?, ?, 'redrive', 0, ?, '')
			ON CONFLICT (set_name, position) DO UPDATE SET state = 'redrive', attempts = 0, due = excluded.due`),
		countLetters: in(`SELECT set_name, count(*) FROM leat_dead_letters WHERE state = 'open' GROUP BY set_name`),

		deliveries: in(`SELECT s.name, s.types, s.begins, c.position,
				coalesce(p.state, ''), coalesce(p.attempts, 0), coalesce(p.due, 0), coalesce(p.reason, ''),
				coalesce(d.state, ''), coalesce(d.attempts, 0), coalesce(d.reason, '')
			FROM leat_sets s JOIN leat_cursors c ON c.set_name = s.name
			LEFT JOIN leat_parked p ON p.set_name = s.name AND p.position = ?1
			LEFT JOIN leat_dead_letters d ON d.set_name = s.name AND d.position = ?1
			WHERE c.slot = ?2`),
		// CROSS JOIN keeps the order: one walk over at most ?1 events of the log for each set.
		backlog: in(`WITH low AS (SELECT set_name, min(position) AS position FROM leat_cursors GROUP BY set_name)
			SELECT s.name, (SELECT count(*) FROM (SELECT position, slot, type FROM leat_log WHERE position > low.position ORDER BY position LIMIT ?1) l
					CROSS JOIN leat_cursors c ON c.set_name = s.name AND c.slot = l.slot
					WHERE l.position > c.position AND l.type IN (SELECT value FROM json_each(s.types)))
				+ coalesce((SELECT max(position) FROM leat_log)
					- (SELECT max(position) FROM (SELECT position FROM leat_log WHERE position > low.position ORDER BY position LIMIT ?1)), 0)
			FROM leat_sets s JOIN low ON low.set_name = s.name`),
		oldest: in(`WITH low AS (SELECT set_name, min(position) AS position FROM leat_cursors GROUP BY set_name), first AS (
				SELECT s.name, coalesce((SELECT l.position FROM (SELECT position, slot, type FROM leat_log WHERE position > low.position ORDER BY position LIMIT ?1) l
						CROSS JOIN leat_cursors c ON c.set_name = s.name AND c.slot = l.slot
						WHERE l.position > c.position AND l.type IN (SELECT value FROM json_each(s.types)) LIMIT 1),
					(SELECT position FROM leat_log WHERE position > low.position ORDER BY position LIMIT 1 OFFSET ?1 - 1)) AS ahead,
					(SELECT position FROM leat_parked WHERE set_name = s.name AND state <> 'redrive' ORDER BY position LIMIT 1) AS parked
				FROM leat_sets s JOIN low ON low.set_name = s.name)
			SELECT name, coalesce((SELECT recorded FROM leat_log WHERE position = min(coalesce(ahead, parked), coalesce(parked, ahead))), 0) FROM first`),

		handledLetter: in(`DELETE FROM leat_dead_letters WHERE position = ? AND set_name = ? AND state = 'retrying'`),
	}
}
