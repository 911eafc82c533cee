//! Who may come in and what they did: users, sessions, API tokens, one-time links, the audit log, sealed connections.
//!
//! Secrets never come here: of session ids, tokens and links a store keeps the sha-256 (hex), of passwords the argon2id
//! hash, of connections' secret fields the sealed text. Every answer is read from the database: what was revoked or
//! disabled a moment ago is not found any more.

mod audit;

use async_trait::async_trait;
use serde_json::{Map, Value};
use updraft_model::access::Role;
use updraft_model::time::Timestamp;

pub use audit::{AuditEntry, AuditFilter, FIRST_PREV, NewAudit, Verified, verify};

use crate::StoreError;

/// A person who may log in.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// What they log in with; never changes.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// argon2id, as a PHC string; `None`: cannot log in by password (yet).
    pub password_hash: Option<String>,
    /// The password was chosen by somebody else.
    pub must_change_password: bool,
    /// May not come in, whatever they hold.
    pub disabled: bool,
    /// When they were added.
    pub created_at: Timestamp,
    /// Their last log-in.
    pub last_login_at: Option<Timestamp>,
}

impl std::fmt::Debug for User {
    /// Without the hash.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("name", &self.name)
            .field("role", &self.role)
            .field("disabled", &self.disabled)
            .finish_non_exhaustive()
    }
}

/// What of a user is to change; `None` = stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserChange {
    /// Their role.
    pub role: Option<Role>,
    /// Whether they are shut out.
    pub disabled: Option<bool>,
    /// A new password's hash, and whether its owner must change it.
    pub password: Option<(String, bool)>,
    /// Ends their sessions in the same transaction.
    pub end_sessions: bool,
    /// Except this one (hash of its id).
    pub keep_session: Option<String>,
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It was made.
    Done,
    /// There is no such user.
    Missing,
    /// Refused: nobody would be left who is an enabled admin with a password.
    LastAdmin,
}

/// A browser that is logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// sha-256 of its id.
    pub id_hash: String,
    /// Whose it is.
    pub user: String,
    /// When they logged in.
    pub created_at: Timestamp,
    /// When it was last used, to within a minute.
    pub last_seen_at: Timestamp,
    /// Ends here unless it is used.
    pub idle_until: Timestamp,
    /// Ends here in any case.
    pub expires_at: Timestamp,
    /// From where.
    pub address: String,
    /// With what.
    pub user_agent: String,
}

/// A token for programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its public id.
    pub id: String,
    /// What its maker calls it.
    pub name: String,
    /// What it may do at most.
    pub role: Role,
    /// Names of permissions that it is limited to; empty = all of its role.
    pub scopes: Vec<String>,
    /// sha-256 of the token.
    pub hash: String,
    /// Its first letters, to recognise it by.
    pub prefix: String,
    /// The user whose token it is: it goes with them. `None`: made by the local admin.
    pub owner: Option<String>,
    /// Who made it, in words.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to within a minute.
    pub last_used_at: Option<Timestamp>,
}

/// What a one-time link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkPurpose {
    /// Makes the first admin.
    FirstAdmin,
    /// Lets a user choose a password.
    SetPassword,
    /// Logs in at once (`updraft dev`).
    DevLogin,
}

impl LinkPurpose {
    /// The one spelling.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FirstAdmin => "first_admin",
            Self::SetPassword => "set_password",
            Self::DevLogin => "dev_login",
        }
    }

    /// Reads the one spelling.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::FirstAdmin, Self::SetPassword, Self::DevLogin].into_iter().find(|purpose| purpose.name() == text)
    }
}

/// A link that works once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// sha-256 of its token.
    pub hash: String,
    /// What it is for.
    pub purpose: LinkPurpose,
    /// For whom, if they exist already.
    pub user: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was used.
    pub used_at: Option<Timestamp>,
}

/// A connection as it is kept: plain fields readable, secret ones sealed.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredConnection {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Fields that are not secret.
    pub fields: Map<String, Value>,
    /// Secret fields, each sealed by the vault (base64), by name.
    pub sealed: std::collections::BTreeMap<String, String>,
    /// The key that sealed them; `None` if there are none.
    pub key_id: Option<String>,
    /// Counts its changes, from 1.
    pub version: u64,
    /// When it was last written.
    pub updated_at: Timestamp,
    /// By whom.
    pub updated_by: String,
}

