//! Rows as records.

use sqlx::sqlite::SqliteRow;
use updraft_model::access::Role;
use updraft_store::StoreError;
use updraft_store::accounts::{AuditEntry, Link, LinkPurpose, Session, StoredConnection, Token, User};

use crate::rows::Reading;

pub(super) fn user(row: &SqliteRow) -> Result<User, StoreError> {
    let row = Reading::new(row, "user_account");
    Ok(User {
        name: row.get("name")?,
        role: row.name("role", Role::parse)?,
        password_hash: row.get("password_hash")?,
        must_change_password: row.get("must_change_password")?,
        disabled: row.get("disabled")?,
        created_at: row.at("created_at")?,
        last_login_at: row.opt_at("last_login_at")?,
    })
}

pub(super) fn session(row: &SqliteRow) -> Result<(Session, User), StoreError> {
    let user = user(row)?;
    let row = Reading::new(row, "session");
    let session = Session {
        id_hash: row.get("id_hash")?,
        user: user.name.clone(),
        created_at: row.at("began_at")?,
        last_seen_at: row.at("last_seen_at")?,
        idle_until: row.at("idle_until")?,
        expires_at: row.at("expires_at")?,
        address: row.get("address")?,
        user_agent: row.get("user_agent")?,
    };
    Ok((session, user))
}

pub(super) fn token(row: &SqliteRow) -> Result<Token, StoreError> {
    let row = Reading::new(row, "api_token");
    Ok(Token {
        id: row.get("token_id")?,
        name: row.get("token_name")?,
        role: row.name("token_role", Role::parse)?,
        scopes: row.json("scopes")?,
        hash: row.get("hash")?,
        prefix: row.get("prefix")?,
        owner: row.get("owner")?,
        created_by: row.get("created_by")?,
        created_at: row.at("token_created_at")?,
        expires_at: row.opt_at("expires_at")?,
        last_used_at: row.opt_at("last_used_at")?,
    })
}

pub(super) fn token_with_owner(row: &SqliteRow) -> Result<(Token, Option<User>), StoreError> {
    let token = token(row)?;
    let there: Option<String> = Reading::new(row, "api_token").get("name")?;
    let owner = there.map(|_| user(row)).transpose()?;
    Ok((token, owner))
}

pub(super) fn link(row: &SqliteRow) -> Result<Link, StoreError> {
    let row = Reading::new(row, "login_link");
    Ok(Link {
        hash: row.get("hash")?,
        purpose: row.name("purpose", LinkPurpose::parse)?,
        user: row.get("user_name")?,
        created_at: row.at("created_at")?,
        expires_at: row.at("expires_at")?,
        used_at: row.opt_at("used_at")?,
    })
}

/// Number and hash of the last entry.
pub(super) fn audit_head(row: &SqliteRow) -> Result<(u64, String), StoreError> {
    let row = Reading::new(row, "audit");
    Ok((row.number("seq")?, row.get("hash")?))
}

pub(super) fn audit(row: &SqliteRow) -> Result<AuditEntry, StoreError> {
    let row = Reading::new(row, "audit");
    Ok(AuditEntry {
        seq: row.number("seq")?,
        at: row.at("at")?,
        actor: row.get("actor")?,
        role: row.get("role")?,
        from: row.get("origin")?,
        action: row.get("action")?,
        subject: row.get("subject")?,
        reason: row.get("reason")?,
        detail: row.get("detail")?,
        prev_hash: row.get("prev_hash")?,
        hash: row.get("hash")?,
    })
}

pub(super) fn connection(row: &SqliteRow) -> Result<StoredConnection, StoreError> {
    let row = Reading::new(row, "connection");
    Ok(StoredConnection {
        name: row.get("name")?,
        kind: row.get("kind")?,
        fields: row.json("fields")?,
        sealed: row.json("sealed")?,
        key_id: row.get("key_id")?,
        version: row.number("version")?,
        updated_at: row.at("updated_at")?,
        updated_by: row.get("updated_by")?,
    })
}
