//! Small values that outlive an attempt: those of one task run, and those shared across runs.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::TaskError;
use crate::context::{AttemptInfo, Host};

/// Most bytes of a kept value, as JSON.
pub const STATE_BYTES: usize = 16 * 1024;
/// Most bytes of its name.
pub const STATE_NAME_BYTES: usize = 1024;

/// Small values of one task run and generation: an attempt puts them once, before it acts on them, and every later
/// attempt reads them. What belongs there is a decision that must not be made twice (offsets to read, the name of what
/// is about to be created), never data.
#[derive(Clone, Copy)]
pub struct State<'a> {
    host: &'a dyn Host,
    attempt: &'a AttemptInfo,
}

impl<'a> State<'a> {
    pub(crate) fn new(host: &'a dyn Host, attempt: &'a AttemptInfo) -> Self {
        Self { host, attempt }
    }

    /// The value of that name, if this attempt or an earlier one of the same generation put it.
    ///
    /// # Errors
    /// `retry`, class `Store`: the store is away; `fail`, class `BadState`: what is there is not JSON.
    pub async fn get(&self, name: &str) -> Result<Option<Value>, TaskError> {
        self.host.state(self.attempt, name).await?.map(|text| parse(name, &text)).transpose()
    }

    /// Puts a value (≤ 16 KiB as JSON) if there is none of that name, and answers the one that stands: the first one put.
    /// When this returns, it is durable.
    ///
    /// # Errors
    /// `retry`, class `Store`: the store is away, and whether the value was put is to be asked again; `fail`, class
    /// `Fenced`: this attempt was given up and another one may run, so that nothing it decides counts; `fail`, class
    /// `BadState`: the value is too large or holds what cannot be stored.
    pub async fn put_once(&self, name: &str, value: Value) -> Result<Value, TaskError> {
        let stands = self.host.put_state(self.attempt, name, &text(name, &value)?).await?;
        parse(name, &stands)
    }
}

/// Values shared across runs under one scope.
pub struct Shared<'a> {
    host: &'a dyn Host,
    scope: &'a str,
}

impl<'a> Shared<'a> {
    pub(crate) fn new(host: &'a dyn Host, scope: &'a str) -> Self {
        Self { host, scope }
    }

    /// A value with its version, for [`Shared::compare_and_set`].
    ///
    /// # Errors
    /// `retry`, class `Store`; `fail`, class `BadState`: it does not read as `T`.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<(T, u64)>, TaskError> {
        match self.host.shared(self.scope, key).await? {
            Some((value, version)) => Ok(Some((parse(key, &value)?, version))),
            None => Ok(None),
        }
    }

    /// Writes a value (≤ 16 KiB) if its version is still `expected` (0 = absent); says whether it did.
    ///
    /// # Errors
    /// `retry`, class `Store`; `fail`, class `BadState`: it is too large or does not serialize.
    pub async fn compare_and_set<T: serde::Serialize>(
        &self,
        key: &str,
        value: &T,
        expected: u64,
    ) -> Result<bool, TaskError> {
        self.host.set_shared(self.scope, key, &text(key, value)?, expected).await
    }
}

fn parse<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, TaskError> {
    serde_json::from_str(text)
        .map_err(|error| TaskError::fail("BadState", format!("the stored value `{name}` does not read: {error}")))
}

fn text<T: serde::Serialize>(name: &str, value: &T) -> Result<String, TaskError> {
    if name.is_empty() || name.len() > STATE_NAME_BYTES || name.contains('\0') {
        let message = format!(
            "the name of a kept value has 1 to {STATE_NAME_BYTES} bytes without NUL, and this one has {}: hash what is long",
            name.len()
        );
        return Err(TaskError::fail("BadState", message));
    }
    let text = serde_json::to_string(value)
        .map_err(|error| TaskError::fail("BadState", format!("the value `{name}` does not serialize: {error}")))?;
    if text.len() > STATE_BYTES {
        return Err(TaskError::fail(
            "BadState",
            format!("the value `{name}` has {} bytes; at most 16 KiB are kept", text.len()),
        ));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::TestRun;

    #[tokio::test]
    async fn a_later_attempt_reads_what_the_first_one_put() {
        let folder = tempfile::tempdir().unwrap();
        let run = TestRun::new(folder.path());
        let first = run.context("read", 1, None);
        assert_eq!(first.state().get("offsets").await.unwrap(), None);
        assert_eq!(first.state().put_once("offsets", json!({ "0": 5 })).await.unwrap(), json!({ "0": 5 }));
        let second = run.context("read", 2, None);
        assert_eq!(second.state().get("offsets").await.unwrap(), Some(json!({ "0": 5 })));
        assert_eq!(second.state().put_once("offsets", json!({ "0": 9 })).await.unwrap(), json!({ "0": 5 }));
        assert_eq!(run.context("other", 1, None).state().get("offsets").await.unwrap(), None);
    }

    #[tokio::test]
    async fn an_attempt_that_was_given_up_puts_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let run = TestRun::new(folder.path());
        let (zombie, second) = (run.context("read", 1, None), run.context("read", 2, None));
        let refused = zombie.state().put_once("offsets", json!(1)).await.unwrap_err();
        assert_eq!(refused.class(), "Fenced");
        assert_eq!(second.state().get("offsets").await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_value_has_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        let run = TestRun::new(folder.path());
        let ctx = run.context("read", 1, None);
        // Two of the bytes are quotes.
        let full = json!("x".repeat(STATE_BYTES - 2));
        assert_eq!(ctx.state().put_once("full", full.clone()).await.unwrap(), full);
        let refused = ctx.state().put_once("over", json!("x".repeat(STATE_BYTES - 1))).await.unwrap_err();
        assert_eq!(refused.class(), "BadState");
        assert!(refused.message().contains("`over` has 16385 bytes"), "{refused}");
        for name in ["", "a\0b", &"n".repeat(STATE_NAME_BYTES + 1)] {
            assert_eq!(ctx.state().put_once(name, json!(1)).await.unwrap_err().class(), "BadState");
        }
    }
}
