//! A server that cannot be had on this machine: the test that needs it is skipped, loudly.

use std::fmt;

use anyhow::Result;

use crate::skip;

/// There is no such server here, and why.
///
/// Only what this machine lacks is missing (no Java, no registry in reach). What is there and does not work is a
/// failure of the test.
#[derive(Debug, Clone)]
pub struct Missing(String);

impl Missing {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Missing {}

/// A missing server is a skip; a broken one is a failure.
pub(crate) fn unless_missing<T>(found: Result<T>) -> Result<Option<T>> {
    Ok(apart(found)?.inspect_err(|missing| skip::report(&skip::current_test(), &missing.to_string())).ok())
}

/// What was found, or that it is missing; any other error stays one.
pub(crate) fn apart<T>(found: Result<T>) -> Result<Result<T, Missing>> {
    found.map(Ok).or_else(|error| error.downcast::<Missing>().map(Err))
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn only_a_missing_server_is_a_skip() {
        assert_eq!(apart(Ok(1)).unwrap().unwrap(), 1);
        let missing = apart::<()>(Err(Missing::new("no kettle").into())).unwrap().unwrap_err();
        assert_eq!(missing.to_string(), "no kettle");
        let broken = apart::<()>(Err(anyhow!("initdb failed").context("cannot start"))).unwrap_err();
        assert_eq!(format!("{broken:#}"), "cannot start: initdb failed");
    }
}
