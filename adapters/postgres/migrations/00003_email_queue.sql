-- +goose Up
CREATE TABLE leat_email_queue (
    seq            bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id             text    NOT NULL UNIQUE,
    status         text    NOT NULL CHECK (status IN ('queued', 'sending', 'sent', 'failed')),

    -- The notification.requested that asked for the mail; its outcome's event continues it.
    tenant         text    NOT NULL,
    source         text    NOT NULL,
    event_id       text    NOT NULL,
    event_subject  text    NOT NULL,
    event_time     bigint  NOT NULL,
    partition_key  text    NOT NULL,
    correlation_id text    NOT NULL,
    causation_id   text    NOT NULL,
    depth          integer NOT NULL,
    actor          text    NOT NULL,
    trace_parent   text    NOT NULL,

    address        text    NOT NULL,
    address_key    text    NOT NULL, -- lowercase
    name           text    NOT NULL,
    role           text    NOT NULL,
    template       text    NOT NULL,
    data           text,             -- JSON; gone when the mail is sent
    subject        text    NOT NULL, -- of the mail; empty until the first attempt, as is message_id
    message_id     text    NOT NULL,

    attempts       integer NOT NULL,
    due            bigint  NOT NULL, -- nobody may claim it before: a pause, or the end of a lease; by the clock of the database
    owner          text    NOT NULL, -- of the lease; empty when nobody has it
    fence          bigint  NOT NULL, -- rises with every claim
    error          text    NOT NULL,
    created        bigint  NOT NULL,
    finished       bigint  NOT NULL  -- 0 until it is sent or failed
);

CREATE UNIQUE INDEX leat_email_queue_identity ON leat_email_queue (tenant, source, event_id, address_key);
CREATE INDEX leat_email_queue_due ON leat_email_queue (due, seq) WHERE finished = 0;
CREATE INDEX leat_email_queue_tenant ON leat_email_queue (tenant, seq);
CREATE INDEX leat_email_queue_status ON leat_email_queue (tenant, status, seq);

-- +goose Down
DROP TABLE leat_email_queue;
