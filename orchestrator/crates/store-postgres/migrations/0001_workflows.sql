-- Workflows by name, and their immutable contents.
CREATE TABLE workflow (
    workflow_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name               text COLLATE "C" NOT NULL UNIQUE CHECK (name <> ''),
    current_version_id bigint,
    created_at         timestamptz NOT NULL
);
COMMENT ON COLUMN workflow.current_version_id IS 'The version that was published last; null only inside the publishing transaction.';

CREATE TABLE workflow_version (
    version_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workflow_id bigint NOT NULL REFERENCES workflow,
    sha256      text NOT NULL CHECK (length(sha256) = 64),
    source      text NOT NULL,
    path        text NOT NULL,
    compiled    text NOT NULL,
    created_at  timestamptz NOT NULL,
    UNIQUE (workflow_id, sha256)
);
COMMENT ON COLUMN workflow_version.sha256 IS 'Of source, hex.';
COMMENT ON COLUMN workflow_version.compiled IS 'A cache of what source means, never the truth.';
