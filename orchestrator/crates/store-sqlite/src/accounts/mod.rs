//! [`Accounts`] on SQLite: writes join the writer's group commit, reads go over the readers' connections.

#[cfg(test)]
mod plans;
mod rows;
mod sql;

use async_trait::async_trait;
use sqlx::Arguments;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use updraft_model::access::Role;
use updraft_model::time::Timestamp;
use updraft_store::accounts::{
    Accounts, AuditEntry, AuditFilter, Changed, Link, NewAudit, Session, StoredConnection, Token, User, UserChange,
};
use updraft_store::{Purpose, StoreError, check};

use crate::load::{arguments, fetch};
use crate::rows::to_i64;
use crate::store::SqliteStore;

impl SqliteStore {
    pub(crate) async fn look(
        &self,
        sql: &'static str,
        arguments: SqliteArguments,
    ) -> Result<Vec<SqliteRow>, StoreError> {
        self.counters.round_trip(Purpose::Read);
        self.reads.read(move |connection| Box::pin(async move { fetch(connection, sql, arguments).await })).await
    }

    /// One statement that returns a row for each row written.
    pub(crate) async fn put(
        &self,
        sql: &'static str,
        arguments: SqliteArguments,
    ) -> Result<Vec<SqliteRow>, StoreError> {
        self.write(Purpose::Admin, sql, arguments).await
    }
}

fn texts(given: &[(&str, &str)]) -> Result<(), StoreError> {
    given.iter().try_for_each(|(what, text)| check::text(what, text, usize::MAX))
}

fn one_text(text: &str) -> Result<SqliteArguments, StoreError> {
    arguments(|a| a.add(text))
}

async fn user_row(connection: &mut SqliteConnection, name: &str) -> Result<Option<User>, StoreError> {
    fetch(connection, sql::USER, one_text(name)?).await?.first().map(rows::user).transpose()
}

/// Whether this user may not go: nobody else is an enabled admin with a password.
async fn is_last_admin(connection: &mut SqliteConnection, user: &User) -> Result<bool, StoreError> {
    let counts = user.role == Role::Admin && !user.disabled && user.password_hash.is_some();
    Ok(counts && fetch(connection, sql::OTHER_ADMIN, one_text(&user.name)?).await?.is_empty())
}

async fn end_sessions(
    connection: &mut SqliteConnection,
    user: &str,
    except: Option<&str>,
) -> Result<Vec<SqliteRow>, StoreError> {
    let arguments = arguments(|a| {
        a.add(user)?;
        a.add(except)
    })?;
    fetch(connection, sql::END_SESSIONS, arguments).await
}

#[async_trait]
impl Accounts for SqliteStore {
    async fn users(&self, after: Option<&str>, limit: u32) -> Result<Vec<User>, StoreError> {
        let arguments = arguments(|a| {
            a.add(after.unwrap_or_default())?;
            a.add(i64::from(limit))
        })?;
        self.look(sql::USERS, arguments).await?.iter().map(rows::user).collect()
    }

    async fn user(&self, name: &str) -> Result<Option<User>, StoreError> {
        self.look(sql::USER, one_text(name)?).await?.first().map(rows::user).transpose()
    }

    async fn add_user(&self, user: &User) -> Result<bool, StoreError> {
        texts(&[("name", &user.name)])?;
        let arguments = arguments(|a| {
            a.add(user.name.as_str())?;
            a.add(user.role.name())?;
            a.add(user.password_hash.as_deref())?;
            a.add(user.must_change_password)?;
            a.add(user.disabled)?;
            a.add(user.created_at.as_millis())?;
            a.add(user.last_login_at.map(Timestamp::as_millis))
        })?;
        Ok(!self.put(sql::ADD_USER, arguments).await?.is_empty())
    }

