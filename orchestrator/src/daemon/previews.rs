//! Previews of datasets: which lake a handle lies in, what was seen of it before, and no secret in what is shown.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use updraft_api::dto::{DatasetColumn, DatasetPreview};
use updraft_api::{DatasetLook, DatasetPreviewer};
use updraft_engine::ConnectionSource;
use updraft_engine::logs::Mask;
use updraft_task::lake::{Lake, LakeConnection};
use updraft_task::{ConnectionKind as _, Registry};
use updraft_tasks::preview::{self, Form, Found, Preview};

/// Looks at one time: each may take [`preview::FETCHED_BYTES`] of memory and more.
const AT_ONCE: usize = 2;
/// Longest look.
const LONGEST: Duration = Duration::from_secs(2);
/// Looks that are remembered.
const REMEMBERED: usize = 64;

/// What was seen under the secrets of then.
#[derive(Default)]
struct Seen {
    secrets: Vec<String>,
    looks: VecDeque<(String, DatasetLook)>,
}

/// See the module.
pub struct Previews<C> {
    connections: C,
    registry: Arc<Registry>,
    project_dir: PathBuf,
    slots: Semaphore,
    seen: Mutex<Seen>,
}

impl<C: ConnectionSource> Previews<C> {
    /// Of datasets in the lakes of these connections.
    pub fn new(connections: C, registry: Arc<Registry>, project_dir: PathBuf) -> Self {
        Self { connections, registry, project_dir, slots: Semaphore::new(AT_ONCE), seen: Mutex::default() }
    }

    fn secrets(&self) -> Vec<String> {
        let mut secrets = Vec::new();
        for connection in self.connections.names().iter().filter_map(|name| self.connections.connection(name)) {
            let known = self.registry.secrets(&connection.kind, &connection.fields);
            secrets.extend(known.into_iter().map(str::to_owned));
        }
        secrets
    }

    fn lake(&self, name: &str) -> Result<Lake, String> {
        let connection = self.connections.connection(name).ok_or_else(|| format!("there is no connection `{name}`"))?;
        let typed = connection.typed::<LakeConnection>().map_err(|error| error.message().to_owned())?;
        Lake::existing(&typed, &self.project_dir).map_err(|error| error.message().to_owned())
    }

    /// The lake that an address lies in, and its key there. Nothing else is ever read: an output may say what it likes.
    fn place(&self, uri: &str) -> Result<(Lake, String), String> {
        if !uri.starts_with('/') && !uri.contains("://") {
            return Ok((self.lake(LakeConnection::KIND)?, uri.to_owned()));
        }
        let is_lake = |name: &String| {
            self.connections.connection(name).is_some_and(|connection| connection.kind == LakeConnection::KIND)
        };
        let lakes = self.connections.names().into_iter().filter(is_lake).filter_map(|name| self.lake(&name).ok());
        lakes.into_iter().find_map(|lake| preview::key_of(lake.root(), uri).map(|key| (lake, key))).ok_or_else(|| {
            "it lies outside of every lake that is a connection here, and nothing else is read for a preview".to_owned()
        })
    }

    async fn look(
        &self,
        dataset: &DatasetPreview,
        secrets: Vec<String>,
        mask: &preview::Mask,
    ) -> Result<DatasetLook, String> {
        let until = Instant::now() + LONGEST;
        let late = || "it took longer than its time limit".to_owned();
        let form = Form::of(&dataset.format)?;
        let (lake, key) = self.place(&dataset.uri)?;
        let found = tokio::time::timeout_at(until, Found::find(&lake, &key)).await.map_err(|_| late())??;
        let stamp = format!("{} {}", dataset.format, found.stamp());
        let look = match self.remembered(&secrets, &stamp) {
            Some(look) => look,
            None => {
                let slot = tokio::time::timeout_at(until, self.slots.acquire()).await.map_err(|_| late())?;
                let _slot = slot.map_err(|_| late())?;
                let look = of_preview(found.look(form, mask, until).await?);
                self.remember(secrets, stamp, &look);
                look
            }
        };
        let changed = dataset.bytes.filter(|&written| written != found.bytes()).map(|written| {
            format!("it has {} bytes, but {written} were written: it was changed after its task ended", found.bytes())
        });
        Ok(DatasetLook { note: changed.or(look.note), ..look })
    }

    fn remembered(&self, secrets: &[String], stamp: &str) -> Option<DatasetLook> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.secrets != secrets {
            *seen = Seen { secrets: secrets.to_vec(), looks: VecDeque::new() };
        }
        seen.looks.iter().find(|(known, _)| known == stamp).map(|(_, look)| look.clone())
    }

    fn remember(&self, secrets: Vec<String>, stamp: String, look: &DatasetLook) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.secrets != secrets {
            return;
        }
        seen.looks.push_back((stamp, look.clone()));
        if seen.looks.len() > REMEMBERED {
            seen.looks.pop_front();
        }
    }
}

