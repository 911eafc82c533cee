//! Why somebody was not let in, or a change to accounts was not made. Texts are for people and never say more than the
//! asker may know.

use std::time::Duration;

use updraft_model::access::{Permission, Role};
use updraft_store::StoreError;

use crate::password::Weakness;

/// Why.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// Unknown name, wrong password, disabled: not told apart.
    #[error("the name or the password is wrong")]
    BadCredentials,
    /// Too many tries.
    #[error("too many log-ins from here or for this name: try again in {} s", seconds(*.retry_after))]
    TooManyTries {
        /// When to try again.
        retry_after: Duration,
    },
    /// No session, token or link of this kind, or it has ended.
    #[error("not logged in, or no longer")]
    NotAuthenticated,
    /// A link that is unknown, used or expired.
    #[error("this link does not work: it was used, replaced by a newer one, or has expired")]
    BadLink,
    /// Not allowed.
    #[error("this needs the permission `{permission}` (role {}); {who} has the role {role}", .permission.needs())]
    Forbidden {
        /// What it needs.
        permission: Permission,
        /// Who asked.
        who: String,
        /// What they are.
        role: Role,
    },
    /// A token's scopes do not hold what is needed.
    #[error("this token's scopes do not hold `{0}`")]
    OutOfScope(Permission),
    /// More than the giver has.
    #[error("the role {wanted} is more than your own ({own})")]
    AboveRole {
        /// What was asked for.
        wanted: Role,
        /// What the asker has.
        own: Role,
    },
    /// A scope that the role, or the giver, does not have.
    #[error("the scope `{0}` is more than this role or token allows")]
    BadScope(Permission),
    /// A password that is too easy.
    #[error("{0}")]
    WeakPassword(Weakness),
    /// A name that cannot be one.
    #[error("`{0}` cannot be a name: 1 to 64 of a–z, 0–9, `.`, `_`, `-`, `@`, the first a letter or digit")]
    BadName(String),
    /// A name that this program uses itself.
    #[error("`{0}` is the name of the local admin and cannot be given to a user")]
    ReservedName(String),
    /// A life span that a token cannot have.
    #[error("a token lives from 1 minute to {} days", crate::tokens::LONGEST.as_secs() / 86_400)]
    BadExpiry,
    /// The name is taken.
    #[error("there is a user `{0}` already")]
    Taken(String),
    /// There is no such user.
    #[error("there is no user `{0}`")]
    NoUser(String),
    /// There is no such token, or it is somebody else's.
    #[error("there is no token `{0}`")]
    NoToken(String),
    /// Nobody would be left.
    #[error("`{0}` is the last admin who can log in: make another one first")]
    LastAdmin(String),
    /// A principal that is no user has no password.
    #[error("only a user who logs in by password can change it")]
    NoPassword,
    /// Hashing, randomness or threads failed.
    #[error("the server could not do this: {0}")]
    Internal(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn seconds(span: Duration) -> u64 {
    span.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
}

impl AuthError {
    /// A stable code for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadCredentials => "bad_credentials",
            Self::TooManyTries { .. } => "too_many_logins",
            Self::NotAuthenticated => "not_authenticated",
            Self::BadLink => "bad_link",
            Self::Forbidden { .. } => "forbidden",
            Self::OutOfScope(_) => "out_of_scope",
            Self::AboveRole { .. } => "above_own_role",
            Self::BadScope(_) => "bad_scope",
            Self::WeakPassword(_) => "weak_password",
            Self::BadName(_) => "bad_user_name",
            Self::ReservedName(_) => "reserved_user_name",
            Self::BadExpiry => "bad_token_expiry",
            Self::Taken(_) => "user_exists",
            Self::NoUser(_) => "no_user",
            Self::NoToken(_) => "no_token",
            Self::LastAdmin(_) => "last_admin",
            Self::NoPassword => "no_password",
            Self::Internal(_) => "internal",
            Self::Store(error) if error.is_transient() => "store_unavailable",
            Self::Store(_) => "internal",
        }
    }

    /// The HTTP status that says the same.
    pub fn status(&self) -> u16 {
        match self {
            Self::BadCredentials | Self::NotAuthenticated => 401,
            Self::TooManyTries { .. } => 429,
            Self::BadLink => 410,
            Self::Forbidden { .. } | Self::OutOfScope(_) | Self::AboveRole { .. } => 403,
            Self::BadScope(_)
            | Self::WeakPassword(_)
            | Self::BadName(_)
            | Self::ReservedName(_)
            | Self::BadExpiry
            | Self::NoPassword => 422,
            Self::NoUser(_) | Self::NoToken(_) => 404,
            Self::Taken(_) | Self::LastAdmin(_) => 409,
            Self::Store(error) if error.is_transient() => 503,
            Self::Internal(_) | Self::Store(_) => 500,
        }
    }

    /// Seconds for `Retry-After`.
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::TooManyTries { retry_after } => Some(seconds(*retry_after).max(1)),
            _ => None,
        }
    }
}
