-- Users, sessions, API tokens, one-time links, the audit log, connections. Secrets are hashes or sealed, never plain.
CREATE TABLE user_account (
    name                 text COLLATE "C" NOT NULL PRIMARY KEY,
    role                 text NOT NULL CHECK (role IN ('viewer', 'operator', 'editor', 'admin')),
    password_hash        text,
    must_change_password boolean NOT NULL,
    disabled             boolean NOT NULL,
    created_at           timestamptz NOT NULL,
    last_login_at        timestamptz
);
COMMENT ON COLUMN user_account.password_hash IS 'argon2id, PHC string; null = no log-in by password.';

CREATE TABLE session (
    id_hash      text COLLATE "C" NOT NULL PRIMARY KEY CHECK (length(id_hash) = 64),
    user_name    text COLLATE "C" NOT NULL,
    created_at   timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    idle_until   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    address      text NOT NULL,
    user_agent   text NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX session_of_user ON session (user_name);

CREATE TABLE api_token (
    token_id     text COLLATE "C" NOT NULL PRIMARY KEY,
    name         text NOT NULL,
    role         text NOT NULL CHECK (role IN ('viewer', 'operator', 'editor', 'admin')),
    scopes       text NOT NULL,
    hash         text COLLATE "C" NOT NULL UNIQUE CHECK (length(hash) = 64),
    prefix       text NOT NULL,
    owner        text COLLATE "C",
    created_by   text NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz,
    last_used_at timestamptz
) WITH (fillfactor = 70);
CREATE INDEX api_token_of_owner ON api_token (owner, token_id);
COMMENT ON COLUMN api_token.scopes IS 'JSON list of permissions; empty = all of the role.';
COMMENT ON COLUMN api_token.owner IS 'User whose token it is; null = made by the local admin.';

CREATE TABLE login_link (
    hash       text COLLATE "C" NOT NULL PRIMARY KEY CHECK (length(hash) = 64),
    purpose    text NOT NULL CHECK (purpose IN ('first_admin', 'set_password', 'dev_login')),
    user_name  text COLLATE "C",
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz
);

-- Each entry's hash covers the one before it. Entries are added at the end and never touched again.
CREATE TABLE audit (
    seq       bigint NOT NULL PRIMARY KEY CHECK (seq >= 1),
    at        timestamptz NOT NULL,
    actor     text COLLATE "C" NOT NULL,
    role      text,
    origin    text NOT NULL,
    action    text COLLATE "C" NOT NULL,
    subject   text COLLATE "C" NOT NULL,
    reason    text,
    detail    text NOT NULL,
    prev_hash text COLLATE "C" NOT NULL CHECK (length(prev_hash) = 64),
    hash      text COLLATE "C" NOT NULL UNIQUE CHECK (length(hash) = 64)
);
COMMENT ON COLUMN audit.origin IS 'Address, or `socket`.';
CREATE INDEX audit_of_actor ON audit (actor, seq);
CREATE INDEX audit_of_action ON audit (action, seq);
CREATE INDEX audit_of_subject ON audit (subject, seq);
CREATE INDEX audit_by_time ON audit (at);

CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the audit log is append-only: entries are neither changed nor deleted'
    USING ERRCODE = 'restrict_violation'; END $$;
CREATE TRIGGER audit_is_not_touched BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();

CREATE TABLE connection (
    name       text COLLATE "C" NOT NULL PRIMARY KEY,
    kind       text NOT NULL,
    fields     text NOT NULL,
    sealed     text NOT NULL,
    key_id     text,
    version    bigint NOT NULL CHECK (version >= 1),
    updated_at timestamptz NOT NULL,
    updated_by text NOT NULL
);
COMMENT ON COLUMN connection.fields IS 'JSON, without secret fields.';
COMMENT ON COLUMN connection.sealed IS 'JSON: secret field -> sealed text.';