    async fn change_user(&self, name: &str, change: &UserChange) -> Result<Changed, StoreError> {
        let (name, change) = (name.to_owned(), change.clone());
        self.writer
            .job(Purpose::Admin, move |connection| {
                Box::pin(async move {
                    let Some(before) = user_row(connection, &name).await? else {
                        return Ok((Changed::Missing, false));
                    };
                    let mut after = before.clone();
                    after.role = change.role.unwrap_or(after.role);
                    after.disabled = change.disabled.unwrap_or(after.disabled);
                    if let Some((hash, must_change)) = change.password {
                        after.password_hash = Some(hash);
                        after.must_change_password = must_change;
                    }
                    let leaves = after.role != Role::Admin || after.disabled;
                    if leaves && is_last_admin(connection, &before).await? {
                        return Ok((Changed::LastAdmin, false));
                    }
                    let arguments = arguments(|a| {
                        a.add(name.as_str())?;
                        a.add(after.role.name())?;
                        a.add(after.password_hash.as_deref())?;
                        a.add(after.must_change_password)?;
                        a.add(after.disabled)
                    })?;
                    fetch(connection, sql::CHANGE_USER, arguments).await?;
                    if change.end_sessions {
                        end_sessions(connection, &name, change.keep_session.as_deref()).await?;
                    }
                    Ok((Changed::Done, true))
                })
            })
            .await
    }

    async fn remove_user(&self, name: &str) -> Result<Changed, StoreError> {
        let name = name.to_owned();
        self.writer
            .job(Purpose::Admin, move |connection| {
                Box::pin(async move {
                    let Some(user) = user_row(connection, &name).await? else {
                        return Ok((Changed::Missing, false));
                    };
                    if is_last_admin(connection, &user).await? {
                        return Ok((Changed::LastAdmin, false));
                    }
                    fetch(connection, sql::REMOVE_USER, one_text(&name)?).await?;
                    Ok((Changed::Done, true))
                })
            })
            .await
    }

    async fn has_admin(&self) -> Result<bool, StoreError> {
        Ok(!self.look(sql::OTHER_ADMIN, one_text("")?).await?.is_empty())
    }

    async fn add_session(&self, session: &Session) -> Result<bool, StoreError> {
        texts(&[("address", &session.address), ("user agent", &session.user_agent)])?;
        let session = session.clone();
        self.writer
            .job(Purpose::Admin, move |connection| {
                Box::pin(async move {
                    let login = arguments(|a| {
                        a.add(session.user.as_str())?;
                        a.add(session.created_at.as_millis())
                    })?;
                    if fetch(connection, sql::LOGGED_IN, login).await?.is_empty() {
                        return Ok((false, false));
                    }
                    let arguments = arguments(|a| {
                        a.add(session.id_hash.as_str())?;
                        a.add(session.user.as_str())?;
                        a.add(session.created_at.as_millis())?;
                        a.add(session.last_seen_at.as_millis())?;
                        a.add(session.idle_until.as_millis())?;
                        a.add(session.expires_at.as_millis())?;
                        a.add(session.address.as_str())?;
                        a.add(session.user_agent.as_str())
                    })?;
                    fetch(connection, sql::ADD_SESSION, arguments).await?;
                    Ok((true, true))
                })
            })
            .await
    }

    async fn session(&self, id_hash: &str) -> Result<Option<(Session, User)>, StoreError> {
        self.look(sql::SESSION, one_text(id_hash)?).await?.first().map(rows::session).transpose()
    }

    async fn touch_session(&self, id_hash: &str, at: Timestamp, idle_until: Timestamp) -> Result<bool, StoreError> {
        let arguments = arguments(|a| {
            a.add(id_hash)?;
            a.add(at.as_millis())?;
            a.add(idle_until.as_millis())
        })?;
        Ok(!self.put(sql::TOUCH_SESSION, arguments).await?.is_empty())
    }

    async fn end_session(&self, id_hash: &str) -> Result<bool, StoreError> {
        Ok(!self.put(sql::END_SESSION, one_text(id_hash)?).await?.is_empty())
    }

    async fn end_sessions(&self, user: &str, except: Option<&str>) -> Result<u64, StoreError> {
        let arguments = arguments(|a| {
            a.add(user)?;
            a.add(except)
        })?;
        Ok(self.put(sql::END_SESSIONS, arguments).await?.len() as u64)
    }

