-- +goose Up

-- With how many lanes a set is worked; 0 when nobody has said so.
ALTER TABLE leat_sets ADD COLUMN lanes integer NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE leat_sets DROP COLUMN lanes;
