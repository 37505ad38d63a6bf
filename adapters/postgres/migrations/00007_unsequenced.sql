-- +goose Up

-- One row for all that one statement appended, at most 400 events: their numbers and slots by number,
-- the lowest as key. A row for each event cost the publisher and the sequencer more than the positions
-- themselves. Such a row fits into a page, so nothing of it is compressed or put elsewhere.
CREATE TABLE leat_unsequenced_rows (
    seq   bigint     PRIMARY KEY,
    n     integer    NOT NULL,
    seqs  bigint[]   NOT NULL,
    slots smallint[] NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_insert_scale_factor = 0);
ALTER TABLE leat_unsequenced_rows ALTER seqs SET STORAGE PLAIN, ALTER slots SET STORAGE PLAIN;
LOCK TABLE leat_unsequenced;
INSERT INTO leat_unsequenced_rows (seq, n, seqs, slots) SELECT seq, 1, ARRAY[seq], ARRAY[slot] FROM leat_unsequenced;
DROP TABLE leat_unsequenced;
ALTER TABLE leat_unsequenced_rows RENAME TO leat_unsequenced;
ALTER INDEX leat_unsequenced_rows_pkey RENAME TO leat_unsequenced_pkey;

-- What a publisher inserts is checked as the publish API would, as far as SQL can: everything but the
-- JSON Schema of the data. An event that the log holds already is left out, as the API does.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION leat_topic_insert() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
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

    PERFORM pg_current_xact_id(); -- before the row has a number; the sequencer counts on it
    INSERT INTO leat_log (slot, id, source, tenant, type, schema_version, kind, severity, subject, actor, time,
        partition_key, correlation_id, causation_id, depth, trace_parent, recorded, data)
    VALUES (leat_slot(e.tenant, e.partition_key), e.id, e.source, e.tenant, e.type, e.schema_version, e.kind, e.severity, e.subject, e.actor, e.time,
        e.partition_key, e.correlation_id, e.causation_id, e.depth, e.trace_parent, now_us, e.data)
    ON CONFLICT (id, source, tenant) DO NOTHING
    RETURNING seq, slot INTO e.seq, e.slot;
    IF FOUND THEN
        INSERT INTO leat_unsequenced (seq, n, seqs, slots) VALUES (e.seq, 1, ARRAY[e.seq], ARRAY[e.slot]);
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd

-- +goose Down
CREATE TABLE leat_unsequenced_rows (
    seq  bigint   PRIMARY KEY,
    slot smallint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_insert_scale_factor = 0);
LOCK TABLE leat_unsequenced;
INSERT INTO leat_unsequenced_rows (seq, slot) SELECT u.seq, u.slot FROM leat_unsequenced, unnest(seqs, slots) u (seq, slot);
DROP TABLE leat_unsequenced;
ALTER TABLE leat_unsequenced_rows RENAME TO leat_unsequenced;
ALTER INDEX leat_unsequenced_rows_pkey RENAME TO leat_unsequenced_pkey;

-- What a publisher inserts is checked as the publish API would, as far as SQL can: everything but the
-- JSON Schema of the data. An event that the log holds already is left out, as the API does.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION leat_topic_insert() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
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

    PERFORM pg_current_xact_id(); -- before the row has a number; the sequencer counts on it
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
