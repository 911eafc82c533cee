//! [`Accounts`] on PostgreSQL, over connections of its own.

#[cfg(test)]
mod plans;
mod rows;
mod sql;

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;
use sqlx::postgres::PgRow;
use sqlx::{Connection, PgConnection, Postgres, Transaction};
use updraft_model::access::Role;
use updraft_model::time::Timestamp;
use updraft_store::accounts::{
    Accounts, AuditEntry, AuditFilter, Changed, Link, NewAudit, Session, StoredConnection, Token, User, UserChange,
};
use updraft_store::{Purpose, StoreError, check};

use crate::kept::number;
use crate::line::{Line, Lost, guarded};
use crate::{Inner, PgStore, error};

fn line(inner: &Inner) -> &Arc<Line> {
    &inner.accounts
}

/// What a transaction made, and whether it wrote.
type Made<T> = Result<(T, bool), StoreError>;

impl PgStore {
    pub(crate) async fn look<F>(&self, ask: F) -> Result<Vec<PgRow>, StoreError>
    where
        F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<Vec<PgRow>, sqlx::Error>> + Send + 'static,
    {
        self.ask(line, Purpose::Read, Lost::Nothing, ask).await
    }

    /// One statement that returns a row for each row written.
    pub(crate) async fn put<F>(&self, ask: F) -> Result<Vec<PgRow>, StoreError>
    where
        F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<Vec<PgRow>, sqlx::Error>> + Send + 'static,
    {
        let rows = self.ask(line, Purpose::Admin, Lost::Commit, ask).await?;
        self.committed(Purpose::Admin, !rows.is_empty());
        Ok(rows)
    }

    /// Several statements in one transaction.
    async fn transact<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Transaction<'_, Postgres>) -> BoxFuture<'t, Made<T>> + Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        guarded(Lost::Commit, async move {
            // On any error the lease is dropped, which closes the connection and with it the transaction.
            let mut lease = inner.accounts.lease().await?;
            inner.counters.round_trip(Purpose::Admin);
            let mut transaction = lease.connection.begin().await.map_err(|error| error::plain(&error))?;
            let (value, wrote) = work(&mut transaction).await?;
            transaction.commit().await.map_err(|error| error::of_commit(&error))?;
            lease.give_back();
            if wrote {
                inner.counters.committed(Purpose::Admin);
            }
            Ok(value)
        })
        .await
    }
}

fn texts(given: &[(&str, &str)]) -> Result<(), StoreError> {
    given.iter().try_for_each(|(what, text)| check::text(what, text, usize::MAX))
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("lists and maps of text are always JSON")
}

fn plain(error: sqlx::Error) -> StoreError {
    error::plain(&error)
}

/// The user, locked until the transaction ends.
async fn locked_user(connection: &mut PgConnection, name: &str) -> Result<Option<User>, StoreError> {
    let found = sqlx::query(sql::LOCK_USER).bind(name).fetch_optional(connection).await.map_err(plain)?;
    found.as_ref().map(|row| rows::user(row, 0)).transpose()
}

/// Whether this user may not go: nobody else is an enabled admin with a password. The admins stay locked until the
/// transaction ends, so that two cannot remove each other.
async fn is_last_admin(connection: &mut PgConnection, user: &User) -> Result<bool, StoreError> {
    if user.role != Role::Admin || user.disabled || user.password_hash.is_none() {
        return Ok(false);
    }
    let others = sqlx::query(sql::OTHER_ADMINS).bind(&user.name).fetch_all(connection).await.map_err(plain)?;
    Ok(others.is_empty())
}

#[async_trait]
impl Accounts for PgStore {
    async fn users(&self, after: Option<&str>, limit: u32) -> Result<Vec<User>, StoreError> {
        let after = after.unwrap_or_default().to_owned();
        let found = self
            .look(move |c| Box::pin(sqlx::query(sql::USERS).bind(after).bind(i64::from(limit)).fetch_all(c)))
            .await?;
        found.iter().map(|row| rows::user(row, 0)).collect()
    }

    async fn user(&self, name: &str) -> Result<Option<User>, StoreError> {
        let name = name.to_owned();
        let found = self.look(move |c| Box::pin(sqlx::query(sql::USER).bind(name).fetch_all(c))).await?;
        found.first().map(|row| rows::user(row, 0)).transpose()
    }

