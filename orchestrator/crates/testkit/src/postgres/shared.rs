//! The server that all test processes of this user share, or the one that the environment names.

use std::env;

use anyhow::{Result, anyhow};

use super::{LocalUrl, install::Install};
use crate::services::shared;

/// The server named by the environment, or the shared one, started if it does not run.
pub(super) fn url() -> Result<String> {
    if let Some(url) = env::var_os("UPDRAFT_TEST_POSTGRES_URL").filter(|url| !url.is_empty()) {
        return url.into_string().map_err(|url| anyhow!("UPDRAFT_TEST_POSTGRES_URL is no text: {}", url.display()));
    }
    join()
}

/// The shared one, started if it does not run.
pub(super) fn join() -> Result<String> {
    let address = shared::join(None, Install::find)?;
    Ok(LocalUrl { port: address.port }.to_string())
}
