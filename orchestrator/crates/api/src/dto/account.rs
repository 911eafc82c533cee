//! People, tokens and the audit log.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{Role, Time};

/// How somebody came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalKind {
    /// With a session.
    User,
    /// With a token.
    Token,
    /// By the socket beside the store.
    Local,
}

/// Who is asking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Me {
    /// Name.
    pub name: String,
    /// How they came in.
    pub kind: PrincipalKind,
    /// What they may do.
    pub role: Role,
    /// The password was set by somebody else.
    pub must_change_password: Option<bool>,
    /// When the session or token ends.
    pub expires_at: Option<Time>,
    /// Preferred IANA zone.
    pub zone: Option<String>,
}

/// Name and password.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    /// Name.
    #[schema(max_length = 200)]
    pub name: String,
    /// Password.
    #[schema(value_type = String, format = Password, max_length = 1000, write_only)]
    pub password: secrecy::SecretString,
}

/// The first admin.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetupRequest {
    /// The token of the one-time link.
    #[schema(value_type = String, max_length = 200, write_only)]
    pub token: secrecy::SecretString,
    /// Name; left out, the user that the link was made for.
    #[schema(max_length = 200)]
    pub name: Option<String>,
    /// Password.
    #[schema(value_type = String, format = Password, max_length = 1000, write_only)]
    pub password: secrecy::SecretString,
}

/// A change of one's own password.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPassword {
    /// The one that counts now.
    #[schema(value_type = String, format = Password, max_length = 1000, write_only)]
    pub current: secrecy::SecretString,
    /// The new one.
    #[schema(value_type = String, format = Password, max_length = 1000, write_only)]
    pub new: secrecy::SecretString,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct User {
    /// Name.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Since when.
    pub created_at: Time,
    /// Last login.
    pub last_login_at: Option<Time>,
    /// May not come in.
    pub disabled: bool,
}

/// Users, one page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UserPage {
    /// By name.
    pub items: Vec<User>,
    /// Give it as `cursor` for the next page; null at the end.
    pub next: Option<String>,
}

/// A user to be made.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// Name.
    #[schema(min_length = 1, max_length = 64, pattern = "^[a-z0-9][a-z0-9._@-]*$")]
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Password; left out, a one-time link is made.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password, min_length = 12, max_length = 256, write_only)]
    pub password: Option<secrecy::SecretString>,
    /// Why, for the audit log.
    #[serde(default)]
    #[schema(max_length = 500)]
    pub reason: Option<String>,
}

/// A user that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UserMade {
    /// The user.
    #[serde(flatten)]
    pub user: User,
    /// One-time link to set a password.
    pub link: Option<String>,
}

/// A change of a user.
#[derive(Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    /// What they may do.
    #[serde(default)]
    pub role: Option<Role>,
    /// May not come in.
    #[serde(default)]
    pub disabled: Option<bool>,
    /// A new password.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password, min_length = 12, max_length = 256, write_only)]
    pub password: Option<secrecy::SecretString>,
    /// Why, for the audit log.
    #[serde(default)]
    #[schema(max_length = 500)]
    pub reason: Option<String>,
}

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// Its id.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// What it is limited to; empty = nothing in particular.
    pub scopes: Vec<String>,
    /// Since when.
    pub created_at: Time,
    /// Until when.
    pub expires_at: Option<Time>,
    /// Last use.
    pub last_used_at: Option<Time>,
    /// Who made it.
    pub created_by: String,
    /// Its first characters.
    pub prefix: String,
}

/// Tokens, one page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenPage {
    /// Newest first.
    pub items: Vec<Token>,
    /// Give it as `cursor` for the next page; null at the end.
    pub next: Option<String>,
}

/// Everything that the page of users and tokens shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Accounts {
    /// Users, the first page; null for who may not see them.
    pub users: Option<UserPage>,
    /// Tokens that the caller may see, the first page.
    pub tokens: TokenPage,
}

/// A token to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What it is for.
    #[schema(max_length = 100)]
    pub name: String,
    /// What it may do: at most what its maker may.
    pub role: Role,
    /// What it is limited to.
    #[serde(default)]
    pub scopes: Option<Vec<String>>,
    /// How long it counts; 90 days if left out.
    #[serde(default)]
    #[schema(minimum = 60, maximum = 31_622_400)]
    pub expires_in_seconds: Option<u64>,
    /// Why, for the audit log.
    #[serde(default)]
    #[schema(max_length = 500)]
    pub reason: Option<String>,
}

/// A token that was made: the only time that its secret is shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenMade {
    /// The token.
    #[serde(flatten)]
    pub made: Token,
    /// Its secret.
    pub token: String,
}

/// Something that somebody did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// From 1, without gaps.
    pub seq: u64,
    /// When.
    pub at: Time,
    /// Who.
    pub actor: String,
    /// With which role.
    pub role: Option<Role>,
    /// From which address or socket.
    pub from: String,
    /// What: `run.trigger`, `workflow.pause`, …
    pub action: String,
    /// To what.
    pub subject: String,
    /// Why.
    pub reason: Option<String>,
    /// More about it.
    #[schema(value_type = Object)]
    pub detail: Value,
    /// Hash of this entry and the one before.
    pub hash: String,
}

/// The audit log, newest first, one page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditPage {
    /// Newest first.
    pub items: Vec<AuditEntry>,
    /// Give it as `cursor` for the next page; null at the end.
    pub next: Option<String>,
}

/// Whether the audit log is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditVerdict {
    /// It is.
    pub ok: bool,
    /// Entries that were looked at.
    pub entries: u64,
    /// The first entry that does not follow on the one before.
    pub first_bad: Option<u64>,
}
