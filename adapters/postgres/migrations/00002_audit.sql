-- +goose Up
CREATE TABLE leat_audit (
    position       bigint PRIMARY KEY, -- of the event in the log
    id             text   NOT NULL,
    tenant         text   NOT NULL,
    time           bigint NOT NULL, -- microseconds since the epoch, UTC, as is recorded
    actor          text   NOT NULL,
    type           text   NOT NULL,
    subject        text   NOT NULL,
    event_id       text   NOT NULL,
    correlation_id text   NOT NULL,
    changes        text, -- JSON
    recorded       bigint NOT NULL
);

CREATE INDEX leat_audit_tenant ON leat_audit (tenant, position);
CREATE INDEX leat_audit_subject ON leat_audit (tenant, subject, position) WHERE subject <> '';

-- +goose Down
DROP TABLE leat_audit;
