-- +goose Up
-- For every dialect. Times are microseconds since the epoch, UTC; 0: none. version counts the saves of a row.
CREATE TABLE leat_reference_tenants (
    id         TEXT   NOT NULL PRIMARY KEY,
    operator   TEXT   NOT NULL, -- the tenant on whose behalf it was created
    name       TEXT   NOT NULL,
    email      TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    version    BIGINT NOT NULL
);

CREATE INDEX leat_reference_tenants_operator ON leat_reference_tenants (operator, id);

CREATE TABLE leat_reference_projects (
    tenant      TEXT   NOT NULL,
    id          TEXT   NOT NULL,
    name        TEXT   NOT NULL,
    description TEXT   NOT NULL,
    assignee    TEXT   NOT NULL, -- a mail address, or empty
    watchers    TEXT   NOT NULL, -- a JSON array of mail addresses
    archived    BIGINT NOT NULL, -- 0 or 1
    created_at  BIGINT NOT NULL,
    version     BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);

CREATE TABLE leat_reference_builds (
    tenant      TEXT   NOT NULL,
    id          TEXT   NOT NULL,
    project_id  TEXT   NOT NULL,
    image       TEXT   NOT NULL,
    state       TEXT   NOT NULL,
    percent     BIGINT NOT NULL,
    stage       TEXT   NOT NULL,
    reason      TEXT   NOT NULL,
    queued_at   BIGINT NOT NULL,
    started_at  BIGINT NOT NULL,
    finished_at BIGINT NOT NULL,
    version     BIGINT NOT NULL,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, project_id) REFERENCES leat_reference_projects (tenant, id)
);

CREATE INDEX leat_reference_builds_project ON leat_reference_builds (tenant, project_id, id);

CREATE TABLE leat_reference_members (
    tenant     TEXT   NOT NULL,
    id         TEXT   NOT NULL,
    project_id TEXT   NOT NULL, -- or empty
    email      TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    role       TEXT   NOT NULL,
    invited_at BIGINT NOT NULL,
    version    BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);

CREATE UNIQUE INDEX leat_reference_members_email ON leat_reference_members (tenant, lower(email));

-- +goose Down
DROP TABLE leat_reference_members;
DROP TABLE leat_reference_builds;
DROP TABLE leat_reference_projects;
DROP TABLE leat_reference_tenants;
