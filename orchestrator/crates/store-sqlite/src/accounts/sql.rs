//! The statements. What writes returns a row for each row written.

use updraft_store::accounts::AuditFilter;

macro_rules! user {
    () => {
        "u.name, u.role, u.password_hash, u.must_change_password, u.disabled, u.created_at, u.last_login_at"
    };
}

macro_rules! token {
    () => {
        "t.token_id, t.name AS token_name, t.role AS token_role, t.scopes, t.hash, t.prefix, t.owner, t.created_by, \
         t.created_at AS token_created_at, t.expires_at, t.last_used_at"
    };
}

macro_rules! audit {
    () => {
        "seq, at, actor, role, origin, action, subject, reason, detail, prev_hash, hash"
    };
}

macro_rules! connection {
    () => {
        "name, kind, fields, sealed, key_id, version, updated_at, updated_by"
    };
}

pub(super) const USERS: &str =
    concat!("/* users */ SELECT ", user!(), " FROM user_account u WHERE u.name > $1 ORDER BY u.name LIMIT $2");

pub(super) const USER: &str = concat!("/* user */ SELECT ", user!(), " FROM user_account u WHERE u.name = $1");

pub(super) const ADD_USER: &str = "/* add user */ INSERT INTO user_account \
(name, role, password_hash, must_change_password, disabled, created_at, last_login_at) VALUES ($1, $2, $3, $4, $5, $6, $7) \
ON CONFLICT (name) DO NOTHING RETURNING name";

pub(super) const CHANGE_USER: &str = "/* change user */ UPDATE user_account \
SET role = $2, password_hash = $3, must_change_password = $4, disabled = $5 WHERE name = $1 RETURNING name";

pub(super) const REMOVE_USER: &str = "/* remove user */ DELETE FROM session WHERE user_name = $1; \
DELETE FROM api_token WHERE owner = $1; DELETE FROM login_link WHERE user_name = $1; \
DELETE FROM user_account WHERE name = $1 RETURNING name";

/// An enabled admin with a password, other than $1.
pub(super) const OTHER_ADMIN: &str = "/* other admin */ SELECT 1 FROM user_account \
WHERE role = 'admin' AND disabled = 0 AND password_hash IS NOT NULL AND name <> $1 LIMIT 1";

pub(super) const LOGGED_IN: &str =
    "/* logged in */ UPDATE user_account SET last_login_at = $2 WHERE name = $1 AND disabled = 0 RETURNING name";

pub(super) const ADD_SESSION: &str = "/* add session */ INSERT INTO session \
(id_hash, user_name, created_at, last_seen_at, idle_until, expires_at, address, user_agent) \
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id_hash";

pub(super) const SESSION: &str = concat!(
    "/* session */ SELECT ",
    user!(),
    ", s.id_hash, s.created_at AS began_at, s.last_seen_at, s.idle_until, s.expires_at, s.address, s.user_agent \
     FROM session s JOIN user_account u ON u.name = s.user_name WHERE s.id_hash = $1"
);

pub(super) const TOUCH_SESSION: &str = "/* touch session */ UPDATE session SET last_seen_at = $2, idle_until = $3 \
WHERE id_hash = $1 RETURNING id_hash";

pub(super) const END_SESSION: &str = "/* end session */ DELETE FROM session WHERE id_hash = $1 RETURNING id_hash";

pub(super) const END_SESSIONS: &str =
    "/* end sessions */ DELETE FROM session WHERE user_name = $1 AND id_hash IS NOT $2 RETURNING id_hash";

pub(super) const ADD_TOKEN: &str = "/* add token */ INSERT INTO api_token \
(token_id, name, role, scopes, hash, prefix, owner, created_by, created_at, expires_at) \
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10 WHERE $7 IS NULL OR EXISTS (SELECT 1 FROM user_account WHERE name = $7) \
RETURNING token_id";

pub(super) const TOKEN: &str = concat!(
    "/* token */ SELECT ",
    token!(),
    ", ",
    user!(),
    " FROM api_token t LEFT JOIN user_account u ON u.name = t.owner WHERE t.hash = $1"
);

pub(super) const TOKENS: &str =
    concat!("/* tokens */ SELECT ", token!(), " FROM api_token t WHERE t.token_id > $1 ORDER BY t.token_id LIMIT $2");

