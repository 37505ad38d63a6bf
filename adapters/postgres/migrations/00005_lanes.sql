-- +goose Up

-- With how many lanes a set is worked; 0 when nobody has said so.
ALTER TABLE leat_sets ADD COLUMN lanes integer NOT NULL DEFAULT 0;

-- The processes that work a set, or would if there were more lanes.
CREATE TABLE leat_attendance (
    set_name text NOT NULL,
    owner    text NOT NULL,
    lanes    integer NOT NULL,
    expires  bigint NOT NULL,
    PRIMARY KEY (set_name, owner)
) WITH (fillfactor = 50);

-- +goose Down
DROP TABLE leat_attendance;
ALTER TABLE leat_sets DROP COLUMN lanes;
