-- Users, sessions, API tokens, one-time links, the audit log, connections. Secrets are hashes or sealed, never plain.
CREATE TABLE user_account (
    name                 TEXT NOT NULL PRIMARY KEY,
    role                 TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'editor', 'admin')),
    password_hash        TEXT, -- argon2id, PHC string; null = no log-in by password
    must_change_password INTEGER NOT NULL CHECK (must_change_password IN (0, 1)),
    disabled             INTEGER NOT NULL CHECK (disabled IN (0, 1)),
    created_at           INTEGER NOT NULL,
    last_login_at        INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE session (
    id_hash      TEXT NOT NULL PRIMARY KEY CHECK (length(id_hash) = 64),
    user_name    TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    idle_until   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    address      TEXT NOT NULL,
    user_agent   TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX session_of_user ON session (user_name);

CREATE TABLE api_token (
    token_id     TEXT NOT NULL PRIMARY KEY,
    name         TEXT NOT NULL,
    role         TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'editor', 'admin')),
    scopes       TEXT NOT NULL, -- JSON list of permissions; empty = all of the role
    hash         TEXT NOT NULL UNIQUE CHECK (length(hash) = 64),
    prefix       TEXT NOT NULL,
    owner        TEXT, -- user whose token it is; null = made by the local admin
    created_by   TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    last_used_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX api_token_of_owner ON api_token (owner, token_id);

CREATE TABLE login_link (
    hash       TEXT NOT NULL PRIMARY KEY CHECK (length(hash) = 64),
    purpose    TEXT NOT NULL CHECK (purpose IN ('first_admin', 'set_password', 'dev_login')),
    user_name  TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at    INTEGER
) STRICT, WITHOUT ROWID;

-- Each entry's hash covers the one before it. Entries are added at the end and never touched again.
CREATE TABLE audit (
    seq       INTEGER NOT NULL PRIMARY KEY CHECK (seq >= 1),
    at        INTEGER NOT NULL,
    actor     TEXT NOT NULL,
    role      TEXT,
    origin    TEXT NOT NULL, -- address, or `socket`
    action    TEXT NOT NULL,
    subject   TEXT NOT NULL,
    reason    TEXT,
    detail    TEXT NOT NULL, -- JSON
    prev_hash TEXT NOT NULL CHECK (length(prev_hash) = 64),
    hash      TEXT NOT NULL UNIQUE CHECK (length(hash) = 64)
) STRICT;

CREATE INDEX audit_of_actor ON audit (actor, seq);
CREATE INDEX audit_of_action ON audit (action, seq);
CREATE INDEX audit_of_subject ON audit (subject, seq);
CREATE INDEX audit_by_time ON audit (at);

CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only: entries are not changed'); END;

CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only: entries are not deleted'); END;

CREATE TABLE connection (
    name       TEXT NOT NULL PRIMARY KEY,
    kind       TEXT NOT NULL,
    fields     TEXT NOT NULL, -- JSON, without secret fields
    sealed     TEXT NOT NULL, -- JSON: secret field -> sealed text
    key_id     TEXT,
    version    INTEGER NOT NULL CHECK (version >= 1),
    updated_at INTEGER NOT NULL,
    updated_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;
