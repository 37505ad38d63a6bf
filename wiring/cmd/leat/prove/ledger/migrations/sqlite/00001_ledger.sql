-- +goose Up
-- Every call of the set "ledger" that was committed, in the order of the calls.
CREATE TABLE leat_ledger (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant   TEXT   NOT NULL,
    event_id TEXT   NOT NULL,
    key      TEXT   NOT NULL,
    number   BIGINT NOT NULL,
    position BIGINT NOT NULL,
    redriven BIGINT NOT NULL, -- 0 or 1
    at       BIGINT NOT NULL  -- when, in nanoseconds since 1970
);
