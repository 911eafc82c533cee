//! API tokens: made, listed, revoked.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::json;
use updraft_model::access::{Permission, Role};
use updraft_model::time::Timestamp;
use updraft_store::accounts::Token;

use crate::{AuthError, Authenticator, Principal, secret};

/// Life of a token that nobody limited.
pub const USUAL: Duration = Duration::from_hours(90 * 24);
/// Longest life.
pub const LONGEST: Duration = Duration::from_hours(366 * 24);
const SHORTEST: Duration = Duration::from_mins(1);

/// What a token is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// What its maker calls it.
    pub name: String,
    /// What it may do at most.
    pub role: Role,
    /// Limits it to these permissions; empty = all of its role.
    pub scopes: Vec<Permission>,
    /// How long it lives; 90 days if nobody says.
    pub expires_in: Option<Duration>,
}

/// A token as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenView {
    /// Its public id, to revoke it by.
    pub id: String,
    /// What its maker calls it.
    pub name: String,
    /// What it may do at most.
    pub role: Role,
    /// Limits.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to within a minute.
    pub last_used_at: Option<Timestamp>,
    /// By whom.
    pub created_by: String,
    /// Its first letters.
    pub prefix: String,
}

impl From<Token> for TokenView {
    fn from(token: Token) -> Self {
        Self {
            id: token.id,
            name: token.name,
            role: token.role,
            scopes: token.scopes,
            created_at: token.created_at,
            expires_at: token.expires_at,
            last_used_at: token.last_used_at,
            created_by: token.created_by,
            prefix: token.prefix,
        }
    }
}

impl Authenticator {
    /// Makes a token; its text is in no other place than the answer.
    ///
    /// # Errors
    /// Without [`Permission::OwnTokens`]; a role, scope or life span above what the asker may give.
    pub async fn create_token(
        &self,
        who: &Principal,
        new: &NewToken,
        reason: Option<&str>,
    ) -> Result<(TokenView, SecretString), AuthError> {
        who.require(Permission::OwnTokens)?;
        if new.role > who.role {
            return Err(AuthError::AboveRole { wanted: new.role, own: who.role });
        }
        if let Some(above) = new.scopes.iter().find(|scope| !new.role.allows(**scope) || !who.allows(**scope)) {
            return Err(AuthError::BadScope(*above));
        }
        // A limited token does not make an unlimited one.
        let scopes = if new.scopes.is_empty() { &who.scopes } else { &new.scopes };
        let life = new.expires_in.unwrap_or(USUAL);
        if !(SHORTEST..=LONGEST).contains(&life) {
            return Err(AuthError::BadExpiry);
        }
        let (text, now) = (secret::api_token()?, self.now());
        let name: String = new.name.trim().chars().filter(|c| !c.is_control()).take(100).collect();
        let token = Token {
            id: uuid::Uuid::now_v7().to_string(),
            name: if name.is_empty() { "token".to_owned() } else { name },
            role: new.role,
            scopes: scopes.iter().map(|scope| scope.name().to_owned()).collect(),
            hash: secret::hash(text.expose_secret()),
            prefix: secret::shown(text.expose_secret()),
            owner: who.user.clone().filter(|user| user != crate::LOCAL),
            created_by: who.name.clone(),
            created_at: now,
            expires_at: Some(now + life),
            last_used_at: None,
        };
        if !self.accounts.add_token(&token).await? {
            return Err(AuthError::NotAuthenticated);
        }
        let detail = json!({ "name": token.name, "role": token.role, "scopes": token.scopes, "expires_at": token.expires_at.map(|at| at.to_string()) });
        self.audit.record(who, "token.create", &token.id, reason, detail).await?;
        Ok((token.into(), text))
    }

    /// Tokens: all of them for who may see those of others, else one's own.
    ///
    /// # Errors
    /// Without [`Permission::OwnTokens`]; the store cannot be read.
    pub async fn tokens(&self, who: &Principal, after: Option<&str>, limit: u32) -> Result<Vec<TokenView>, AuthError> {
        let owner = reach(who)?;
        let found = self.accounts.tokens(owner, after, limit).await?;
        Ok(found.into_iter().map(TokenView::from).collect())
    }

    /// Revokes a token, at once.
    ///
    /// # Errors
    /// [`AuthError::NoToken`]: there is none, or it is somebody else's and the asker may not touch those.
    pub async fn revoke_token(&self, who: &Principal, id: &str, reason: Option<&str>) -> Result<(), AuthError> {
        let owner = reach(who)?;
        if !self.accounts.revoke_token(id, owner).await? {
            return Err(AuthError::NoToken(id.to_owned()));
        }
        self.audit.record(who, "token.revoke", id, reason, json!({})).await?;
        Ok(())
    }
}

/// Whose tokens a principal may touch; `None` = everybody's.
fn reach(who: &Principal) -> Result<Option<&str>, AuthError> {
    who.require(Permission::OwnTokens)?;
    if who.allows(Permission::Tokens) {
        return Ok(None);
    }
    // Nobody's name is empty: who is no user has no tokens of their own.
    Ok(Some(who.user.as_deref().unwrap_or_default()))
}
