//! The checker of `docker-compose.yaml`: compose-go, which docker compose itself loads its files by, and rules of ours
//! (`deploy/compose-check`). No container engine is needed.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{fetch, missing::unless_missing};

/// The program `compose-check`; `None`, after a loud skip, if it cannot be built: no Go, or no registry in reach.
///
/// # Errors
/// Its sources cannot be read.
pub fn checker() -> Result<Option<PathBuf>> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../deploy/compose-check");
    unless_missing(fetch::go_program_here("compose-check", &sources))
}
