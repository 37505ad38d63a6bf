-- +goose Up
-- The log's identity: a random UUID that it keeps for ever, copies of the database included.
ALTER TABLE leat_log_state ADD COLUMN identity text NOT NULL DEFAULT '';
UPDATE leat_log_state SET identity = gen_random_uuid()::text;

-- Messages from outside that never became events are dead letters too. Their position is below 0: no
-- place in the log, only a number. stray tells one that comes again; it is null for events.
ALTER TABLE leat_dead_letters ADD COLUMN stray text;
CREATE UNIQUE INDEX leat_dead_letters_stray ON leat_dead_letters (set_name, stray) WHERE stray IS NOT NULL;

-- +goose Down
DELETE FROM leat_dead_letters WHERE stray IS NOT NULL;
DROP INDEX leat_dead_letters_stray;
ALTER TABLE leat_dead_letters DROP COLUMN stray;
ALTER TABLE leat_log_state DROP COLUMN identity;