pub(super) const TOKENS_OF: &str = concat!(
    "/* tokens of */ SELECT ",
    token!(),
    " FROM api_token t WHERE t.owner = $3 AND t.token_id > $1 ORDER BY t.token_id LIMIT $2"
);

pub(super) const TOUCH_TOKEN: &str =
    "/* touch token */ UPDATE api_token SET last_used_at = $2 WHERE token_id = $1 RETURNING token_id";

pub(super) const REVOKE_TOKEN: &str =
    "/* revoke token */ DELETE FROM api_token WHERE token_id = $1 AND ($2 IS NULL OR owner = $2) RETURNING token_id";

pub(super) const END_LINKS: &str =
    "/* end links */ DELETE FROM login_link WHERE purpose = $1 AND user_name IS $2 RETURNING hash";

pub(super) const ADD_LINK: &str = "/* add link */ INSERT INTO login_link (hash, purpose, user_name, created_at, expires_at) \
VALUES ($1, $2, $3, $4, $5) RETURNING hash";

pub(super) const LINK: &str = "/* link */ SELECT hash, purpose, user_name, created_at, expires_at, used_at \
FROM login_link WHERE hash = $1";

pub(super) const USE_LINK: &str = "/* use link */ UPDATE login_link SET used_at = $2 \
WHERE hash = $1 AND used_at IS NULL AND expires_at > $2 \
RETURNING hash, purpose, user_name, created_at, expires_at, used_at";

pub(super) const SWEEP_SESSIONS: &str =
    "/* sweep sessions */ DELETE FROM session WHERE min(idle_until, expires_at) <= $1 RETURNING 1";

pub(super) const SWEEP_LINKS: &str =
    "/* sweep links */ DELETE FROM login_link WHERE expires_at <= $1 OR used_at IS NOT NULL RETURNING 1";

pub(super) const SWEEP_TOKENS: &str = "/* sweep tokens */ DELETE FROM api_token WHERE expires_at <= $1 RETURNING 1";

pub(super) const LAST_AUDIT: &str = "/* last audit */ SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1";

pub(super) const ADD_AUDIT: &str = concat!(
    "/* add audit */ INSERT INTO audit (",
    audit!(),
    ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING seq"
);

pub(super) const AUDIT_AFTER: &str =
    concat!("/* audit after */ SELECT ", audit!(), " FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2");

/// Only the filters that are given, so that each may use its index.
pub(super) fn audit(filter: &AuditFilter) -> String {
    let mut sql = concat!("/* audit */ SELECT ", audit!(), " FROM audit WHERE TRUE").to_owned();
    for (given, condition) in [
        (filter.actor.is_some(), " AND actor = $1"),
        (filter.action.is_some(), " AND action = $2"),
        (filter.subject.is_some(), " AND subject = $3"),
        (filter.since.is_some(), " AND at >= $4"),
        (filter.until.is_some(), " AND at < $5"),
        (filter.before.is_some(), " AND seq < $6"),
    ] {
        if given {
            sql.push_str(condition);
        }
    }
    sql.push_str(" ORDER BY seq DESC LIMIT $7");
    sql
}

pub(super) const CONNECTIONS: &str =
    concat!("/* connections */ SELECT ", connection!(), " FROM connection ORDER BY name");

pub(super) const CONNECTION: &str =
    concat!("/* connection */ SELECT ", connection!(), " FROM connection WHERE name = $1");

/// $6 is zero here: the connection must not exist.
pub(super) const NEW_CONNECTION: &str = concat!(
    "/* new connection */ INSERT INTO connection (",
    connection!(),
    ") VALUES ($1, $2, $3, $4, $5, $6 + 1, $7, $8) ON CONFLICT (name) DO NOTHING RETURNING version"
);

pub(super) const SET_CONNECTION: &str = "/* set connection */ UPDATE connection \
SET kind = $2, fields = $3, sealed = $4, key_id = $5, version = version + 1, updated_at = $7, updated_by = $8 \
WHERE name = $1 AND version = $6 RETURNING version";

pub(super) const REMOVE_CONNECTION: &str =
    "/* remove connection */ DELETE FROM connection WHERE name = $1 RETURNING name";