    async fn add_token(&self, token: &Token) -> Result<bool, StoreError> {
        texts(&[("name", &token.name), ("created by", &token.created_by)])?;
        let scopes = crate::store::json(&token.scopes);
        let arguments = arguments(|a| {
            a.add(token.id.as_str())?;
            a.add(token.name.as_str())?;
            a.add(token.role.name())?;
            a.add(scopes)?;
            a.add(token.hash.as_str())?;
            a.add(token.prefix.as_str())?;
            a.add(token.owner.as_deref())?;
            a.add(token.created_by.as_str())?;
            a.add(token.created_at.as_millis())?;
            a.add(token.expires_at.map(Timestamp::as_millis))
        })?;
        Ok(!self.put(sql::ADD_TOKEN, arguments).await?.is_empty())
    }

    async fn token(&self, hash: &str) -> Result<Option<(Token, Option<User>)>, StoreError> {
        self.look(sql::TOKEN, one_text(hash)?).await?.first().map(rows::token_with_owner).transpose()
    }

    async fn tokens(&self, owner: Option<&str>, after: Option<&str>, limit: u32) -> Result<Vec<Token>, StoreError> {
        let arguments = arguments(|a| {
            a.add(after.unwrap_or_default())?;
            a.add(i64::from(limit))?;
            a.add(owner)
        })?;
        let sql = if owner.is_some() { sql::TOKENS_OF } else { sql::TOKENS };
        self.look(sql, arguments).await?.iter().map(rows::token).collect()
    }

    async fn touch_token(&self, id: &str, at: Timestamp) -> Result<(), StoreError> {
        let arguments = arguments(|a| {
            a.add(id)?;
            a.add(at.as_millis())
        })?;
        self.put(sql::TOUCH_TOKEN, arguments).await.map(drop)
    }

    async fn revoke_token(&self, id: &str, owner: Option<&str>) -> Result<bool, StoreError> {
        let arguments = arguments(|a| {
            a.add(id)?;
            a.add(owner)
        })?;
        Ok(!self.put(sql::REVOKE_TOKEN, arguments).await?.is_empty())
    }

    async fn add_link(&self, link: &Link) -> Result<(), StoreError> {
        let link = link.clone();
        self.writer
            .job(Purpose::Admin, move |connection| {
                Box::pin(async move {
                    let older = arguments(|a| {
                        a.add(link.purpose.name())?;
                        a.add(link.user.as_deref())
                    })?;
                    fetch(connection, sql::END_LINKS, older).await?;
                    let arguments = arguments(|a| {
                        a.add(link.hash.as_str())?;
                        a.add(link.purpose.name())?;
                        a.add(link.user.as_deref())?;
                        a.add(link.created_at.as_millis())?;
                        a.add(link.expires_at.as_millis())
                    })?;
                    fetch(connection, sql::ADD_LINK, arguments).await?;
                    Ok(((), true))
                })
            })
            .await
    }

    async fn link(&self, hash: &str) -> Result<Option<Link>, StoreError> {
        self.look(sql::LINK, one_text(hash)?).await?.first().map(rows::link).transpose()
    }

    async fn use_link(&self, hash: &str, at: Timestamp) -> Result<Option<Link>, StoreError> {
        let arguments = arguments(|a| {
            a.add(hash)?;
            a.add(at.as_millis())
        })?;
        self.put(sql::USE_LINK, arguments).await?.first().map(rows::link).transpose()
    }

    async fn sweep_accounts(&self, at: Timestamp) -> Result<u64, StoreError> {
        self.writer
            .job(Purpose::Admin, move |connection| {
                Box::pin(async move {
                    let mut swept = 0;
                    for sql in [sql::SWEEP_SESSIONS, sql::SWEEP_LINKS, sql::SWEEP_TOKENS] {
                        swept += fetch(connection, sql, arguments(|a| a.add(at.as_millis()))?).await?.len() as u64;
                    }
                    Ok((swept, swept > 0))
                })
            })
            .await
    }

