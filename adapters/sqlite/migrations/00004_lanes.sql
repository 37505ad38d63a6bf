-- +goose Up

-- With how many lanes a set is worked; 0 when nobody has said so.
ALTER TABLE leat_sets ADD COLUMN lanes INTEGER NOT NULL DEFAULT 0;

-- The processes that work a set, or would if there were more lanes.
CREATE TABLE leat_attendance (
    set_name TEXT NOT NULL,
    owner    TEXT NOT NULL,
    lanes    INTEGER NOT NULL,
    expires  INTEGER NOT NULL,
    PRIMARY KEY (set_name, owner)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE leat_attendance;
ALTER TABLE leat_sets DROP COLUMN lanes;
