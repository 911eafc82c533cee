//! Users: added, changed, removed by an admin.

use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::json;
use updraft_model::access::{Permission, Role};
use updraft_model::time::Timestamp;
use updraft_store::accounts::{Changed, LinkPurpose, User, UserChange};

use crate::authenticator::{OneTime, SET_PASSWORD_LIFE};
use crate::principal::LOCAL;
use crate::{AuthError, Authenticator, Principal, password};

/// A user to add.
#[derive(Debug)]
pub struct NewUser {
    /// What they log in with.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// A first password, which they must change; without one they get a link to choose it.
    pub password: Option<SecretString>,
}

/// What is to change.
#[derive(Debug, Default)]
pub struct UserPatch {
    /// Their role.
    pub role: Option<Role>,
    /// Whether they are shut out.
    pub disabled: Option<bool>,
    /// A new password, which they must change.
    pub password: Option<SecretString>,
}

/// A user as lists show them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UserView {
    /// What they log in with.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// When they were added.
    pub created_at: Timestamp,
    /// Their last log-in.
    pub last_login_at: Option<Timestamp>,
    /// Shut out.
    pub disabled: bool,
    /// Whether they can log in by password.
    pub has_password: bool,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        Self {
            name: user.name,
            role: user.role,
            created_at: user.created_at,
            last_login_at: user.last_login_at,
            disabled: user.disabled,
            has_password: user.password_hash.is_some(),
        }
    }
}

/// A name that a user may have.
pub(crate) fn checked_name(name: &str) -> Result<&str, AuthError> {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let good = (1..=64).contains(&name.len())
        && name.bytes().all(|c| plain(c) || b"._-@".contains(&c))
        && name.bytes().next().is_some_and(plain);
    if !good {
        return Err(AuthError::BadName(name.chars().take(80).collect()));
    }
    if name == LOCAL {
        return Err(AuthError::ReservedName(name.to_owned()));
    }
    Ok(name)
}

impl Authenticator {
    /// Users by name, after the one named.
    ///
    /// # Errors
    /// Without [`Permission::Users`]; the store cannot be read.
    pub async fn users(&self, who: &Principal, after: Option<&str>, limit: u32) -> Result<Vec<UserView>, AuthError> {
        who.require(Permission::Users)?;
        let found = self.accounts.users(after, limit).await?;
        Ok(found.into_iter().map(UserView::from).collect())
    }

    /// Adds a user; without a password, with a link to choose one.
    ///
    /// # Errors
    /// [`AuthError::BadName`], [`AuthError::Taken`], [`AuthError::WeakPassword`], …
    pub async fn add_user(
        &self,
        who: &Principal,
        new: &NewUser,
        reason: Option<&str>,
    ) -> Result<(UserView, Option<OneTime>), AuthError> {
        who.require(Permission::Users)?;
        let name = checked_name(&new.name)?;
        let password_hash = match &new.password {
            Some(given) => {
                password::check(name, given.expose_secret()).map_err(AuthError::WeakPassword)?;
                Some(self.passwords.hash(given).await?)
            }
            None => None,
        };
        let user = User {
            name: name.to_owned(),
            role: new.role,
            must_change_password: password_hash.is_some(),
            password_hash,
            disabled: false,
            created_at: self.now(),
            last_login_at: None,
        };
        if !self.accounts.add_user(&user).await? {
            return Err(AuthError::Taken(name.to_owned()));
        }
        self.audit.record(who, "user.add", name, reason, json!({ "role": new.role })).await?;
        let link = match &new.password {
            Some(_) => None,
            None => Some(self.link(LinkPurpose::SetPassword, Some(name), SET_PASSWORD_LIFE).await?),
        };
        Ok((user.into(), link))
    }

    /// A new link for a user to choose a password; older ones end.
    ///
    /// # Errors
    /// [`AuthError::NoUser`].
    pub async fn set_password_link(
        &self,
        who: &Principal,
        name: &str,
        reason: Option<&str>,
    ) -> Result<OneTime, AuthError> {
        who.require(Permission::Users)?;
        if name == LOCAL || self.accounts.user(name).await?.is_none() {
            return Err(AuthError::NoUser(name.to_owned()));
        }
        let link = self.link(LinkPurpose::SetPassword, Some(name), SET_PASSWORD_LIFE).await?;
        self.audit.record(who, "user.password_link", name, reason, json!({})).await?;
        Ok(link)
    }

    /// Changes a user. What changes their role, password or access ends their sessions (not the asker's own).
    ///
    /// # Errors
    /// [`AuthError::NoUser`], [`AuthError::LastAdmin`], [`AuthError::WeakPassword`].
    pub async fn change_user(
        &self,
        who: &Principal,
        name: &str,
        patch: &UserPatch,
        reason: Option<&str>,
    ) -> Result<UserView, AuthError> {
        who.require(Permission::Users)?;
        if name == LOCAL {
            return Err(AuthError::ReservedName(name.to_owned()));
        }
        let password = match &patch.password {
            Some(given) => {
                password::check(name, given.expose_secret()).map_err(AuthError::WeakPassword)?;
                Some((self.passwords.hash(given).await?, who.user.as_deref() != Some(name)))
            }
            None => None,
        };
        let change = UserChange {
            role: patch.role,
            disabled: patch.disabled,
            end_sessions: patch.role.is_some() || patch.disabled == Some(true) || password.is_some(),
            password,
            keep_session: who.session.clone().filter(|_| who.user.as_deref() == Some(name)),
        };
        self.change(name, &change).await?;
        let detail = json!({
            "role": patch.role, "disabled": patch.disabled, "password_changed": patch.password.is_some(),
        });
        self.audit.record(who, "user.change", name, reason, detail).await?;
        let user = self.accounts.user(name).await?.ok_or_else(|| AuthError::NoUser(name.to_owned()))?;
        Ok(user.into())
    }

    /// Removes a user with their sessions, tokens and links.
    ///
    /// # Errors
    /// [`AuthError::NoUser`], [`AuthError::LastAdmin`].
    pub async fn remove_user(&self, who: &Principal, name: &str, reason: Option<&str>) -> Result<(), AuthError> {
        who.require(Permission::Users)?;
        made(self.accounts.remove_user(name).await?, name)?;
        self.audit.record(who, "user.remove", name, reason, json!({})).await?;
        Ok(())
    }

    pub(crate) async fn change(&self, name: &str, change: &UserChange) -> Result<(), AuthError> {
        made(self.accounts.change_user(name, change).await?, name)
    }
}

fn made(changed: Changed, name: &str) -> Result<(), AuthError> {
    match changed {
        Changed::Done => Ok(()),
        Changed::Missing => Err(AuthError::NoUser(name.to_owned())),
        Changed::LastAdmin => Err(AuthError::LastAdmin(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_lower_case() {
        for good in ["ada", "ada.lovelace", "a@b.example", "7of9", "x"] {
            assert!(checked_name(good).is_ok(), "{good}");
        }
        for bad in ["", "Ada", ".ada", "-x", "a b", "a/b", "ädä", "a\0", &"x".repeat(65)] {
            assert!(matches!(checked_name(bad), Err(AuthError::BadName(_))), "{bad}");
        }
        assert!(matches!(checked_name("local"), Err(AuthError::ReservedName(_))));
    }
}
