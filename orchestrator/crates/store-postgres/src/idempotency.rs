//! [`Idempotency`] on PostgreSQL, over the accounts' connections.

use async_trait::async_trait;
use updraft_model::id::RunId;
use updraft_model::time::Timestamp;
use updraft_store::idempotency::{Idempotency, KEY_BYTES, TakenKey};
use updraft_store::{StoreError, check};

use crate::{PgStore, row};

const TAKE: &str = "/* take key */ INSERT INTO idempotency (owner, key, request, run_id, at) VALUES ($1, $2, $3, $4, $5) \
ON CONFLICT (owner, key) DO NOTHING RETURNING run_id";
const TAKEN: &str = "/* taken key */ SELECT request, run_id, at FROM idempotency WHERE owner = $1 AND key = $2";
const GIVE_BACK: &str =
    "/* give key back */ DELETE FROM idempotency WHERE owner = $1 AND key = $2 AND run_id = $3 RETURNING run_id";
const FORGET: &str = "/* forget keys */ DELETE FROM idempotency WHERE at < $1 RETURNING key";

#[async_trait]
impl Idempotency for PgStore {
    async fn take_key(&self, key: &TakenKey) -> Result<Option<TakenKey>, StoreError> {
        check::text("idempotency key", &key.key, KEY_BYTES)?;
        let take = sqlx::query(TAKE)
            .bind(key.owner.clone())
            .bind(key.key.clone())
            .bind(key.request.clone())
            .bind(key.run_id.0)
            .bind(key.at.to_datetime());
        if !self.put(move |c| Box::pin(take.fetch_all(c))).await?.is_empty() {
            return Ok(None);
        }
        let taken = sqlx::query(TAKEN).bind(key.owner.clone()).bind(key.key.clone());
        let found = self.look(move |c| Box::pin(taken.fetch_all(c))).await?;
        // Forgotten in between: too old to stand in the way.
        let Some(found) = found.first() else { return Ok(None) };
        Ok(Some(TakenKey {
            request: row::get(found, 0)?,
            run_id: RunId(row::get(found, 1)?),
            at: row::at(found, 2)?,
            owner: key.owner.clone(),
            key: key.key.clone(),
        }))
    }

    async fn give_key_back(&self, key: &TakenKey) -> Result<(), StoreError> {
        let query = sqlx::query(GIVE_BACK).bind(key.owner.clone()).bind(key.key.clone()).bind(key.run_id.0);
        self.put(move |c| Box::pin(query.fetch_all(c))).await.map(drop)
    }

    async fn forget_keys(&self, before: Timestamp) -> Result<u64, StoreError> {
        let query = sqlx::query(FORGET).bind(before.to_datetime());
        Ok(self.put(move |c| Box::pin(query.fetch_all(c))).await?.len() as u64)
    }
}
