//! Connections of the environment, the project file and the store, for tasks.

use std::sync::Arc;

use updraft_auth::{Connections, KindSpec, Vault};
use updraft_engine::ConnectionSource;
use updraft_task::{Connection, Registry};

use crate::cli::Session;
use crate::compose::Desk;
use crate::exit_code::Failure;

/// Looks at all three sources.
///
/// # Errors
/// An unknown profile, or the store cannot be read.
pub async fn open(
    session: &Session,
    desk: &Desk,
    vault: Arc<Vault>,
    profile: Option<&str>,
) -> Result<Connections, Failure> {
    let sources = session.project.sources(profile, &session.environment)?;
    Ok(Connections::open(Arc::clone(&desk.accounts), vault, kinds(&session.registry), sources).await?)
}

/// The kinds that this build knows.
pub fn kinds(registry: &Registry) -> Vec<KindSpec> {
    let kinds = registry.connections().map(|kind| KindSpec {
        name: kind.name.to_owned(),
        summary: kind.summary.to_owned(),
        schema: kind.schema.clone(),
    });
    kinds.collect()
}

/// What tasks get: always the newest.
pub struct ForTasks(pub Arc<Connections>);

impl ConnectionSource for ForTasks {
    fn connection(&self, name: &str) -> Option<Connection> {
        let resolved = self.0.get(name)?;
        Some(Connection { name: resolved.name, kind: resolved.kind, fields: resolved.fields })
    }

    fn names(&self) -> Vec<String> {
        self.0.names()
    }
}
