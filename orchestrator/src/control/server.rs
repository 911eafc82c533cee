//! The owner's side of the control socket.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use updraft_model::id::RunId;
use updraft_store::{Reader, StoreError};

use super::{Request, Response};

/// Longest request.
const REQUEST_BYTES: u64 = 1 << 20;

/// What the owner can do besides reading.
#[async_trait]
pub trait Commands: Send + Sync + 'static {
    /// Cancels a run; says in words what it did.
    async fn cancel(&self, run: RunId, by: String, reason: String) -> Result<String, String>;
}

/// A listening socket; its file is removed when this is dropped.
pub struct Server {
    path: PathBuf,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
        if let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the control socket");
        }
    }
}

impl Server {
    /// Listens on `path`. The caller holds the store's file lock, so a file that lies there is a dead process's.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn start(path: &Path, reader: Arc<dyn Reader>, commands: Arc<dyn Commands>) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        let task = tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => {
                        let (reader, commands) = (Arc::clone(&reader), Arc::clone(&commands));
                        tokio::spawn(async move {
                            if let Err(error) = serve(stream, &*reader, &*commands).await {
                                tracing::debug!(%error, "a control connection ended");
                            }
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the control socket does not accept");
                        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                    }
                }
            }
        });
        Ok(Self { path: path.to_owned(), task })
    }
}

async fn serve(stream: UnixStream, reader: &dyn Reader, commands: &dyn Commands) -> io::Result<()> {
    let (input, mut output) = stream.into_split();
    let mut input = BufReader::new(input);
    let mut line = String::new();
    loop {
        line.clear();
        if (&mut input).take(REQUEST_BYTES).read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let response = match serde_json::from_str::<Request>(&line) {
            Ok(request) => answer(request, reader, commands).await,
            Err(error) => Response::Error(format!("not a request that this version knows: {error}")),
        };
        let mut text = serde_json::to_vec(&response)?;
        text.push(b'\n');
        output.write_all(&text).await?;
    }
}

async fn answer(request: Request, reader: &dyn Reader, commands: &dyn Commands) -> Response {
    fn value<T: serde::Serialize>(result: Result<T, StoreError>) -> Response {
        match result
            .map_err(|error| error.to_string())
            .and_then(|value| serde_json::to_value(value).map_err(|e| e.to_string()))
        {
            Ok(value) => Response::Ok(value),
            Err(error) => Response::Error(error),
        }
    }
    match request {
        Request::Runs { filter } => value(reader.runs(&filter).await),
        Request::Run { run } => value(reader.run(run).await),
        Request::RunsByPrefix { prefix } => value(reader.runs_by_prefix(&prefix).await),
        Request::Detail { run } => value(reader.detail(run).await),
        Request::Outputs { run, of } => value(reader.outputs(run, &of).await),
        Request::History { run, from } => value(reader.history(run, from).await),
        Request::Version { version } => value(reader.version(version).await),
        Request::Cancel { run, by, reason } => match commands.cancel(run, by, reason).await {
            Ok(done) => Response::Ok(serde_json::Value::String(done)),
            Err(error) => Response::Error(error),
        },
    }
}
