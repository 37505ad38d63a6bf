-- +goose Up
CREATE TABLE leat_effects_a (position BIGINT NOT NULL, key TEXT NOT NULL, number BIGINT NOT NULL);
CREATE TABLE leat_effects_b (position BIGINT NOT NULL, key TEXT NOT NULL, number BIGINT NOT NULL);
CREATE TABLE leat_effects_c (position BIGINT NOT NULL, key TEXT NOT NULL, number BIGINT NOT NULL);
CREATE TABLE leat_effects_d (position BIGINT NOT NULL, key TEXT NOT NULL, number BIGINT NOT NULL);

-- +goose Down
DROP TABLE leat_effects_a;
DROP TABLE leat_effects_b;
DROP TABLE leat_effects_c;
DROP TABLE leat_effects_d;
