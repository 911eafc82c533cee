//! [`Idempotency`] on SQLite.

use async_trait::async_trait;
use sqlx::{Arguments, Row};
use updraft_model::id::RunId;
use updraft_model::time::Timestamp;
use updraft_store::idempotency::{Idempotency, KEY_BYTES, TakenKey};
use updraft_store::{Purpose, StoreError, check};

use crate::load::arguments;
use crate::rows::uuid;
use crate::store::SqliteStore;

const TAKE: &str = "/* take key */ INSERT INTO idempotency (owner, key, request, run_id, at) VALUES ($1, $2, $3, $4, $5) \
ON CONFLICT (owner, key) DO NOTHING RETURNING run_id";
const TAKEN: &str = "/* taken key */ SELECT request, run_id, at FROM idempotency WHERE owner = $1 AND key = $2";
const GIVE_BACK: &str =
    "/* give key back */ DELETE FROM idempotency WHERE owner = $1 AND key = $2 AND run_id = $3 RETURNING run_id";
const FORGET: &str = "/* forget keys */ DELETE FROM idempotency WHERE at < $1 RETURNING key";

#[async_trait]
impl Idempotency for SqliteStore {
    async fn take_key(&self, key: &TakenKey) -> Result<Option<TakenKey>, StoreError> {
        check::text("idempotency key", &key.key, KEY_BYTES)?;
        let made = arguments(|a| {
            a.add(key.owner.as_str())?;
            a.add(key.key.as_str())?;
            a.add(key.request.as_str())?;
            a.add(key.run_id.to_string())?;
            a.add(key.at.as_millis())
        })?;
        if !self.write(Purpose::Admin, TAKE, made).await?.is_empty() {
            return Ok(None);
        }
        let asked = arguments(|a| {
            a.add(key.owner.as_str())?;
            a.add(key.key.as_str())
        })?;
        let found = self.look(TAKEN, asked).await?;
        // Forgotten in between: too old to stand in the way.
        let Some(row) = found.first() else { return Ok(None) };
        let odd = |error: sqlx::Error| StoreError::Other(format!("a row of idempotency: {error}"));
        let run: String = row.try_get(1).map_err(odd)?;
        Ok(Some(TakenKey {
            request: row.try_get(0).map_err(odd)?,
            run_id: RunId(uuid(&run, "idempotency", "run_id")?),
            at: Timestamp::from_millis(row.try_get(2).map_err(odd)?),
            owner: key.owner.clone(),
            key: key.key.clone(),
        }))
    }

    async fn give_key_back(&self, key: &TakenKey) -> Result<(), StoreError> {
        let made = arguments(|a| {
            a.add(key.owner.as_str())?;
            a.add(key.key.as_str())?;
            a.add(key.run_id.to_string())
        })?;
        self.write(Purpose::Admin, GIVE_BACK, made).await.map(drop)
    }

    async fn forget_keys(&self, before: Timestamp) -> Result<u64, StoreError> {
        let rows = self.write(Purpose::Admin, FORGET, arguments(|a| a.add(before.as_millis()))?).await?;
        Ok(rows.len() as u64)
    }
}
