-- +goose Up

-- What the programs on this log know; the topic below accepts nothing else.
CREATE TABLE leat_event_types (
    type           text    PRIMARY KEY,
    schema_version integer NOT NULL,
    kind           text    NOT NULL
);

-- event.SlotOf: FNV-1a, 32 bits, of the tenant, a zero byte and the key.
-- +goose StatementBegin
CREATE FUNCTION leat_slot(tenant text, key text) RETURNS smallint LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    bytes bytea := convert_to(tenant, 'UTF8') || '\x00'::bytea || convert_to(key, 'UTF8');
    h bigint := 2166136261;
BEGIN
    FOR i IN 0 .. octet_length(bytes) - 1 LOOP
        h := ((h # get_byte(bytes, i)) * 16777619) & 4294967295;
    END LOOP;
    RETURN (h # (h >> 16)) % 64;
END $$;
-- +goose StatementEnd

-- The log as a topic of watermill-sql's default PostgreSQL schema. A subscriber orders by transaction and
-- offset and leaves out transactions that are still under way; as positions are given after the
-- commit, one constant transaction is right for all.
CREATE VIEW leat_topic_events AS
SELECT p.position AS "offset",
       l.id AS uuid,
       timestamp 'epoch' + l.recorded * interval '1 microsecond' AS created_at,
       convert_from(l.data, 'UTF8')::json AS payload,
       json_strip_nulls(json_build_object(
           'ce-specversion', '1.0',
           'ce-id', l.id,
           'ce-type', l.type,
           'ce-source', l.source,
           'ce-time', to_char(timestamp 'epoch' + l.time * interval '1 microsecond', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
           'ce-subject', nullif(l.subject, ''),
           'ce-datacontenttype', 'application/json',
           'ce-tenantid', l.tenant,
           'ce-actor', nullif(l.actor, ''),
           'ce-correlationid', nullif(l.correlation_id, ''),
           'correlation_id', nullif(l.correlation_id, ''),
           'ce-causationid', nullif(l.causation_id, ''),
           'ce-causationdepth', nullif(l.depth, 0)::text,
           'ce-partitionkey', nullif(l.partition_key, ''),
           'ce-schemaversion', l.schema_version::text,
           'ce-kind', l.kind,
           'ce-severity', nullif(l.severity, ''),
           'traceparent', nullif(l.trace_parent, ''),
           'leat-position', p.position::text,
           'leat-recorded', to_char(timestamp 'epoch' + l.recorded * interval '1 microsecond', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
       )) AS metadata,
       '1'::xid8 AS transaction_id
FROM leat_positions p JOIN leat_log l ON l.seq = p.seq;

-- What a publisher inserts is checked as the publish API would, as far as SQL can: everything but the
-- JSON Schema of the data. An event that the log holds already is left out, as the API does.
-- +goose StatementBegin
CREATE FUNCTION leat_topic_insert() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    m json := coalesce(NEW.metadata, '{}'::json);
    e leat_log%ROWTYPE;
    known leat_event_types%ROWTYPE;
    now_us bigint := extract(epoch FROM clock_timestamp()) * 1000000;
    fault text;
    number text;
BEGIN
    IF m ->> 'ce-specversion' IS DISTINCT FROM '1.0' THEN
        RAISE EXCEPTION 'ce-specversion: want "1.0"' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    e.id := coalesce(m ->> 'ce-id', NEW.uuid, '');
    e.type := coalesce(m ->> 'ce-type', '');
    e.source := coalesce(m ->> 'ce-source', '');
    e.tenant := coalesce(m ->> 'ce-tenantid', '');
    e.subject := coalesce(m ->> 'ce-subject', '');
    e.actor := coalesce(m ->> 'ce-actor', '');
    e.causation_id := coalesce(m ->> 'ce-causationid', '');
    e.correlation_id := coalesce(nullif(m ->> 'ce-correlationid', ''), nullif(m ->> 'correlation_id', ''), e.id);
    e.partition_key := coalesce(nullif(m ->> 'ce-partitionkey', ''), nullif(e.subject, ''), e.id);
    e.severity := coalesce(m ->> 'ce-severity', '');
    e.trace_parent := coalesce(m ->> 'traceparent', '');

    IF e.tenant !~ '^[A-Za-z0-9_-]{1,64}$' THEN
        RAISE EXCEPTION 'ce-tenantid: want 1 to 64 letters, digits, "-" and "_", got "%"', left(e.tenant, 80) USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF octet_length(e.type) > 128 OR e.type !~ '^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$' THEN
        RAISE EXCEPTION 'ce-type: "%" is no event type such as "build.started"', left(e.type, 140) USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT * INTO known FROM leat_event_types WHERE type = e.type;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'ce-type: nobody here knows the event type "%"', e.type USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT name || CASE
            WHEN value = '' AND needed THEN ': must not be empty'
            WHEN octet_length(value) > most THEN ': is ' || octet_length(value) || ' bytes long; the limit is ' || most
            ELSE ': must not hold control characters' END INTO fault
    FROM (VALUES ('ce-id', e.id, 128, true), ('ce-source', e.source, 128, true), ('ce-subject', e.subject, 256, false),
            ('ce-partitionkey', e.partition_key, 256, true), ('ce-actor', e.actor, 256, false), ('ce-correlationid', e.correlation_id, 128, false),
            ('ce-causationid', e.causation_id, 128, false), ('traceparent', e.trace_parent, 256, false)) a (name, value, most, needed)
    WHERE value = '' AND needed OR octet_length(value) > most OR value ~ '[\x01-\x1f\x7f]' LIMIT 1;
    IF fault IS NOT NULL THEN
        RAISE EXCEPTION '%', fault USING ERRCODE = 'invalid_parameter_value';
    END IF;

    e.kind := known.kind;
    IF coalesce(nullif(m ->> 'ce-kind', ''), known.kind) <> known.kind THEN
        RAISE EXCEPTION 'ce-kind: "%" is a % event', e.type, known.kind USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF e.severity NOT IN ('urgent', 'high', 'medium', 'low') AND (e.severity <> '' OR e.kind = 'alert') THEN
        RAISE EXCEPTION 'ce-severity: want urgent, high, medium or low' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    number := coalesce(nullif(m ->> 'ce-schemaversion', ''), known.schema_version::text);
    IF number !~ '^[1-9][0-9]{0,8}$' OR number::integer > known.schema_version THEN
        RAISE EXCEPTION 'ce-schemaversion: "%" has the versions 1 to %', e.type, known.schema_version USING ERRCODE = 'invalid_parameter_value';
    END IF;
    e.schema_version := number;
    number := coalesce(nullif(m ->> 'ce-causationdepth', ''), '0');
    IF number !~ '^[0-9]{1,9}$' OR number::integer > 32 THEN
        RAISE EXCEPTION 'ce-causationdepth: want 0 to 32' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    e.depth := number;
    IF coalesce(nullif(m ->> 'ce-datacontenttype', ''), 'application/json') NOT LIKE 'application/json%' THEN
        RAISE EXCEPTION 'ce-datacontenttype: want application/json' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF NEW.payload IS NULL THEN
        RAISE EXCEPTION 'payload: is missing' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    e.data := convert_to(NEW.payload::text, 'UTF8');
    IF octet_length(e.data) > 262144 THEN
        RAISE EXCEPTION 'payload: is % bytes long; the limit is 262144', octet_length(e.data) USING ERRCODE = 'invalid_parameter_value';
    END IF;
    BEGIN
        e.time := coalesce((extract(epoch FROM nullif(m ->> 'ce-time', '')::timestamptz) * 1000000)::bigint, now_us);
    EXCEPTION WHEN data_exception THEN
        RAISE EXCEPTION 'ce-time: "%" is no time', left(m ->> 'ce-time', 60) USING ERRCODE = 'invalid_parameter_value';
    END;

    INSERT INTO leat_log (slot, id, source, tenant, type, schema_version, kind, severity, subject, actor, time,
        partition_key, correlation_id, causation_id, depth, trace_parent, recorded, data)
    VALUES (leat_slot(e.tenant, e.partition_key), e.id, e.source, e.tenant, e.type, e.schema_version, e.kind, e.severity, e.subject, e.actor, e.time,
        e.partition_key, e.correlation_id, e.causation_id, e.depth, e.trace_parent, now_us, e.data)
    ON CONFLICT (id, source, tenant) DO NOTHING
    RETURNING seq, slot INTO e.seq, e.slot;
    IF FOUND THEN
        INSERT INTO leat_unsequenced (seq, slot) VALUES (e.seq, e.slot);
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd

CREATE TRIGGER leat_topic_insert INSTEAD OF INSERT ON leat_topic_events FOR EACH ROW EXECUTE FUNCTION leat_topic_insert();

-- +goose Down
DROP VIEW leat_topic_events;
DROP FUNCTION leat_topic_insert();
DROP FUNCTION leat_slot(text, text);
DROP TABLE leat_event_types;
