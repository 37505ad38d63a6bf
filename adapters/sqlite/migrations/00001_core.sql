-- +goose Up

-- Every accepted event. Each further index would cost every publisher: people's searches walk the
-- primary key instead.
CREATE TABLE leat_log (
    position       INTEGER PRIMARY KEY AUTOINCREMENT,
    slot           INTEGER NOT NULL,
    id             TEXT    NOT NULL,
    source         TEXT    NOT NULL,
    tenant         TEXT    NOT NULL,
    type           TEXT    NOT NULL,
    schema_version INTEGER NOT NULL,
    kind           TEXT    NOT NULL,
    severity       TEXT    NOT NULL,
    subject        TEXT    NOT NULL,
    actor          TEXT    NOT NULL,
    time           INTEGER NOT NULL,
    partition_key  TEXT    NOT NULL,
    correlation_id TEXT    NOT NULL,
    causation_id   TEXT    NOT NULL,
    depth          INTEGER NOT NULL,
    trace_parent   TEXT    NOT NULL,
    recorded       INTEGER NOT NULL,
    data           BLOB    NOT NULL
);
CREATE UNIQUE INDEX leat_log_identity ON leat_log (id, source, tenant);

-- One row: everything after pruned_through is kept.
CREATE TABLE leat_log_state (
    one            INTEGER PRIMARY KEY CHECK (one = 1),
    pruned_through INTEGER NOT NULL
);
INSERT INTO leat_log_state (one, pruned_through) VALUES (1, 0);

CREATE TABLE leat_sets (
    name       TEXT    NOT NULL PRIMARY KEY,
    types      TEXT    NOT NULL, -- JSON array, sorted
    paused     INTEGER NOT NULL,
    begins     INTEGER NOT NULL, -- the set knows nothing of positions up to this one
    registered INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE leat_cursors (
    set_name TEXT    NOT NULL,
    slot     INTEGER NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (set_name, slot)
) WITHOUT ROWID;

CREATE TABLE leat_lanes (
    set_name TEXT    NOT NULL,
    lane     INTEGER NOT NULL,
    owner    TEXT    NOT NULL,
    fence    INTEGER NOT NULL,
    expires  INTEGER NOT NULL,
    in_hand  INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    released INTEGER NOT NULL,
    PRIMARY KEY (set_name, lane)
) WITHOUT ROWID;

CREATE TABLE leat_parked (
    set_name      TEXT    NOT NULL,
    position      INTEGER NOT NULL,
    slot          INTEGER NOT NULL,
    tenant        TEXT    NOT NULL,
    partition_key TEXT    NOT NULL,
    state         TEXT    NOT NULL,
    attempts      INTEGER NOT NULL,
    due           INTEGER NOT NULL,
    reason        TEXT    NOT NULL,
    PRIMARY KEY (set_name, position)
) WITHOUT ROWID;
CREATE INDEX leat_parked_position ON leat_parked (position);

CREATE TABLE leat_dead_letters (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT, -- the order in which people see them
    set_name TEXT    NOT NULL,
    position INTEGER NOT NULL,
    tenant   TEXT    NOT NULL,
    type     TEXT    NOT NULL,
    state    TEXT    NOT NULL,
    attempts INTEGER NOT NULL,
    reason   TEXT    NOT NULL,
    failed   INTEGER NOT NULL,
    decided  INTEGER NOT NULL, -- 0 while open
    actor    TEXT    NOT NULL,
    recorded INTEGER NOT NULL,
    event    TEXT    NOT NULL  -- CloudEvent in JSON format
);
CREATE UNIQUE INDEX leat_dead_letters_place ON leat_dead_letters (position, set_name);
CREATE INDEX leat_dead_letters_tenant ON leat_dead_letters (tenant, seq);

-- +goose Down
DROP TABLE leat_dead_letters;
DROP TABLE leat_parked;
DROP TABLE leat_lanes;
DROP TABLE leat_cursors;
DROP TABLE leat_sets;
DROP TABLE leat_log_state;
DROP TABLE leat_log;