    async fn add_user(&self, user: &User) -> Result<bool, StoreError> {
        texts(&[("name", &user.name)])?;
        let user = user.clone();
        let query = sqlx::query(sql::ADD_USER)
            .bind(user.name)
            .bind(user.role.name())
            .bind(user.password_hash)
            .bind(user.must_change_password)
            .bind(user.disabled)
            .bind(user.created_at.to_datetime())
            .bind(user.last_login_at.map(Timestamp::to_datetime));
        Ok(!self.put(move |c| Box::pin(query.fetch_all(c))).await?.is_empty())
    }

    async fn change_user(&self, name: &str, change: &UserChange) -> Result<Changed, StoreError> {
        let (name, change) = (name.to_owned(), change.clone());
        self.transact(move |transaction| {
            Box::pin(async move {
                // The admins first, in the same order everywhere: two changes at once wait instead of deadlocking.
                sqlx::query(sql::OTHER_ADMINS).bind("").fetch_all(&mut **transaction).await.map_err(plain)?;
                let Some(before) = locked_user(transaction, &name).await? else {
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
                if leaves && is_last_admin(transaction, &before).await? {
                    return Ok((Changed::LastAdmin, false));
                }
                sqlx::query(sql::CHANGE_USER)
                    .bind(&name)
                    .bind(after.role.name())
                    .bind(after.password_hash)
                    .bind(after.must_change_password)
                    .bind(after.disabled)
                    .execute(&mut **transaction)
                    .await
                    .map_err(plain)?;
                if change.end_sessions {
                    sqlx::query(sql::END_SESSIONS)
                        .bind(&name)
                        .bind(change.keep_session)
                        .execute(&mut **transaction)
                        .await
                        .map_err(plain)?;
                }
                Ok((Changed::Done, true))
            })
        })
        .await
    }

    async fn remove_user(&self, name: &str) -> Result<Changed, StoreError> {
        let name = name.to_owned();
        self.transact(move |transaction| {
            Box::pin(async move {
                sqlx::query(sql::OTHER_ADMINS).bind("").fetch_all(&mut **transaction).await.map_err(plain)?;
                let Some(user) = locked_user(transaction, &name).await? else {
                    return Ok((Changed::Missing, false));
                };
                if is_last_admin(transaction, &user).await? {
                    return Ok((Changed::LastAdmin, false));
                }
                for sql in sql::REMOVE_USER {
                    sqlx::query(*sql).bind(&name).execute(&mut **transaction).await.map_err(plain)?;
                }
                Ok((Changed::Done, true))
            })
        })
        .await
    }

    async fn has_admin(&self) -> Result<bool, StoreError> {
        Ok(!self.look(|c| Box::pin(sqlx::query(sql::ANY_ADMIN).fetch_all(c))).await?.is_empty())
    }

    async fn add_session(&self, session: &Session) -> Result<bool, StoreError> {
        texts(&[("address", &session.address), ("user agent", &session.user_agent)])?;
        let session = session.clone();
        self.transact(move |transaction| {
            Box::pin(async move {
                // Locks the user's row: who is being disabled at this moment is disabled before or after, not between.
                let login = sqlx::query(sql::LOGGED_IN)
                    .bind(&session.user)
                    .bind(session.created_at.to_datetime())
                    .execute(&mut **transaction)
                    .await
                    .map_err(plain)?;
                if login.rows_affected() == 0 {
                    return Ok((false, false));
                }
                sqlx::query(sql::ADD_SESSION)
                    .bind(session.id_hash)
                    .bind(session.user)
                    .bind(session.created_at.to_datetime())
                    .bind(session.last_seen_at.to_datetime())
                    .bind(session.idle_until.to_datetime())
                    .bind(session.expires_at.to_datetime())
                    .bind(session.address)
                    .bind(session.user_agent)
                    .execute(&mut **transaction)
                    .await
                    .map_err(plain)?;
                Ok((true, true))
            })
        })
        .await
    }

    async fn session(&self, id_hash: &str) -> Result<Option<(Session, User)>, StoreError> {
        let hash = id_hash.to_owned();
        let found = self.look(move |c| Box::pin(sqlx::query(sql::SESSION).bind(hash).fetch_all(c))).await?;
        found.first().map(rows::session).transpose()
    }

    async fn touch_session(&self, id_hash: &str, at: Timestamp, idle_until: Timestamp) -> Result<bool, StoreError> {
        let query = sqlx::query(sql::TOUCH_SESSION)
            .bind(id_hash.to_owned())
            .bind(at.to_datetime())
            .bind(idle_until.to_datetime());
        Ok(!self.put(move |c| Box::pin(query.fetch_all(c))).await?.is_empty())
    }

    async fn end_session(&self, id_hash: &str) -> Result<bool, StoreError> {
        let query = sqlx::query(sql::END_SESSION).bind(id_hash.to_owned());
        Ok(!self.put(move |c| Box::pin(query.fetch_all(c))).await?.is_empty())
    }

    async fn end_sessions(&self, user: &str, except: Option<&str>) -> Result<u64, StoreError> {
        let query = sqlx::query(sql::END_SESSIONS).bind(user.to_owned()).bind(except.map(str::to_owned));
        Ok(self.put(move |c| Box::pin(query.fetch_all(c))).await?.len() as u64)
    }

    async fn add_token(&self, token: &Token) -> Result<bool, StoreError> {
        texts(&[("name", &token.name), ("created by", &token.created_by)])?;
        let token = token.clone();
        let query = sqlx::query(sql::ADD_TOKEN)
            .bind(token.id)
            .bind(token.name)
            .bind(token.role.name())
            .bind(json(&token.scopes))
            .bind(token.hash)
            .bind(token.prefix)
            .bind(token.owner)
            .bind(token.created_by)
            .bind(token.created_at.to_datetime())
            .bind(token.expires_at.map(Timestamp::to_datetime));
        Ok(!self.put(move |c| Box::pin(query.fetch_all(c))).await?.is_empty())
    }

    async fn token(&self, hash: &str) -> Result<Option<(Token, Option<User>)>, StoreError> {
        let hash = hash.to_owned();
        let found = self.look(move |c| Box::pin(sqlx::query(sql::TOKEN).bind(hash).fetch_all(c))).await?;
        found.first().map(rows::token_with_owner).transpose()
    }

    async fn tokens(&self, owner: Option<&str>, after: Option<&str>, limit: u32) -> Result<Vec<Token>, StoreError> {
        let query = sqlx::query(sql::TOKENS)
            .bind(after.unwrap_or_default().to_owned())
            .bind(i64::from(limit))
            .bind(owner.map(str::to_owned));
        self.look(move |c| Box::pin(query.fetch_all(c))).await?.iter().map(rows::token).collect()
    }

    async fn touch_token(&self, id: &str, at: Timestamp) -> Result<(), StoreError> {
        let query = sqlx::query(sql::TOUCH_TOKEN).bind(id.to_owned()).bind(at.to_datetime());
        self.put(move |c| Box::pin(query.fetch_all(c))).await.map(drop)
    }

    async fn revoke_token(&self, id: &str, owner: Option<&str>) -> Result<bool, StoreError> {
        let query = sqlx::query(sql::REVOKE_TOKEN).bind(id.to_owned()).bind(owner.map(str::to_owned));
        Ok(!self.put(move |c| Box::pin(query.fetch_all(c))).await?.is_empty())
    }

    async fn add_link(&self, link: &Link) -> Result<(), StoreError> {
        let link = link.clone();
        self.transact(move |transaction| {
            Box::pin(async move {
                sqlx::query(sql::END_LINKS)
                    .bind(link.purpose.name())
                    .bind(&link.user)
                    .execute(&mut **transaction)
                    .await
                    .map_err(plain)?;
                sqlx::query(sql::ADD_LINK)
                    .bind(link.hash)
                    .bind(link.purpose.name())
                    .bind(link.user)
                    .bind(link.created_at.to_datetime())
                    .bind(link.expires_at.to_datetime())
                    .execute(&mut **transaction)
                    .await
                    .map_err(plain)?;
                Ok(((), true))
            })
        })
        .await
    }

    async fn link(&self, hash: &str) -> Result<Option<Link>, StoreError> {
        let hash = hash.to_owned();
        let found = self.look(move |c| Box::pin(sqlx::query(sql::LINK).bind(hash).fetch_all(c))).await?;
        found.first().map(rows::link).transpose()
    }

    async fn use_link(&self, hash: &str, at: Timestamp) -> Result<Option<Link>, StoreError> {
        let query = sqlx::query(sql::USE_LINK).bind(hash.to_owned()).bind(at.to_datetime());
        self.put(move |c| Box::pin(query.fetch_all(c))).await?.first().map(rows::link).transpose()
    }

    async fn sweep_accounts(&self, at: Timestamp) -> Result<u64, StoreError> {
        self.transact(move |transaction| {
            Box::pin(async move {
                let mut swept = 0;
                for sql in sql::SWEEP {
                    let query = sqlx::query(*sql).bind(at.to_datetime());
                    swept += query.execute(&mut **transaction).await.map_err(plain)?.rows_affected();
                }
                Ok((swept, swept > 0))
            })
        })
        .await
    }

    async fn append_audit(&self, new: &NewAudit) -> Result<AuditEntry, StoreError> {
        let new = new.clone();
        self.transact(move |transaction| {
            Box::pin(async move {
                // Held until the transaction ends, by every process: the next one sees this entry. The primary key
                // stands behind it: two entries cannot have one number.
                sqlx::query(sql::LOCK_AUDIT).execute(&mut **transaction).await.map_err(plain)?;
                let last = sqlx::query(sql::LAST_AUDIT).fetch_optional(&mut **transaction).await.map_err(plain)?;
                let entry = AuditEntry::next(last.as_ref().map(rows::audit_head).transpose()?, &new)?;
                sqlx::query(sql::ADD_AUDIT)
                    .bind(number(entry.seq)?)
                    .bind(entry.at.to_datetime())
                    .bind(&entry.actor)
                    .bind(&entry.role)
                    .bind(&entry.from)
                    .bind(&entry.action)
                    .bind(&entry.subject)
                    .bind(&entry.reason)
                    .bind(&entry.detail)
                    .bind(&entry.prev_hash)
                    .bind(&entry.hash)
                    .execute(&mut **transaction)
                    .await
                    .map_err(plain)?;
                Ok((entry, true))
            })
        })
        .await
    }

    async fn audit(&self, filter: &AuditFilter) -> Result<Vec<AuditEntry>, StoreError> {
        let filter = filter.clone();
        let query = sqlx::query(sql::AUDIT)
            .bind(filter.actor)
            .bind(filter.action)
            .bind(filter.subject)
            .bind(filter.since.map(Timestamp::to_datetime))
            .bind(filter.until.map(Timestamp::to_datetime))
            .bind(filter.before.map(number).transpose()?)
            .bind(i64::from(filter.limit));
        self.look(move |c| Box::pin(query.fetch_all(c))).await?.iter().map(rows::audit).collect()
    }

    async fn audit_after(&self, seq: u64, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        let query = sqlx::query(sql::AUDIT_AFTER).bind(number(seq)?).bind(i64::from(limit));
        self.look(move |c| Box::pin(query.fetch_all(c))).await?.iter().map(rows::audit).collect()
    }

    async fn connections(&self) -> Result<Vec<StoredConnection>, StoreError> {
        let found = self.look(|c| Box::pin(sqlx::query(sql::CONNECTIONS).fetch_all(c))).await?;
        found.iter().map(rows::connection).collect()
    }

    async fn stored_connection(&self, name: &str) -> Result<Option<StoredConnection>, StoreError> {
        let name = name.to_owned();
        let found = self.look(move |c| Box::pin(sqlx::query(sql::CONNECTION).bind(name).fetch_all(c))).await?;
        found.first().map(rows::connection).transpose()
    }

    async fn put_connection(&self, connection: &StoredConnection, expected: u64) -> Result<bool, StoreError> {
        texts(&[("name", &connection.name), ("kind", &connection.kind), ("updated by", &connection.updated_by)])?;
        let (fields, sealed) = (json(&connection.fields), json(&connection.sealed));
        texts(&[("fields", &fields)])?;
        let connection = connection.clone();
        let query = sqlx::query(if expected == 0 { sql::NEW_CONNECTION } else { sql::SET_CONNECTION })
            .bind(connection.name)
            .bind(connection.kind)
            .bind(fields)
            .bind(sealed)
            .bind(connection.key_id)
            .bind(number(expected)?)
            .bind(connection.updated_at.to_datetime())
            .bind(connection.updated_by);
        Ok(!self.put(move |c| Box::pin(query.fetch_all(c))).await?.is_empty())
    }

    async fn remove_connection(&self, name: &str) -> Result<bool, StoreError> {
        let query = sqlx::query(sql::REMOVE_CONNECTION).bind(name.to_owned());
        Ok(!self.put(move |c| Box::pin(query.fetch_all(c))).await?.is_empty())
    }
}
