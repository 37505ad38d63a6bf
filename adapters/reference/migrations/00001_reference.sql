-- +goose Up
-- Times are microseconds since the epoch, UTC; 0: none. version counts the saves of a row.
CREATE TABLE leat_reference_tenants (
    id         TEXT    NOT NULL PRIMARY KEY,
    operator   TEXT    NOT NULL, -- the tenant on whose behalf it was created
    name       TEXT    NOT NULL,
    email      TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    version    INTEGER NOT NULL
) STRICT;

CREATE INDEX leat_reference_tenants_operator ON leat_reference_tenants (operator, id);

CREATE TABLE leat_reference_projects (
    tenant      TEXT    NOT NULL,
    id          TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    description TEXT    NOT NULL,
    assignee    TEXT    NOT NULL, -- a mail address, or empty
    watchers    TEXT    NOT NULL, -- a JSON array of mail addresses
    archived    INTEGER NOT NULL, -- 0 or 1
    created_at  INTEGER NOT NULL,
    version     INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE leat_reference_builds (
    tenant      TEXT    NOT NULL,
    id          TEXT    NOT NULL,
    project_id  TEXT    NOT NULL,
    image       TEXT    NOT NULL,
    state       TEXT    NOT NULL,
    percent     INTEGER NOT NULL,
    stage       TEXT    NOT NULL,
    reason      TEXT    NOT NULL,
    queued_at   INTEGER NOT NULL,
    started_at  INTEGER NOT NULL,
    finished_at INTEGER NOT NULL,
    version     INTEGER NOT NULL,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, project_id) REFERENCES leat_reference_projects (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX leat_reference_builds_project ON leat_reference_builds (tenant, project_id, id);

CREATE TABLE leat_reference_members (
    tenant     TEXT    NOT NULL,
    id         TEXT    NOT NULL,
    project_id TEXT    NOT NULL, -- or empty
    email      TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    role       TEXT    NOT NULL,
    invited_at INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX leat_reference_members_email ON leat_reference_members (tenant, email COLLATE NOCASE);

-- +goose Down
DROP TABLE leat_reference_members;
DROP TABLE leat_reference_builds;
DROP TABLE leat_reference_projects;
DROP TABLE leat_reference_tenants;