/// Users, sessions, tokens, links, audit, connections. Reads go over readers' connections, never the engine's.
#[async_trait]
pub trait Accounts: Send + Sync + 'static {
    /// At most `limit` users by name, after the one named.
    async fn users(&self, after: Option<&str>, limit: u32) -> Result<Vec<User>, StoreError>;

    /// One user.
    async fn user(&self, name: &str) -> Result<Option<User>, StoreError>;

    /// Adds a user; false: the name is taken.
    async fn add_user(&self, user: &User) -> Result<bool, StoreError>;

    /// Changes a user, and ends sessions if asked to, in one transaction.
    async fn change_user(&self, name: &str, change: &UserChange) -> Result<Changed, StoreError>;

    /// Removes a user with their sessions, tokens and links.
    async fn remove_user(&self, name: &str) -> Result<Changed, StoreError>;

    /// Whether there is an enabled admin with a password.
    async fn has_admin(&self) -> Result<bool, StoreError>;

    /// Starts a session and notes the log-in; false: its user does not exist or is disabled.
    async fn add_session(&self, session: &Session) -> Result<bool, StoreError>;

    /// A session with its user, whatever their state: the caller judges.
    async fn session(&self, id_hash: &str) -> Result<Option<(Session, User)>, StoreError>;

    /// Notes that a session was used; false: it is gone.
    async fn touch_session(&self, id_hash: &str, at: Timestamp, idle_until: Timestamp) -> Result<bool, StoreError>;

    /// Ends a session; false: it is gone.
    async fn end_session(&self, id_hash: &str) -> Result<bool, StoreError>;

    /// Ends a user's sessions, except one; says how many.
    async fn end_sessions(&self, user: &str, except: Option<&str>) -> Result<u64, StoreError>;

    /// Adds a token; false: its owner does not exist.
    async fn add_token(&self, token: &Token) -> Result<bool, StoreError>;

    /// A token with its owner, whatever their state: the caller judges.
    async fn token(&self, hash: &str) -> Result<Option<(Token, Option<User>)>, StoreError>;

    /// At most `limit` tokens by id, after the one with that id; of one owner, or all.
    async fn tokens(&self, owner: Option<&str>, after: Option<&str>, limit: u32) -> Result<Vec<Token>, StoreError>;

    /// Notes that a token was used.
    async fn touch_token(&self, id: &str, at: Timestamp) -> Result<(), StoreError>;

    /// Revokes a token (of this owner only, if given); false: there is none.
    async fn revoke_token(&self, id: &str, owner: Option<&str>) -> Result<bool, StoreError>;

    /// Adds a link. Links of the same purpose for the same user end: the newest is the one that works.
    async fn add_link(&self, link: &Link) -> Result<(), StoreError>;

    /// A link, used or not.
    async fn link(&self, hash: &str) -> Result<Option<Link>, StoreError>;

    /// Uses a link: of many at once one gets it. `None`: unknown, used or expired.
    async fn use_link(&self, hash: &str, at: Timestamp) -> Result<Option<Link>, StoreError>;

    /// Removes sessions, links and tokens that ended before `at`; says how many.
    async fn sweep_accounts(&self, at: Timestamp) -> Result<u64, StoreError>;

    /// Appends to the audit log, behind everything that is there, under a lock: the chain never forks.
    async fn append_audit(&self, new: &NewAudit) -> Result<AuditEntry, StoreError>;

    /// A page of the audit log, newest first.
    async fn audit(&self, filter: &AuditFilter) -> Result<Vec<AuditEntry>, StoreError>;

    /// At most `limit` entries after `seq`, oldest first: for [`verify`] and exports.
    async fn audit_after(&self, seq: u64, limit: u32) -> Result<Vec<AuditEntry>, StoreError>;

    /// All connections, by name.
    async fn connections(&self) -> Result<Vec<StoredConnection>, StoreError>;

    /// One connection.
    async fn stored_connection(&self, name: &str) -> Result<Option<StoredConnection>, StoreError>;

    /// Writes a connection if its version is still `expected` (0 = it must not exist); the row's `version` becomes
    /// `expected + 1`. False: somebody else was faster.
    async fn put_connection(&self, connection: &StoredConnection, expected: u64) -> Result<bool, StoreError>;

    /// Removes a connection; false: there is none.
    async fn remove_connection(&self, name: &str) -> Result<bool, StoreError>;
}
