//! Somebody who was recognised, for the time of one request.

use serde::Serialize;
use updraft_model::access::{Permission, Role};
use updraft_model::time::Timestamp;

use crate::AuthError;

/// Name of the local admin: the peer of the unix socket, and whoever uses `updraft dev`'s log-in link.
pub const LOCAL: &str = "local";

/// How they came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PrincipalKind {
    /// A session of a user.
    User,
    /// An API token.
    Token,
    /// The owner of this machine's account: by socket, or by `dev`'s link.
    Local,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// How they came in.
    pub kind: PrincipalKind,
    /// User name; name of the token with its owner (`ci (ada)`); `local`, or the system's user name.
    pub name: String,
    /// What they may do at most.
    pub role: Role,
    /// Limits of a token; empty = none.
    pub scopes: Vec<Permission>,
    /// Address, or `socket`.
    pub from: String,
    /// The user behind it, if there is one.
    pub user: Option<String>,
    /// Hash of the session's id, to end it.
    pub session: Option<String>,
    /// When the session or token ends.
    pub expires_at: Option<Timestamp>,
    /// The password was chosen by somebody else and must be changed first.
    pub must_change_password: bool,
}

impl Principal {
    /// The peer of the unix socket, if it is of the same user as this process (or root).
    pub fn of_socket(peer_uid: u32, own_uid: u32, name: Option<&str>) -> Result<Self, AuthError> {
        if peer_uid != own_uid && peer_uid != 0 {
            return Err(AuthError::NotAuthenticated);
        }
        Ok(Self {
            kind: PrincipalKind::Local,
            name: name.unwrap_or(LOCAL).to_owned(),
            role: Role::Admin,
            scopes: Vec::new(),
            from: "socket".to_owned(),
            user: None,
            session: None,
            expires_at: None,
            must_change_password: false,
        })
    }

    /// Whether they may do that.
    pub fn allows(&self, permission: Permission) -> bool {
        self.require(permission).is_ok()
    }

    /// Refuses if they may not do that.
    ///
    /// # Errors
    /// [`AuthError::Forbidden`] below the role, [`AuthError::OutOfScope`] outside the token's scopes.
    pub fn require(&self, permission: Permission) -> Result<(), AuthError> {
        if !self.role.allows(permission) {
            return Err(AuthError::Forbidden { permission, who: self.name.clone(), role: self.role });
        }
        if !self.scopes.is_empty() && !self.scopes.contains(&permission) {
            return Err(AuthError::OutOfScope(permission));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peer_of_the_socket_is_the_local_admin_only_with_the_same_uid() {
        let admin = Principal::of_socket(1000, 1000, Some("ada")).expect("the same user");
        assert_eq!((admin.kind, admin.name.as_str(), admin.from.as_str()), (PrincipalKind::Local, "ada", "socket"));
        assert!(admin.allows(Permission::Users));
        assert!(Principal::of_socket(0, 1000, None).is_ok(), "root can do so anyway");
        assert!(matches!(Principal::of_socket(1001, 1000, None), Err(AuthError::NotAuthenticated)));
    }

    #[test]
    fn scopes_only_take_away() {
        let mut token = Principal::of_socket(1, 1, None).expect("local");
        token.role = Role::Operator;
        token.scopes = vec![Permission::Read, Permission::Users];
        assert!(token.allows(Permission::Read));
        assert!(matches!(token.require(Permission::Run), Err(AuthError::OutOfScope(Permission::Run))));
        assert!(matches!(token.require(Permission::Users), Err(AuthError::Forbidden { .. })), "a scope gives no role");
    }
}
