-- Workflows and their immutable versions. `compiled` is a cache of what `source` means to the build that stored it.
CREATE TABLE workflow (
    workflow_id        INTEGER PRIMARY KEY,
    name               TEXT NOT NULL UNIQUE,
    current_version_id INTEGER,
    created_at         INTEGER NOT NULL
) STRICT;

CREATE TABLE workflow_version (
    version_id  INTEGER PRIMARY KEY,
    workflow_id INTEGER NOT NULL REFERENCES workflow (workflow_id),
    sha256      TEXT NOT NULL CHECK (length(sha256) = 64),
    source      TEXT NOT NULL,
    path        TEXT NOT NULL, -- relative to the project
    compiled    TEXT NOT NULL, -- JSON
    created_at  INTEGER NOT NULL,
    UNIQUE (workflow_id, sha256)
) STRICT;
