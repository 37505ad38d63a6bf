-- +goose Up

-- Every accepted event, in the order of insertion, which is not the order of commits: readers go
-- by leat_positions. Each further index would cost every publisher.
CREATE TABLE leat_log (
    seq            bigint   GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    time           bigint   NOT NULL,
    recorded       bigint   NOT NULL,
    schema_version integer  NOT NULL,
    depth          integer  NOT NULL,
    slot           smallint NOT NULL,
    id             text     NOT NULL,
    source         text     NOT NULL,
    tenant         text     NOT NULL,
    type           text     NOT NULL,
    kind           text     NOT NULL,
    severity       text     NOT NULL,
    subject        text     NOT NULL,
    actor          text     NOT NULL,
    partition_key  text     NOT NULL,
    correlation_id text     NOT NULL,
    causation_id   text     NOT NULL,
    trace_parent   text     NOT NULL,
    data           bytea    NOT NULL
);
CREATE UNIQUE INDEX leat_log_identity ON leat_log (id, source, tenant);

-- What has no position yet. A row is there for some milliseconds, so the table stays small; it
-- must be vacuumed by its churn and not by its size.
CREATE TABLE leat_unsequenced (
    seq  bigint   PRIMARY KEY,
    slot smallint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_insert_scale_factor = 0);

-- Written by the active sequencer only.
CREATE TABLE leat_positions (
    position bigint   PRIMARY KEY,
    seq      bigint   NOT NULL UNIQUE,
    slot     smallint NOT NULL
);

-- One row: everything after pruned_through is kept.
CREATE TABLE leat_log_state (
    one            integer PRIMARY KEY CHECK (one = 1),
    pruned_through bigint  NOT NULL
);
INSERT INTO leat_log_state (one, pruned_through) VALUES (1, 0);

CREATE TABLE leat_sets (
    name       text    PRIMARY KEY,
    types      text[]  NOT NULL, -- sorted
    paused     boolean NOT NULL,
    begins     bigint  NOT NULL, -- the set knows nothing of positions up to this one
    registered bigint  NOT NULL
);

CREATE TABLE leat_cursors (
    set_name text     NOT NULL,
    slot     smallint NOT NULL,
    position bigint   NOT NULL,
    PRIMARY KEY (set_name, slot)
) WITH (fillfactor = 30, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

CREATE TABLE leat_lanes (
    set_name text    NOT NULL,
    lane     integer NOT NULL,
    owner    text    NOT NULL,
    fence    bigint  NOT NULL,
    expires  bigint  NOT NULL, -- by the clock of the database
    in_hand  bigint  NOT NULL,
    attempts integer NOT NULL,
    released boolean NOT NULL,
    PRIMARY KEY (set_name, lane)
) WITH (fillfactor = 50);

CREATE TABLE leat_parked (
    set_name      text     NOT NULL,
    position      bigint   NOT NULL,
    slot          smallint NOT NULL,
    tenant        text     NOT NULL,
    partition_key text     NOT NULL,
    state         text     NOT NULL,
    attempts      integer  NOT NULL,
    due           bigint   NOT NULL,
    reason        text     NOT NULL,
    PRIMARY KEY (set_name, position)
);
CREATE INDEX leat_parked_position ON leat_parked (position);

CREATE TABLE leat_dead_letters (
    seq      bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- the order in which people see them
    set_name text    NOT NULL,
    position bigint  NOT NULL,
    tenant   text    NOT NULL,
    type     text    NOT NULL,
    state    text    NOT NULL,
    attempts integer NOT NULL,
    reason   text    NOT NULL,
    failed   bigint  NOT NULL,
    decided  bigint  NOT NULL, -- 0 while open
    actor    text    NOT NULL,
    recorded bigint  NOT NULL,
    event    text    NOT NULL  -- CloudEvent in JSON format
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
DROP TABLE leat_positions;
DROP TABLE leat_unsequenced;
DROP TABLE leat_log;
