-- +goose Up
CREATE TABLE leat_email_queue (
    seq            INTEGER PRIMARY KEY AUTOINCREMENT,
    id             TEXT    NOT NULL UNIQUE,
    status         TEXT    NOT NULL CHECK (status IN ('queued', 'sending', 'sent', 'failed')),

    -- The notification.requested that asked for the mail; its outcome's event continues it.
    tenant         TEXT    NOT NULL,
    source         TEXT    NOT NULL,
    event_id       TEXT    NOT NULL,
    event_subject  TEXT    NOT NULL,
    event_time     INTEGER NOT NULL,
    partition_key  TEXT    NOT NULL,
    correlation_id TEXT    NOT NULL,
    causation_id   TEXT    NOT NULL,
    depth          INTEGER NOT NULL,
    actor          TEXT    NOT NULL,
    trace_parent   TEXT    NOT NULL,

    address        TEXT    NOT NULL,
    address_key    TEXT    NOT NULL, -- lowercase
    name           TEXT    NOT NULL,
    role           TEXT    NOT NULL,
    template       TEXT    NOT NULL,
    data           TEXT,             -- JSON; gone when the mail is sent
    subject        TEXT    NOT NULL, -- of the mail; empty until the first attempt, as is message_id
    message_id     TEXT    NOT NULL,

    attempts       INTEGER NOT NULL,
    due            INTEGER NOT NULL, -- nobody may claim it before: a pause, or the end of a lease
    owner          TEXT    NOT NULL, -- of the lease; empty when nobody has it
    fence          INTEGER NOT NULL, -- rises with every claim
    error          TEXT    NOT NULL,
    created        INTEGER NOT NULL,
    finished       INTEGER NOT NULL  -- 0 until it is sent or failed
) STRICT;

CREATE UNIQUE INDEX leat_email_queue_identity ON leat_email_queue (tenant, source, event_id, address_key);
CREATE INDEX leat_email_queue_due ON leat_email_queue (due, seq) WHERE finished = 0;
CREATE INDEX leat_email_queue_tenant ON leat_email_queue (tenant, seq);
CREATE INDEX leat_email_queue_status ON leat_email_queue (tenant, status, seq);

-- +goose Down
DROP TABLE leat_email_queue;
