-- +goose Up
CREATE TABLE leat_audit (
    position       INTEGER PRIMARY KEY, -- of the event in the log
    id             TEXT    NOT NULL,
    tenant         TEXT    NOT NULL,
    time           INTEGER NOT NULL, -- microseconds since the epoch, UTC, as is recorded
    actor          TEXT    NOT NULL,
    type           TEXT    NOT NULL,
    subject        TEXT    NOT NULL,
    event_id       TEXT    NOT NULL,
    correlation_id TEXT    NOT NULL,
    changes        TEXT, -- JSON
    recorded       INTEGER NOT NULL
) STRICT;

CREATE INDEX leat_audit_tenant ON leat_audit (tenant, position);
CREATE INDEX leat_audit_subject ON leat_audit (tenant, subject, position) WHERE subject <> '';

-- +goose Down
DROP TABLE leat_audit;