fn of_preview(preview: Preview) -> DatasetLook {
    let column = |column: preview::PreviewColumn| DatasetColumn {
        name: column.name,
        column_type: column.data_type,
        nulls: column.nulls,
    };
    DatasetLook {
        columns: preview.columns.into_iter().map(column).collect(),
        rows: preview.rows,
        sample: preview.sample,
        note: preview.note,
    }
}

#[async_trait]
impl<C: ConnectionSource + Send + Sync + 'static> DatasetPreviewer for Previews<C> {
    async fn preview(&self, dataset: &DatasetPreview) -> Result<DatasetLook, String> {
        let secrets = self.secrets();
        let table = Mask::new(secrets.iter().map(String::as_str));
        let mask: preview::Mask = Arc::new(move |text: &str| table.apply(text).into_owned());
        self.look(dataset, secrets, &mask).await.map_err(|error| mask(&error))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use serde_json::{Value, json};
    use updraft_task::Connection;

    use super::*;

    struct Fixed(BTreeMap<String, Connection>);

    impl ConnectionSource for Fixed {
        fn connection(&self, name: &str) -> Option<Connection> {
            self.0.get(name).cloned()
        }

        fn names(&self) -> Vec<String> {
            self.0.keys().cloned().collect()
        }
    }

    fn previews(folder: &Path) -> Previews<Fixed> {
        let connection = |name: &str, fields: Value| {
            let fields = fields.as_object().cloned().unwrap_or_default();
            (name.to_owned(), Connection { name: name.to_owned(), kind: "lake".to_owned(), fields })
        };
        let known = [
            connection("lake", json!({ "url": "lake", "secret_access_key": "hunter22" })),
            connection("archive", json!({ "url": "archive" })),
        ];
        let mut registry = Registry::new();
        registry.add_connection::<LakeConnection>();
        for lake in ["lake", "archive"] {
            std::fs::create_dir_all(folder.join(lake)).unwrap();
            std::fs::write(folder.join(lake).join("d.csv"), format!("a,b\n{lake},hunter22\n")).unwrap();
        }
        Previews::new(Fixed(known.into_iter().collect()), Arc::new(registry), folder.to_owned())
    }

    fn handle(uri: &str, bytes: Option<u64>) -> DatasetPreview {
        serde_json::from_value(json!({ "name": "d", "uri": uri, "format": "csv", "bytes": bytes, "columns": [] }))
            .unwrap()
    }

    #[tokio::test]
    async fn datasets_of_every_lake_are_shown_without_secrets_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let previews = previews(&root);
        std::fs::write(root.join("d.csv"), "a\nsecret\n").unwrap();
        let archive = format!("{}/archive/d.csv", root.display());
        for (uri, lake) in [("d.csv", "lake"), (&*archive, "archive"), (&*format!("file://{archive}"), "archive")] {
            let look = previews.preview(&handle(uri, None)).await.unwrap();
            assert_eq!(look.sample, Some(vec![vec![json!(lake), json!("***")]]), "{uri}");
        }
        let outside = format!("{}/d.csv", root.display());
        for uri in [&*outside, "file:///etc/passwd", "/etc/passwd", "s3://elsewhere/d.csv", "../d.csv"] {
            let error = previews.preview(&handle(uri, None)).await.unwrap_err();
            assert!(error.contains("outside of every lake") || error.contains("is not a key"), "{uri}: {error}");
        }
    }

    #[tokio::test]
    async fn what_was_seen_is_remembered_until_the_object_changes() {
        let folder = tempfile::tempdir().unwrap();
        let previews = previews(folder.path());
        let bytes = std::fs::metadata(folder.path().join("lake/d.csv")).unwrap().len();
        let look = previews.preview(&handle("d.csv", Some(bytes))).await.unwrap();
        assert_eq!((look.rows, &look.note), (Some(1), &None));
        previews.preview(&handle("d.csv", Some(bytes))).await.unwrap();
        assert_eq!(previews.seen.lock().unwrap().looks.len(), 1);
        std::fs::write(folder.path().join("lake/d.csv"), "a,b\n1,2\n3,4\n5,6\n").unwrap();
        let look = previews.preview(&handle("d.csv", Some(bytes))).await.unwrap();
        assert_eq!(look.rows, Some(3));
        assert!(look.note.unwrap().contains("changed after its task ended"));
    }
}
