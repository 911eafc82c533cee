//! Who may do what: passwords, sessions, tokens, roles, login limits, the audit recorder, the vault that seals secrets at
//! rest, connections merged from their three sources, and the policy of the door.
//!
//! Everything here works over [`updraft_store::accounts::Accounts`] and knows no HTTP: the API asks [`Authenticator`] who
//! somebody is, [`Principal::allows`] what they may, and [`door`]'s pure functions whether a request may come in at all.
#![warn(missing_docs)]

pub mod audit;
pub mod authenticator;
pub mod connections;
pub mod door;
pub mod error;
mod limit;
pub mod password;
mod principal;
mod secret;
mod tokens;
mod users;
pub mod vault;

pub use audit::Audit;
pub use authenticator::{AuthConfig, Authenticator, Clock, NewSession, OneTime, SetupLink};
pub use connections::{
    ConnectionError, ConnectionView, Connections, FieldView, KindSpec, Probed, Resolved, Snapshot, Source, Sources,
};
pub use door::{
    BehindProxy, Door, DoorConfig, LogIn, Refusal, SESSION_COOKIE, ShellPolicy, StoreFacts, TlsFiles, check_host,
    check_origin, judge, metrics_open_to,
};
pub use error::AuthError;
pub use limit::RateLimit;
pub use password::PasswordCost;
pub use principal::{LOCAL, Principal, PrincipalKind};
pub use tokens::{NewToken, TokenView};
pub use updraft_model::access::{Permission, Role};
pub use users::{NewUser, UserPatch, UserView};
pub use vault::{KeyOrigin, Vault};
