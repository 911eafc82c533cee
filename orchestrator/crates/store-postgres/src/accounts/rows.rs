//! Rows as records.

use sqlx::postgres::PgRow;
use updraft_model::access::Role;
use updraft_store::StoreError;
use updraft_store::accounts::{AuditEntry, Link, LinkPurpose, Session, StoredConnection, Token, User};

use crate::row;

/// The columns of a user, from column `first` on.
pub(super) fn user(found: &PgRow, first: usize) -> Result<User, StoreError> {
    let name: String = row::get(found, first)?;
    Ok(User {
        role: row::named(Role::parse, row::get(found, first + 1)?, ("user_account", "role"), &name)?,
        password_hash: row::get(found, first + 2)?,
        must_change_password: row::get(found, first + 3)?,
        disabled: row::get(found, first + 4)?,
        created_at: row::at(found, first + 5)?,
        last_login_at: row::opt_at(found, first + 6)?,
        name,
    })
}

pub(super) fn session(found: &PgRow) -> Result<(Session, User), StoreError> {
    let user = user(found, 0)?;
    let session = Session {
        id_hash: row::get(found, 7)?,
        user: user.name.clone(),
        created_at: row::at(found, 8)?,
        last_seen_at: row::at(found, 9)?,
        idle_until: row::at(found, 10)?,
        expires_at: row::at(found, 11)?,
        address: row::get(found, 12)?,
        user_agent: row::get(found, 13)?,
    };
    Ok((session, user))
}

pub(super) fn token(found: &PgRow) -> Result<Token, StoreError> {
    let id: String = row::get(found, 0)?;
    Ok(Token {
        name: row::get(found, 1)?,
        role: row::named(Role::parse, row::get(found, 2)?, ("api_token", "role"), &id)?,
        scopes: row::json(row::get(found, 3)?, ("api_token", "scopes"), &id)?,
        hash: row::get(found, 4)?,
        prefix: row::get(found, 5)?,
        owner: row::get(found, 6)?,
        created_by: row::get(found, 7)?,
        created_at: row::at(found, 8)?,
        expires_at: row::opt_at(found, 9)?,
        last_used_at: row::opt_at(found, 10)?,
        id,
    })
}

pub(super) fn token_with_owner(found: &PgRow) -> Result<(Token, Option<User>), StoreError> {
    let there: Option<String> = row::get(found, 11)?;
    let owner = there.map(|_| user(found, 11)).transpose()?;
    Ok((token(found)?, owner))
}

pub(super) fn link(found: &PgRow) -> Result<Link, StoreError> {
    Ok(Link {
        hash: row::get(found, 0)?,
        purpose: row::named(LinkPurpose::parse, row::get(found, 1)?, ("login_link", "purpose"), "a link")?,
        user: row::get(found, 2)?,
        created_at: row::at(found, 3)?,
        expires_at: row::at(found, 4)?,
        used_at: row::opt_at(found, 5)?,
    })
}

/// Number and hash of the last entry.
pub(super) fn audit_head(found: &PgRow) -> Result<(u64, String), StoreError> {
    Ok((row::big_count(found, 0)?, row::get(found, 1)?))
}

pub(super) fn audit(found: &PgRow) -> Result<AuditEntry, StoreError> {
    Ok(AuditEntry {
        seq: row::big_count(found, 0)?,
        at: row::at(found, 1)?,
        actor: row::get(found, 2)?,
        role: row::get(found, 3)?,
        from: row::get(found, 4)?,
        action: row::get(found, 5)?,
        subject: row::get(found, 6)?,
        reason: row::get(found, 7)?,
        detail: row::get(found, 8)?,
        prev_hash: row::get(found, 9)?,
        hash: row::get(found, 10)?,
    })
}

pub(super) fn connection(found: &PgRow) -> Result<StoredConnection, StoreError> {
    let name: String = row::get(found, 0)?;
    Ok(StoredConnection {
        kind: row::get(found, 1)?,
        fields: row::json(row::get(found, 2)?, ("connection", "fields"), &name)?,
        sealed: row::json(row::get(found, 3)?, ("connection", "sealed"), &name)?,
        key_id: row::get(found, 4)?,
        version: row::big_count(found, 5)?,
        updated_at: row::at(found, 6)?,
        updated_by: row::get(found, 7)?,
        name,
    })
}