    async fn append_audit(&self, new: &NewAudit) -> Result<AuditEntry, StoreError> {
        let new = new.clone();
        // One process owns the file and one task its writing connection: nobody can come in between.
        self.writer
            .job(Purpose::Admin, move |connection| {
                Box::pin(async move {
                    let none = SqliteArguments::default();
                    let last = fetch(connection, sql::LAST_AUDIT, none).await?;
                    let entry = AuditEntry::next(last.first().map(rows::audit_head).transpose()?, &new)?;
                    let seq = to_i64(entry.seq)?;
                    let arguments = arguments(|a| {
                        a.add(seq)?;
                        a.add(entry.at.as_millis())?;
                        a.add(entry.actor.as_str())?;
                        a.add(entry.role.as_deref())?;
                        a.add(entry.from.as_str())?;
                        a.add(entry.action.as_str())?;
                        a.add(entry.subject.as_str())?;
                        a.add(entry.reason.as_deref())?;
                        a.add(entry.detail.as_str())?;
                        a.add(entry.prev_hash.as_str())?;
                        a.add(entry.hash.as_str())
                    })?;
                    fetch(connection, sql::ADD_AUDIT, arguments).await?;
                    Ok((entry, true))
                })
            })
            .await
    }

    async fn audit(&self, filter: &AuditFilter) -> Result<Vec<AuditEntry>, StoreError> {
        let sql = sql::audit(filter);
        let before = filter.before.map(to_i64).transpose()?;
        let arguments = arguments(|a| {
            a.add(filter.actor.as_deref())?;
            a.add(filter.action.as_deref())?;
            a.add(filter.subject.as_deref())?;
            a.add(filter.since.map(Timestamp::as_millis))?;
            a.add(filter.until.map(Timestamp::as_millis))?;
            a.add(before)?;
            a.add(i64::from(filter.limit))
        })?;
        self.counters.round_trip(Purpose::Read);
        let found = self
            .reads
            .read(move |connection| {
                Box::pin(async move {
                    let query = sqlx::query_with(sqlx::AssertSqlSafe(sql), arguments);
                    let found = sqlx::Executor::fetch_all(connection, query).await;
                    found.map_err(|error| crate::error::plain(&error))
                })
            })
            .await?;
        found.iter().map(rows::audit).collect()
    }

    async fn audit_after(&self, seq: u64, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        let seq = to_i64(seq)?;
        let arguments = arguments(|a| {
            a.add(seq)?;
            a.add(i64::from(limit))
        })?;
        self.look(sql::AUDIT_AFTER, arguments).await?.iter().map(rows::audit).collect()
    }

    async fn connections(&self) -> Result<Vec<StoredConnection>, StoreError> {
        self.look(sql::CONNECTIONS, SqliteArguments::default()).await?.iter().map(rows::connection).collect()
    }

    async fn stored_connection(&self, name: &str) -> Result<Option<StoredConnection>, StoreError> {
        self.look(sql::CONNECTION, one_text(name)?).await?.first().map(rows::connection).transpose()
    }

    async fn put_connection(&self, connection: &StoredConnection, expected: u64) -> Result<bool, StoreError> {
        texts(&[("name", &connection.name), ("kind", &connection.kind), ("updated by", &connection.updated_by)])?;
        let fields = crate::store::json(&connection.fields);
        texts(&[("fields", &fields)])?;
        let (sealed, expected) = (crate::store::json(&connection.sealed), to_i64(expected)?);
        let arguments = arguments(|a| {
            a.add(connection.name.as_str())?;
            a.add(connection.kind.as_str())?;
            a.add(fields)?;
            a.add(sealed)?;
            a.add(connection.key_id.as_deref())?;
            a.add(expected)?;
            a.add(connection.updated_at.as_millis())?;
            a.add(connection.updated_by.as_str())
        })?;
        let sql = if expected == 0 { sql::NEW_CONNECTION } else { sql::SET_CONNECTION };
        Ok(!self.put(sql, arguments).await?.is_empty())
    }

    async fn remove_connection(&self, name: &str) -> Result<bool, StoreError> {
        Ok(!self.put(sql::REMOVE_CONNECTION, one_text(name)?).await?.is_empty())
    }
}
